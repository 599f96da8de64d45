"""A session of gigabytes of numpy and torch: saved, and restored."""

from __future__ import annotations

import sys
import time
from functools import cache
from pathlib import Path

from bench.case import PeerUnavailable
from bench.state.files import into_page_cache, remove
from bench.state.kernels import Kernel, Notebook, with_kishu, with_session
from bench.state.scale import Scale, numpy_cells, torch_cells
from bench.state.stages import Stage

OURS = Path(sys.executable)


class Large(Stage):
    """The session, with what each side saves of it: ours, a raw file, dill's, Kishu's.

    `peers` gives the Python of the peers' environment, or raises `PeerUnavailable`.
    """

    def __init__(self, folder: Path, scale: Scale, peers: Path | PeerUnavailable) -> None:
        super().__init__(folder)
        self._scale = scale
        self._peers = peers
        self._saved: Notebook | None = None
        self._raw, self._dill = folder / "raw", folder / "dill.pkl"
        self.dill_write = cache(self._dill_write)
        self.dill_usable = cache(self._dill_usable)
        self.kishu_usable = cache(self._kishu_usable)

    # Saving

    def save(self) -> float:
        """Seconds for our first save."""
        kernel = self._with_data()
        assert self._saved is not None
        self._saved.forget()
        return float(kernel.measured("first_save()"))

    def raw_write(self) -> float:
        """Seconds for writing the same bytes into a file."""
        kernel = self._with_data()
        remove(self._raw)
        return float(kernel.measured(f"raw_write({str(self._raw)!r})"))

    def _dill_write(self) -> float:
        kernel = self._with_data()
        remove(self._dill)
        return float(kernel.measured(f"dump_module({str(self._dill)!r})"))

    def _with_data(self) -> Kernel:
        def ours(folder: Path) -> Notebook:
            self._saved = with_session(folder, OURS)
            return self._saved

        return self.open().kernel("ours", ours, self._prepare)

    def _prepare(self, kernel: Kernel) -> None:
        kernel.measured("only_when_asked()")
        self._fill(kernel)

    def _fill(self, kernel: Kernel) -> None:
        scale = self._scale
        numpy, torch = (make(scale.arrays, scale.array_bytes) for make in (numpy_cells, torch_cells))
        # In one cell: to Kishu arrays share their dtype, and it stores all of them again with each that is made.
        kernel.run("\n".join([*numpy, *torch, "small = 41"]))

    # Restoring

    def load(self) -> float:
        """Seconds for putting all values in place."""
        notebook = self._everything_saved()
        with notebook.kernel() as kernel:
            # Importing is no reading, and both sides may have done it.
            kernel.run("import numpy, torch; small")
            into_page_cache(notebook.state)
            return float(kernel.measured("load_all()"))

    def raw_read(self) -> float:
        """Seconds for reading the same bytes from a file into new memory."""
        notebook = self._everything_saved()
        with notebook.kernel() as kernel:
            # Importing is no reading, and both sides may have done it.
            kernel.run("import numpy, torch; small")
            into_page_cache(self._raw)
            sizes = [self._scale.array_bytes] * (2 * self._scale.arrays)
            return float(kernel.measured(f"raw_read({str(self._raw)!r}, {sizes!r})"))

    def usable(self) -> float:
        """Seconds from the start of a kernel to its reply to a cell that uses a small variable."""
        notebook = self._everything_saved()
        with notebook.kernel() as kernel:
            kernel.run("assert small == 41")
            return time.perf_counter() - kernel.started

    def _dill_usable(self) -> float:
        self._everything_saved()
        notebook = self._notebook("with-dill", self._python_of_peers(), Notebook)
        with notebook.kernel() as kernel:
            kernel.run(f"import dill; dill.load_module({str(self._dill)!r})")
            kernel.run("assert small == 41")
            seconds = time.perf_counter() - kernel.started
        # Gigabytes that nobody needs any more.
        remove(self._dill)
        return seconds

    def _kishu_usable(self) -> float:
        self._everything_saved()
        notebook = self._notebook("kishu", self._python_of_peers(), with_kishu)
        with notebook.kernel() as kernel:
            kernel.quietly(f"start_kishu({str(notebook.path)!r})")
            self._fill(kernel)
            head = kernel.measured("kishu_head()")
        with notebook.kernel() as kernel:
            kernel.quietly(f"start_kishu({str(notebook.path)!r})")
            kernel.measured(f"kishu_checkout({head!r})")
            kernel.run("assert small == 41")
            seconds = time.perf_counter() - kernel.started
        notebook.remove()
        return seconds

    def _python_of_peers(self) -> Path:
        if isinstance(self._peers, PeerUnavailable):
            raise self._peers
        return self._peers

    def _notebook(self, name: str, python: Path, make: type[Notebook] | object) -> Notebook:
        remove(self.folder / name)
        made = make(self.folder / name, python)  # type: ignore[operator]
        assert isinstance(made, Notebook)
        return made

    def _everything_saved(self) -> Notebook:
        """Our notebook, with all files there and no kernel."""
        self.open()
        if self._saved is None or not self._saved.state.exists():
            self.save()
        if not self._raw.exists():
            self.raw_write()
        self.dill_write()
        self.end_kernels()
        assert self._saved is not None
        return self._saved

    def memory_bytes(self) -> int:
        """Resident memory of our kernel and its child, in bytes."""
        return self._saved.memory_bytes() if self._saved is not None else 0

    def forget(self) -> None:
        """What was in the folder is gone."""
        self._saved = None
