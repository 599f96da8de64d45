"""What differs between two notebooks: what people wrote in them, cell by cell; of the rest, in a line, that it does."""

from __future__ import annotations

import hashlib
import io
import json
import operator
from collections import defaultdict
from collections.abc import Callable
from functools import lru_cache
from types import SimpleNamespace
from typing import Any

from regrow.projects.errors import ProjectError
from regrow.projects.printable import printable

# Beyond these, comparing each cell with each takes more than some seconds.
_MOST_CELLS = 300
_MOST_LINES = 5000
_MOST_CHARACTERS = 500_000
# The outputs, metadata and attachments of a cell, a line on each, under names that nbdime has no rules for.
_ABOUT = ("result", "about", "attached")
_CELL_TYPES = ("code", "markdown", "raw")

Notebook = dict[str, Any]


class NotANotebook(ProjectError):
    """It can't be read as one, or would take too long; the message says why, as the end of a sentence."""


def notebook_diff(before: bytes | None, after: bytes | None) -> list[str]:
    """nbdime's lines on two `.ipynb` files (None where there is none), without control characters.

    None of them where only execution counts, the names of cells or white space of the file differ. Raises
    `NotANotebook`.
    """
    # It takes a second to import, and is for those who look at notebooks.
    from nbdime.diffing.config import DiffConfig  # type: ignore[import-untyped]
    from nbdime.diffing.generic import diff, diff_sequence_multilevel  # type: ignore[import-untyped]
    from nbdime.diffing.seq_difflib import diff_sequence_difflib  # type: ignore[import-untyped]
    from nbdime.prettyprint import PrettyPrintConfig, pretty_print_diff  # type: ignore[import-untyped]

    old, new = _read(before), _read(after)
    # nbdime's own compare each character of a cell with each of all others, which takes minutes where much has changed.
    alike: dict[str, list[Callable[[Any, Any], bool]]] = {"/cells": [_alike, _same, _same_id]}
    rules = DiffConfig(
        predicates=defaultdict(lambda: [operator.eq], alike),
        differs=defaultdict(
            lambda: diff,
            {
                "/cells": diff_sequence_multilevel,
                "/cells/*/source": lambda a, b, **_: diff_sequence_difflib(a.splitlines(True), b.splitlines(True)),
            },
        ),
        atomic_paths=dict.fromkeys(("/about", *(f"/cells/*/{name}" for name in ("id", *_ABOUT))), True),
    )
    written = io.StringIO()
    # Neither git nor diff: they would run with the user's settings.
    config = PrettyPrintConfig(
        out=written, include=SimpleNamespace(id=False), use_git=False, use_diff=False, use_color=False
    )
    pretty_print_diff(old, diff(old, new, config=rules), "", config)
    return [line for line in written.getvalue().split("\n") if line.strip()]


def _read(content: bytes | None) -> Notebook:
    """What is compared of a notebook: its sources, and a line on each of the rest."""
    if content is None:
        return {"cells": [], "about": ""}
    try:
        parsed = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise NotANotebook(f"it is not JSON ({printable(str(error))})") from None
    if not isinstance(parsed, dict) or parsed.get("nbformat") != 4 or not isinstance(parsed.get("cells"), list):
        raise NotANotebook("it is not one of format 4")
    cells = [_cell(each) for each in parsed["cells"]]
    sources = [each["source"] for each in cells]
    many = sum(each.count("\n") + 1 for each in sources) > _MOST_LINES or sum(map(len, sources)) > _MOST_CHARACTERS
    if many or len(cells) > _MOST_CELLS:
        raise NotANotebook("it is too long to be compared cell by cell")
    return {"cells": cells, "about": _summary(parsed.get("metadata"))}


def _cell(cell: Any) -> Notebook:
    if not isinstance(cell, dict) or cell.get("cell_type") not in _CELL_TYPES:
        raise NotANotebook("it has a cell of no known type")
    source = cell.get("source", "")
    lines = source if isinstance(source, list) else [source]
    if not all(isinstance(line, str) for line in lines):
        raise NotANotebook("it has a cell whose source is not text")
    text = "\n".join(printable(line) for line in "".join(lines).split("\n"))
    # nbdime aligns cells by what they have under these names.
    read = {"cell_type": cell["cell_type"], "source": text, "outputs": [], "metadata": {}}
    if isinstance(cell.get("id"), str):
        read["id"] = printable(cell["id"])
    about = (_outputs(cell.get("outputs")), _summary(cell.get("metadata")), _summary(cell.get("attachments")))
    return read | {name: line for name, line in zip(_ABOUT, about, strict=True) if line}


def _same_id(one: Notebook, other: Notebook) -> bool:
    return "id" in one and one["id"] == other.get("id")


def _same(one: Notebook, other: Notebook) -> bool:
    return bool(one["cell_type"] == other["cell_type"] and one["source"] == other["source"])


def _alike(one: Notebook, other: Notebook) -> bool:
    """Whether half of their words are the same."""
    first, second = _words(one["source"]), _words(other["source"])
    if one["cell_type"] != other["cell_type"] or min(len(first), len(second)) * 2 < max(len(first), len(second)):
        return False
    return 2 * len(first & second) >= len(first | second)


@lru_cache(2 * _MOST_CELLS)
def _words(source: str) -> frozenset[str]:
    return frozenset(source.split())


def _outputs(outputs: Any) -> str:
    """How many, of which types, and a digest: two that are alike are the same."""
    if not isinstance(outputs, list) or not outputs:
        return ""
    shown = [{key: value for key, value in _dict(each).items() if key != "execution_count"} for each in outputs]
    types = [", ".join(_dict(each.get("data"))) or str(each.get("output_type", "nothing")) for each in shown]
    some = "; ".join(types[:3]) + ("; ..." if len(types) > 3 else "")
    return f"{len(outputs)} output{'s' * (len(outputs) > 1)}: {printable(some)[:100]} [{_digest(shown)}]"


def _summary(about: Any) -> str:
    """The names in it and a digest."""
    return f"{printable(', '.join(_dict(about)))[:100]} [{_digest(about)}]" if _dict(about) else ""


def _dict(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:8]
