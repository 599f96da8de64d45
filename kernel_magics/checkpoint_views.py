"""What `%checkpoint` shows: tables with bars as HTML, and the same in plain text."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from regrow.client.result import Result, joined, say, table
from regrow.client.tables import escaped, size_text, text_table
from regrow.state.history import Row, Step, last_cell
from regrow.state.manifest import Cell, Manifest, Missing

from . import display

_BAR = 20
_COLOUR = "#4c8bf5"
_MOST_NAMES = 4
_MOST_ROWS = 100


def moment(at: float) -> str:
    """A time of this machine's clock, for people."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(at))


def some(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    more = len(names) - _MOST_NAMES
    return ", ".join(names[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")


def count(number: int, thing: str) -> str:
    """`1 variable`, `2 variables`."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def steps(found: Sequence[Step]) -> Result:
    """The checkpoints of a notebook, the newest first."""
    rows = []
    for step in reversed(found):
        if step.manifest is None:
            rows.append((step.entry.id, moment(step.entry.at), "", "", f"can't be read: {step.problem}"))
            continue
        cell = last_cell(step.manifest)
        size = size_text(step.manifest.size)
        rows.append((step.entry.id, moment(step.entry.at), f"In[{cell}]" if cell else "", size, _changes(step)))
    return table(("id", "when", "after", "size", "what has changed"), rows, (3,))


def _changes(step: Step) -> str:
    parts = [
        f"{word} {some(names)}"
        for word, names in (("new", step.added), ("changed", step.changed), ("gone", step.removed))
        if names
    ]
    return "; ".join(parts) or "nothing"


def sizes(rows: Sequence[Row]) -> Result:
    """Variables with a bar for the size of each, relative to the largest."""
    if not rows:
        return say("It has no variables.")
    largest = max(1, max(row.size for row in rows))
    header = ("variable", "type", "size", "", "cell", "")
    shown = [(*_texts(row), row.size / largest) for row in rows[:_MOST_ROWS]]
    plain = [
        (names, types, size, "█" * max(1 if part else 0, round(part * _BAR)), cells, notes)
        for names, types, size, cells, notes, part in shown
    ]
    body = "".join(
        f'<tr><td style="text-align:left">{escaped(names)}</td><td style="text-align:left">{escaped(types)}</td>'
        f'<td style="text-align:right">{escaped(size)}</td>'
        f'<td style="min-width:10em"><div style="background:{_COLOUR};height:0.8em;width:{100 * part:.1f}%"></div></td>'
        f'<td style="text-align:left">{escaped(cells)}</td><td style="text-align:left">{escaped(notes)}</td></tr>'
        for names, types, size, cells, notes, part in shown
    )
    head = "".join(f'<th style="text-align:left">{title}</th>' for title in header)
    html = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    rest = rows[_MOST_ROWS:]
    more = [f"And {len(rest)} smaller ones, {size_text(sum(row.size for row in rest))} together."] if rest else []
    return joined(Result(text_table(header, plain, (2,)), html), say(*more))


def _texts(row: Row) -> tuple[str, str, str, str, str]:
    cells = ", ".join(f"In[{cell}]" for cell in row.cells)
    return some(row.names), some([each for each in row.types if each]), size_text(row.size), cells, row.notes


def missing(lost: Sequence[Missing]) -> Result:
    """Names that are not kept: the cell that made each, and why."""
    rows = [(each.name, f"In[{each.cell}]" if each.cell else "", each.reason) for each in lost]
    return table(("not there", "cell", "why"), rows)


def contents(manifest: Manifest, rows: Sequence[Row], identity: str) -> Result:
    """A whole checkpoint."""
    heading = (
        f"{identity}, {moment(manifest.at)}: {count(len(manifest.names), 'variable')}, {size_text(manifest.size)}."
    )
    nothing = Result("", "")
    return joined(say(heading), sizes(rows), missing(manifest.missing) if manifest.missing else nothing)


def cell(which: Cell) -> Result:
    """A cell that is going to be run again."""
    lines = "\n".join(f"  {line}" for line in which.source.rstrip().split("\n"))
    title = f"Running cell {which.count} again:"
    return Result(f"{title}\n{lines}", f"<p>{title}</p><pre>{escaped_lines(which.source.rstrip())}</pre>")


def escaped_lines(text: str) -> str:
    """Several lines as HTML."""
    return "\n".join(escaped(line) for line in text.split("\n"))


def show_restored(heading: str, lost: Sequence[Missing], problems: Sequence[str]) -> None:
    """Show below a cell what is back and what is not, with a button that makes it again where there are widgets."""
    parts = [say(heading)]
    if lost:
        parts.append(missing(lost))
        parts.append(say("`%checkpoint rerun` runs the cells that make them again."))
    result = joined(*parts, say(*problems))
    display.show(result.html, result.text)
    if lost:
        show_button([each.name for each in lost])


def show_button(names: Sequence[str]) -> None:
    """A button that runs the cells which make `names` again; nothing where there is no ipywidgets."""
    try:
        import ipywidgets  # type: ignore[import-untyped]
    except ImportError:
        return
    from IPython.display import display as show

    button = ipywidgets.Button(description="Run the cells", icon="play", tooltip=f"Makes {some(names)} again")
    output = ipywidgets.Output()

    def clicked(_: Any) -> None:
        from .checkpoint_magic import rerun_missing

        button.disabled = True
        with output:
            output.clear_output()
            button.disabled = rerun_missing(list(names))

    button.on_click(clicked)
    box = ipywidgets.VBox([button, output])
    # A front end without widgets shows the text: nothing, as the table says what to type.
    bundle = box._repr_mimebundle_()
    show({**bundle, "text/plain": ""}, raw=True)  # type: ignore[no-untyped-call]
