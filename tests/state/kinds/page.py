"""docs/state-support.md, from the kinds that tests/state/test_kinds.py runs."""

from __future__ import annotations

from collections import Counter

from .kind import LOST, NOTED, RESTORED, Library

_HEAD = """\
# What survives

Every kind of variable that Regrow is tested with, and what happens to it when a kernel is saved, killed and restored.
[tests/state/test_kinds.py](../tests/state/test_kinds.py) runs each with the real library in a real kernel, looks at its
behaviour, identity and sharing afterwards, and makes this page.

| what happens | kinds | what its owner sees |
|---|---|---|
| **restored** | {restored} | nothing: it is as it was |
| **restored, with a note** | {noted} | the note, which the checkpoint keeps |
| **not saved** | {lost} | its name, the reason and the cell that made it, below the next cell and in the status |

What is not saved costs no other variable: those that share objects with it are kept. A class of which nobody knows
that its pickles are sound is read back in the background; where it comes back different, or not at all, that is told.
"""


def page(libraries: list[Library]) -> str:
    """The page's text."""
    counts = Counter(kind.outcome for library in libraries for kind in library.kinds)
    parts = [_HEAD.format(restored=counts[RESTORED], noted=counts[NOTED], lost=counts[LOST])]
    for library in libraries:
        rows = "\n".join(f"| {kind.title} | {kind.outcome} | {_cell(kind.says)} |" for kind in library.kinds)
        parts.append(f"## {library.title}\n\n| kind | what happens | what is told |\n|---|---|---|\n{rows}\n")
    return "\n".join(parts)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("_", "\\_")
