"""What a session changes of its process: search path, working directory, environment."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

#: Of this server and this start, or secrets: never kept, never set.
_NOT_OURS = ("JUPYTER", "JPY_", "REGROW_", "GIT_CONFIG_", "XDG_RUNTIME", "PARENT_APP", "IPYTHON", "MPLBACKEND")


class Baseline:
    """What the process was like before the notebook's first cell."""

    def __init__(self) -> None:
        self.path = list(sys.path)
        self.directory = str(Path.cwd())
        self.environ = dict(os.environ)

    def changes(self) -> dict[str, Any]:
        """What is different now; nothing of it is secret that was not the notebook's own doing."""
        changes: dict[str, Any] = {}
        added = [entry for entry in sys.path if isinstance(entry, str) and entry not in self.path]
        first = next((number for number, entry in enumerate(sys.path) if entry in self.path), len(sys.path))
        if before := [entry for entry in added if entry in sys.path[:first]]:
            changes["path_before"] = before
        if after := [entry for entry in added if entry not in before]:
            changes["path"] = after
        try:
            directory = str(Path.cwd())
        except FileNotFoundError:
            directory = self.directory
        if directory != self.directory:
            changes["directory"] = directory
        changed = {
            name: value
            for name, value in os.environ.items()
            if self.environ.get(name) != value and not name.startswith(_NOT_OURS)
        }
        gone = [name for name in self.environ if name not in os.environ and not name.startswith(_NOT_OURS)]
        if changed or gone:
            changes["environ"] = {**changed, **dict.fromkeys(gone)}
        return changes


def apply(changes: Mapping[str, Any]) -> list[str]:
    """Make the process what `changes` says; what can't be is returned, in words."""
    problems = []
    sys.path[:0] = [entry for entry in changes.get("path_before", []) if entry not in sys.path]
    sys.path += [entry for entry in changes.get("path", []) if entry not in sys.path]
    if directory := changes.get("directory"):
        try:
            os.chdir(directory)
        except OSError as error:
            problems.append(f"The working directory {directory} can't be entered: {error.strerror}.")
    for name, value in changes.get("environ", {}).items():
        if name.startswith(_NOT_OURS):
            continue
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    return problems
