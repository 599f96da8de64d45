"""Tables: HTML for notebooks, with every text escaped, and plain text for everything else."""

from __future__ import annotations

import html
from collections.abc import Sequence

from regrow.projects.printable import printable

_UNITS = ("B", "KiB", "MiB", "GiB", "TiB")


def size_text(size: float) -> str:
    """A size in bytes for people: `1.5 GiB`."""
    unit = 0
    while size >= 1024 and unit < len(_UNITS) - 1:
        size /= 1024
        unit += 1
    return f"{size:.0f} {_UNITS[unit]}" if unit == 0 else f"{size:.1f} {_UNITS[unit]}"


def escaped(text: str) -> str:
    """A text as HTML, whatever is in it."""
    return html.escape(printable(text))


def html_table(header: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> str:
    """A table of texts; columns whose numbers are in `right` are aligned to the right."""

    def line(cells: Sequence[str], tag: str) -> str:
        styles = ["right" if number in right else "left" for number in range(len(cells))]
        inner = "".join(
            f'<{tag} style="text-align:{style}">{escaped(cell)}</{tag}>'
            for cell, style in zip(cells, styles, strict=True)
        )
        return f"<tr>{inner}</tr>"

    body = "".join(line(row, "td") for row in rows)
    return f"<table><thead>{line(header, 'th')}</thead><tbody>{body}</tbody></table>"


def text_table(header: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> str:
    """The same table in plain text."""
    cells = [[printable(cell) for cell in row] for row in (header, *rows)]
    widths = [max(len(row[number]) for row in cells) for number in range(len(header))]
    lines = [
        "  ".join(
            cell.rjust(width) if number in right else cell.ljust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    ]
    return "\n".join(lines)
