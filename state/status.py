"""What a kernel says of how its state is kept, for the front end: a file beside the checkpoints."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from regrow.state.manifest import Missing
from regrow.state.places import make_private, status_file

SAVING, SAVED, FAILED, IDLE = "saving", "saved", "failed", "idle"


@dataclass
class Status:
    """`state` is one of the four above; `saved_at` and `restored_at` in seconds since 1970, sizes in bytes."""

    state: str = IDLE
    saved_at: float | None = None
    bytes: int = 0
    new_bytes: int = 0
    seconds: float = 0.0
    not_saved: list[Missing] = field(default_factory=list)
    restored_at: float | None = None
    not_restored: list[Missing] = field(default_factory=list)
    message: str = ""

    def as_json(self) -> dict[str, Any]:
        """As docs/state.md describes it."""
        restored = None
        if self.restored_at is not None:
            restored = {"at": self.restored_at, "not_restored": [_missing(each) for each in self.not_restored]}
        return {
            "state": self.state,
            "saved_at": self.saved_at,
            "bytes": self.bytes,
            "new_bytes": self.new_bytes,
            "seconds": round(self.seconds, 3),
            "not_saved": [_missing(each) for each in self.not_saved],
            "restored": restored,
            "message": self.message,
        }

    def write_for(self, directory: Path, notebook: Path) -> None:
        """Put it where `status_file` says: those who read it see all of it or what was there before."""
        file = status_file(directory, notebook)
        make_private(directory)
        file.parent.mkdir(exist_ok=True)
        new = file.with_name(f"{file.name}.{os.getpid()}")
        new.write_text(json.dumps(self.as_json()))
        new.replace(file)

    def remove_for(self, directory: Path, notebook: Path) -> None:
        """Nothing is said of that notebook any more."""
        status_file(directory, notebook).unlink(missing_ok=True)


def _missing(missing: Missing) -> dict[str, Any]:
    return asdict(missing)
