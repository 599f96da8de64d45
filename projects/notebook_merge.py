"""Merging three versions of a notebook cell by cell, by nbdime: a whole notebook, or none and why not."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from regrow.projects.pointers import parse
from regrow.projects.printable import printable

# Notebooks beyond these would take nbdime minutes.
_MOST_CELLS = 500
_MOST_LINES = 5000


class NotByCells(Exception):
    """A notebook that can't be merged cell by cell: `why`, as the end of a sentence, or the `cells` in the way."""

    def __init__(self, why: str = "", cells: tuple[int, ...] = ()) -> None:
        super().__init__(why)
        self.why = f", and can't be merged by cells ({printable(why)})" if why else ""
        self.cells = cells


def merge_notebooks(base: bytes, ours: bytes, theirs: bytes) -> tuple[bytes, tuple[int, ...]]:
    """The merged `.ipynb` file, and the cells (from 1) whose outputs were cleared. Raises `NotByCells`."""
    # It takes a second to import, and few merges need it.
    import nbformat
    from nbdime.diffing.notebooks import diff_notebooks  # type: ignore[import-untyped]
    from nbdime.merging.decisions import apply_decisions  # type: ignore[import-untyped]
    from nbdime.merging.generic import decide_merge_with_diff  # type: ignore[import-untyped]

    start, mine, other = (_read(each) for each in (base, ours, theirs))
    try:
        here, there = diff_notebooks(start, mine), diff_notebooks(start, other)
        clashes = _clashes(here, there)
        decisions = [] if clashes else decide_merge_with_diff(start, mine, other, here, there, _strategies())
        merged = apply_decisions(start, decisions)
        nbformat.validate(merged)
        content = nbformat.writes(merged)  # type: ignore[no-untyped-call]
    # What nbdime raises for what strangers write into a notebook is not known. It is said, and a side can be taken.
    except Exception as error:
        raise NotByCells(f"nbdime failed: {type(error).__name__}: {str(error)[:100]}") from error
    conflicts = [each for each in decisions if each.conflict]
    if clashes or conflicts:
        raise NotByCells(cells=clashes or _cells_of(conflicts))
    cleared = _cells_of(each for each in decisions if each.common_path[-1:] == ("outputs",) and each.action == "custom")
    return f"{content}\n".encode(), cleared


def _read(content: bytes) -> Any:
    import nbformat

    if parse(content):
        raise NotByCells("it is a large file")
    try:
        raw = json.loads(content)
        if raw["nbformat"] != 4:
            raise NotByCells("it is not of format 4")
        notebook = nbformat.reads(content.decode(), as_version=4)  # type: ignore[no-untyped-call]
        nbformat.validate(notebook)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, nbformat.ValidationError) as error:
        raise NotByCells("it is not a notebook") from error
    lines = sum(cell.source.count("\n") for cell in notebook.cells)
    if len(notebook.cells) > _MOST_CELLS or lines > _MOST_LINES:
        raise NotByCells("it is too long")
    return notebook


def _strategies() -> Any:
    from nbdime.utils import Strategies  # type: ignore[import-untyped]

    transient = ["/cells/*/execution_count", "/cells/*/outputs/*/execution_count"]
    return Strategies(
        {
            "/nbformat_minor": "take-max",
            # New cells of both; what both have changed is found before. A cell that only one has deleted, while its
            # outputs are new on the other side, stays.
            "/cells": "union",
            "/cells/*/id": "use-local",
            "/cells/*/outputs": "remove",
            "/metadata": "use-local",
            "/cells/*/metadata": "use-local",
            **dict.fromkeys(transient, "clear"),
        },
        transients=transient,
    )


def _clashes(here: Any, there: Any) -> tuple[int, ...]:
    """The cells whose content both diffs change, and not to the same."""
    ours, theirs = _touched(here), _touched(there)
    both = (index for index in sorted(ours.keys() & theirs.keys()) if ours[index] != theirs[index])
    return tuple(index + 1 for index in both)


def _touched(diff: Any) -> dict[int, Any]:
    """By cell: how a diff of nbdime changes what a person wrote there."""
    steps = [step for part in diff if part.key == "cells" for step in part.diff]
    added = {step.key: step.valuelist for step in steps if step.op == "addrange"}
    found: dict[int, Any] = {}
    for step in steps:
        if step.op == "removerange":
            found |= dict.fromkeys(range(step.key, step.key + step.length), ("removed", added.get(step.key)))
        elif step.op == "patch":
            written = [part for part in step.diff if part.key in ("source", "cell_type", "attachments")]
            if written:
                found[step.key] = ("changed", written)
    return found


def _cells_of(decisions: Iterable[Any]) -> tuple[int, ...]:
    paths = {each.common_path for each in decisions}
    return tuple(sorted({path[1] + 1 for path in paths if path[:1] == ("cells",) and len(path) > 1}))
