"""Notebooks of public packages' documentation, run from the first cell to the last with a session and without."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import time
from pathlib import Path

import nbformat
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

from bench.case import PeerUnavailable
from bench.peers import WORK, pip_environment
from bench.state.files import remove
from bench.state.kernels import NAME, Notebook, with_session
from bench.state.stages import Stage

#: Packages whose source distributions have notebooks that need nothing from the network.
PACKAGES = {"emcee": "3.1.6", "corner": "2.3.0", "control": "0.10.2"}
NOTEBOOKS = (
    "corner-2.3.0/docs/pages/custom.ipynb",
    "control-0.10.2/examples/describing_functions.ipynb",
    "control-0.10.2/examples/cruise.ipynb",
    "emcee-3.1.6/docs/tutorials/line.ipynb",
    "emcee-3.1.6/docs/tutorials/moves.ipynb",
)
_CELL_TIMEOUT_S = 600
_DOWNLOAD_TIMEOUT_S = 600


def sources() -> Path:
    """The folder of the packages' unpacked sources. Raises `PeerUnavailable` when they can't be had."""
    folder = WORK / "state-sources"
    for name, version in PACKAGES.items():
        if not (folder / f"{name}-{version}").exists():
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", name]
            try:
                subprocess.run(
                    [*command, "--dest", str(folder), f"{name}=={version}"],
                    check=True,
                    capture_output=True,
                    timeout=_DOWNLOAD_TIMEOUT_S,
                )
            except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
                raise PeerUnavailable(f"the source of {name} {version} can't be had") from error
            with tarfile.open(folder / f"{name}-{version}.tar.gz") as archive:
                archive.extractall(folder, filter="data")
    return folder


def packages() -> Path:
    """The folder in which Python finds the packages. Raises `PeerUnavailable` when they can't be installed."""
    python = pip_environment("state-notebooks", *(f"{name}=={version}" for name, version in PACKAGES.items()))
    (found,) = python.parent.parent.glob("lib/python*/site-packages")
    return found


class Run(Stage):
    """One of the notebooks, in kernels of this environment's Python that also find the `packages`."""

    def __init__(self, folder: Path, notebook: Path, packages: Path) -> None:
        super().__init__(folder)
        self._source = notebook
        self._packages = packages
        self._number = 0
        self._ours: Notebook | None = None

    def with_session(self) -> float:
        """Seconds from the first cell to the last, with a session that saves as it does for everybody."""
        self._ours = with_session(self._folder(), Path(sys.executable), PYTHONPATH=str(self._packages))
        return self._run(self._ours)

    def without_session(self) -> float:
        """The same, without."""
        return self._run(Notebook(self._folder(), Path(sys.executable), PYTHONPATH=str(self._packages)))

    def memory_bytes(self) -> int:
        """Resident memory of our kernel and its child, in bytes."""
        return self._ours.memory_bytes() if self._ours is not None else 0

    def _run(self, notebook: Notebook) -> float:
        content = nbformat.read(self._source, as_version=4)  # type: ignore[no-untyped-call]
        manager = AsyncKernelManager(kernel_name=NAME, kernel_spec_manager=notebook.specs())
        client = NotebookClient(content, km=manager, timeout=_CELL_TIMEOUT_S)
        # Modules and data that it uses are beside it.
        place, nothing = str(self._source.parent), subprocess.DEVNULL
        with client.setup_kernel(env=notebook.environment(), cwd=place, stdout=nothing, stderr=nothing):
            notebook.pid = int(getattr(manager.provisioner, "pid", 0) or 0)
            started = time.perf_counter()
            for number, cell in enumerate(content.cells):
                client.execute_cell(cell, number)
            seconds = time.perf_counter() - started
        notebook.pid = 0
        notebook.remove()
        return seconds

    def _folder(self) -> Path:
        self.open()
        self._number += 1
        remove(folder := self.folder / str(self._number))
        return folder
