"""The checkpoints of a notebook as people look at them: what changed from one to the next, and what takes how much."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from regrow.state.checkpoints import Checkpoints, Entry
from regrow.state.checkpoints import find as find_entry
from regrow.state.errors import NotSaved, StateError
from regrow.state.manifest import Group, Manifest
from regrow.store import StoreError

_CELL = re.compile(r"In\[(\d+)\]")


@dataclass(frozen=True)
class Step:
    """A checkpoint, and which names came, changed or went since the one before it.

    `manifest` is None where it can't be read, which `problem` says why.
    """

    entry: Entry
    manifest: Manifest | None
    added: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    problem: str = ""


@dataclass(frozen=True)
class Row:
    """Variables that are kept together: `size` in bytes, `cells` made them, `notes` are for their owner."""

    names: list[str]
    types: list[str]
    size: int
    cells: list[int]
    notes: str


def steps(checkpoints: Checkpoints, notebook: Path) -> list[Step]:
    """All checkpoints of `notebook`, the oldest first."""
    found = []
    before: dict[str, Any] = {}
    for entry in checkpoints.entries(notebook):
        try:
            manifest = checkpoints.read(notebook, entry)
        except NotSaved:
            continue  # it was dropped meanwhile
        except (StateError, StoreError) as error:
            found.append(Step(entry, None, problem=str(error)))
            continue
        now = _contents(manifest)
        found.append(
            Step(
                entry,
                manifest,
                sorted(now.keys() - before.keys()),
                sorted(name for name in now.keys() & before.keys() if now[name] != before[name]),
                sorted(before.keys() - now.keys()),
            )
        )
        before = now
    return found


def last_cell(manifest: Manifest) -> int:
    """The execution count of the last cell that had run; 0 where none had."""
    return manifest.cells[-1].count if manifest.cells else 0


def sizes(manifest: Manifest) -> list[Row]:
    """What the variables of a checkpoint take, the largest first; those that share objects are one row."""
    return sorted((_row(group, manifest) for group in manifest.groups), key=lambda row: (-row.size, row.names))


def find(checkpoints: Checkpoints, notebook: Path, when: str, now: float | None = None) -> Entry:
    """The checkpoint that `when` says: as `checkpoints.find` has it, or `In[7]` for as it was after cell 7.

    Raises `NotSaved`.
    """
    entries = checkpoints.entries(notebook)
    cell = _CELL.fullmatch(when)
    if not cell:
        return find_entry(entries, when, time.time() if now is None else now)
    found: dict[int, Entry] = {}
    for step in steps(checkpoints, notebook):
        if step.manifest is not None:
            found[last_cell(step.manifest)] = step.entry
    if int(cell[1]) in found:
        return found[int(cell[1])]
    raise NotSaved(
        f"Nothing was saved between {when} and the cell after it. There are checkpoints from after {_cells(found)}."
        if found
        else "Nothing of this notebook has been saved yet."
    )


def _cells(counts: Iterable[int]) -> str:
    return ", ".join(f"In[{count}]" for count in sorted(counts))


def _contents(manifest: Manifest) -> dict[str, Any]:
    """What tells by name whether a variable is another one."""
    found = {}
    for group in manifest.groups:
        buffers = [manifest.recipes[blob.recipe].entries for blob in group.buffers]
        found.update(dict.fromkeys(group.names, (group.kind, group.target, group.digest, buffers)))
    return found


def _row(group: Group, manifest: Manifest) -> Row:
    cells = sorted({manifest.made_by[name] for name in group.names if name in manifest.made_by})
    types = list(dict.fromkeys(group.types.get(name, "") for name in group.names))
    notes = "; ".join(dict.fromkeys(group.notes[name] for name in group.names if group.notes.get(name)))
    return Row(group.names, types, group.size, cells, notes)
