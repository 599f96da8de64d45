"""What a kernel wants saved, and what comes of it: all that goes between it and the child that saves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from regrow.state.manifest import Cell, Manifest


@dataclass
class Request:
    """What a kernel wants saved. `names` have to be looked at; what `before` has of others is as it was.

    `namespace` has all variables; of `pending` only `before` has the values. `skip` are names that are left out, with
    the reason. What takes more than `group_timeout_s` to pickle is left out as well.
    """

    notebook: Path
    namespace: Mapping[str, Any]
    names: set[str]
    pending: set[str]
    before: Manifest | None
    reason: str
    at: float
    execution_count: int
    cells: list[Cell]
    made_by: dict[str, int]
    excluded: list[str]
    process: dict[str, Any]
    generators: dict[str, Any]
    skip: dict[str, str] = field(default_factory=dict)
    host_copies: dict[int, Any] = field(default_factory=dict)
    group_timeout_s: float = 60.0


@dataclass
class Saved:
    """What came of it, for the kernel."""

    manifest: Manifest
    new_bytes: int

    def shortened(self, before: Manifest | None) -> Saved:
        """The same without the groups that `before` has, for another process that has it too."""
        numbers = {id(group): number for number, group in enumerate(before.groups)} if before else {}
        groups: list[Any] = [numbers.get(id(group), group) for group in self.manifest.groups]
        return replace(self, manifest=replace(self.manifest, groups=groups))

    def whole(self, before: Manifest | None) -> Saved:
        """What was `shortened`, as it was."""
        groups = [before.groups[each] if before and isinstance(each, int) else each for each in self.manifest.groups]
        return replace(self, manifest=replace(self.manifest, groups=groups))
