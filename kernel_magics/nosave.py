"""`%%nosave`: what the cell below it binds is kept out of checkpoints, until another cell binds it."""

from __future__ import annotations

import ast
from typing import Any

LINE = "%%nosave"


def is_marked(source: str) -> bool:
    """Whether a cell, as it was typed, begins with `%%nosave` and nothing else on that line."""
    return source.lstrip().partition("\n")[0].rstrip() == LINE


def without_line(lines: list[str]) -> list[str]:
    """IPython's transformer of cells: the cell runs as if the line were not there, so it may be any cell."""
    if len(lines) < 2 or lines[0].rstrip() != LINE:
        return lines
    # Numbers of lines in messages stay what they are, but where another `%%` has to come first.
    return lines[1:] if lines[1].startswith("%%") else ["\n", *lines[1:]]


class Watch:
    """Excludes and includes names of `session`; IPython calls it around each cell, after the session itself."""

    def __init__(self, shell: Any, session: Any) -> None:
        self._shell = shell
        self._session = session

    def before(self, info: Any) -> None:
        """IPython's `pre_run_cell`: a save in the middle of the cell is not to have it either."""
        source = info.raw_cell or ""
        if is_marked(source):
            from regrow.state.cells import usage_of

            try:
                tree = ast.parse(self._shell.transform_cell(source))
            except SyntaxError:  # it will not run
                return
            self._session.excluded.update(usage_of(tree).binds)

    def after(self, result: Any) -> None:
        """IPython's `post_run_cell`."""
        cells = self._session.cells
        source = result.info.raw_cell if result.info is not None else ""
        if not cells or cells[-1].source != source:
            return  # it is in no record
        bound = cells[-1].writes
        if is_marked(source):
            self._session.exclude(bound)
        elif again := self._session.excluded.intersection(bound):
            self._session.include(name for name in again if _was_marked(name, cells[:-1]))


def _was_marked(name: str, cells: list[Any]) -> bool:
    made = next((cell for cell in reversed(cells) if name in cell.writes), None)
    return made is not None and is_marked(made.source)
