"""A build's lines as a progress bar, for whoever watches."""

from __future__ import annotations

import re
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

_STEP = re.compile(r"Step (\d+)/(\d+) : (.*)")


class BuildProgress:
    """Called with each line of a build; shows step N of M on a terminal, and one line per step elsewhere.

    with BuildProgress() as progress:
        build_image("cpu", progress=progress)
    """

    def __init__(self, console: Console | None = None, verbose: bool = False):
        self._console = console or Console(stderr=True, highlight=False)
        self._verbose = verbose
        self._bar = Progress(
            TextColumn("{task.fields[step]}"),
            BarColumn(bar_width=24),
            TimeElapsedColumn(),
            TextColumn("{task.description}", markup=False),
            console=self._console,
            transient=True,
            disable=not self._console.is_terminal,
        )
        self._task = self._bar.add_task("preparing", total=None, step="")

    def __enter__(self) -> BuildProgress:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def __call__(self, line: str) -> None:
        found = _STEP.match(line)
        if self._verbose or (found and self._bar.disable):
            self._console.print(line, markup=False, overflow="ellipsis", no_wrap=True, crop=not self._verbose)
        if found:
            number, total, what = int(found[1]), int(found[2]), found[3]
            step = f"step {number} of {total}"
            self._bar.update(self._task, completed=number - 1, total=total, step=step, description=what[:60])
        else:
            self._bar.update(self._task, description=line.strip()[:60])
