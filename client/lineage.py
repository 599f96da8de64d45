"""Pictures of a lineage: which project is a fork of which."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from regrow.client.hub import Model
from regrow.client.tables import escaped
from regrow.projects.printable import printable

_ROW, _INDENT, _DOT = 26, 24, 5
# Of a sans-serif at 13 px; a little too wide is no harm.
_LETTER = 8
_INK = "var(--jp-content-font-color1, #808080)"
_LINE, _THIS = "#8a8a8a", "#3b82c4"


@dataclass(frozen=True)
class _Row:
    """A project in the picture: how deep it is, and of each fork above it (itself the last) whether more follow."""

    label: str
    is_this: bool
    row_of_parent: int
    more: tuple[bool, ...]

    @property
    def depth(self) -> int:
        return len(self.more)


def as_text(projects: Sequence[Model], this: str) -> str:
    """For a terminal; `this`, as OWNER/NAME, is marked."""
    lines = []
    for row in _rows(projects, this):
        above = "".join("│   " if more else "    " for more in row.more[:-1])
        branch = ("├── " if row.more[-1] else "└── ") if row.more else ""
        lines.append(f"{above}{branch}{printable(row.label)}{' *' if row.is_this else ''}")
    return "\n".join(lines)


def as_svg(projects: Sequence[Model], this: str) -> str:
    """A picture: a row for each; `this`, as OWNER/NAME, is marked."""
    rows = list(_rows(projects, this))
    width = max((_x(row) + 2 * _DOT + len(row.label) * _LETTER for row in rows), default=0) + 16
    lines, dots = [], []
    for number, row in enumerate(rows):
        x, y = _x(row), _y(number)
        if row.depth:
            above = rows[row.row_of_parent]
            lines.append(f'<path d="M{_x(above)} {_y(row.row_of_parent)} V{y} H{x}" fill="none" stroke="{_LINE}"/>')
        weight = ' font-weight="bold"' if row.is_this else ""
        dots.append(
            f'<circle cx="{x}" cy="{y}" r="{_DOT}" fill="{_THIS if row.is_this else _LINE}"/>'
            f'<text x="{x + 2 * _DOT}" y="{y + 4}" style="fill: {_INK}"{weight}>{escaped(row.label)}</text>'
        )
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{len(rows) * _ROW}" role="img" '
            'font-family="sans-serif" font-size="13"><title>Lineage</title>',
            *lines,
            *dots,
            "</svg>",
        ]
    )


def _rows(projects: Sequence[Model], this: str) -> Iterator[_Row]:
    """The rows from top to bottom: each project, and below it its forks."""
    known = {each["id"] for each in projects}
    forks = defaultdict(list)
    for each in projects:
        forks[each["parent_id"] if each["parent_id"] in known else None].append(each)
    # A lineage may be deeper than Python's recursion.
    waiting: list[tuple[Model, int, tuple[bool, ...]]] = [(each, 0, ()) for each in reversed(forks[None])]
    number = 0
    while waiting:
        project, parent, more = waiting.pop()
        yield _Row(_label(project), _full_name(project) == this, parent, more)
        below = forks[project["id"]]
        waiting += [(fork, number, (*more, fork is not below[-1])) for fork in reversed(below)]
        number += 1


def _full_name(project: Model) -> str:
    return f"{project['owner']}/{project['name']}" if project["name"] else ""


def _label(project: Model) -> str:
    name = _full_name(project) or "a project that you can't see"
    return f"{name} (deleted)" if project["deleted"] else name


def _x(row: _Row) -> int:
    return row.depth * _INDENT + _DOT + 3


def _y(number: int) -> int:
    return number * _ROW + _ROW // 2
