"""What a command has to say, as plain text and as HTML. Nothing that strangers wrote acts in either."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from regrow.client.tables import escaped, html_table, text_table
from regrow.projects.printable import printable

_MOST_LISTED = 20


@dataclass(frozen=True)
class Result:
    """The same twice: for a terminal, and for a page."""

    text: str
    html: str


def say(*sentences: str) -> Result:
    """A sentence to a line; in HTML what is between backticks is code."""
    marked = (re.sub(r"`([^`]+)`", r"<code>\1</code>", escaped(sentence)) for sentence in sentences)
    return Result("\n".join(map(printable, sentences)), "".join(f"<p>{sentence}</p>" for sentence in marked))


def warn(sentences: Iterable[str]) -> Result:
    """What is not as one might think."""
    return say(*(f"Warning: {sentence}" for sentence in sentences))


def listed(title: str, paths: Sequence[str]) -> Result:
    """A title with the number of paths, and the first of them below it; nothing where there are none."""
    if not paths:
        return Result("", "")
    shown = list(paths[:_MOST_LISTED])
    more = [f"and {len(paths) - len(shown)} more"] if len(paths) > len(shown) else []
    heading = f"{title} ({len(paths)}):"
    text = "\n".join([heading, *(f"  {printable(each)}" for each in (*shown, *more))])
    items = "".join(
        [*(f"<li><code>{escaped(each)}</code></li>" for each in shown), *(f"<li>{one}</li>" for one in more)]
    )
    return Result(text, f"<p>{escaped(heading)}</p><ul>{items}</ul>")


def table(header: Sequence[str], rows: Sequence[Sequence[str]], right: Sequence[int] = ()) -> Result:
    """A table of texts; columns whose numbers are in `right` are aligned to the right."""
    return Result(text_table(header, rows, right), html_table(header, rows, right))


def link(label: str, url: str) -> Result:
    """A link to a path of this hub's; a terminal is given nothing."""
    return Result("", f'<p><a href="{escaped(url)}" target="_blank" rel="noopener">{escaped(label)}</a></p>')


def joined(*parts: Result) -> Result:
    """One after the other."""
    return Result("\n".join(part.text for part in parts if part.text), "".join(part.html for part in parts))
