"""What several cases share is there for as long as they run, and one such thing at a time: each takes gigabytes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from bench.state.files import remove
from bench.state.kernels import Kernel, Notebook


class Stage:
    """A folder, and the kernels that run. `open` starts what is not there, and closes the stage before."""

    current: Stage | None = None

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._running: dict[str, tuple[ExitStack, Notebook, Kernel]] = {}

    def open(self) -> Self:
        """This stage, which is the only one."""
        if Stage.current is not self:
            if Stage.current is not None:
                Stage.current.close()
            Stage.current = self
            self.folder.mkdir(parents=True, exist_ok=True)
        return self

    def close(self) -> None:
        """End the kernels, and remove the folder."""
        self.end_kernels()
        remove(self.folder)
        self.forget()
        Stage.current = None

    def forget(self) -> None:
        """What was in the folder is gone."""

    def kernel(self, name: str, notebook: Callable[[Path], Notebook], prepare: Callable[[Kernel], None]) -> Kernel:
        """The kernel of that name; where it does not run, it is started and prepared."""
        if name not in self._running:
            with ExitStack() as stack:
                made = notebook(self.folder / name)
                kernel = stack.enter_context(made.kernel())
                prepare(kernel)
                self._running[name] = (stack.pop_all(), made, kernel)
        return self._running[name][2]

    def end_kernel(self, name: str) -> None:
        """End the kernel of that name, if it runs."""
        if name in self._running:
            self._running.pop(name)[0].close()

    def end_kernels(self) -> None:
        """End all kernels; their notebooks stay."""
        for stack, _, _ in self._running.values():
            stack.close()
        self._running.clear()

    def memory_bytes(self) -> int:
        """Resident memory of our kernel and its child, in bytes."""
        return sum(self._running[name][1].memory_bytes() for name in ("ours",) if name in self._running)
