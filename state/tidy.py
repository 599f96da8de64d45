"""Giving disk back: `python -m regrow.state.tidy` drops the checkpoints of notebooks that are gone, and collects.

A kernel starts it beside itself after a save, once enough was written since the last time.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from regrow.state.checkpoints import GRACE_S, Checkpoints
from regrow.state.places import state_dir
from regrow.store import StoreError
from regrow.store.gc import collect

#: It is due after so many bytes were written, or seconds have passed,
DUE_BYTES = 2 * 1024**3
DUE_S = 24 * 3600.0
#: Seconds for which the checkpoints of a notebook that is gone are kept: it may be brought back.
GONE_S = 30 * 24 * 3600.0
_LEDGER = "written"


def note_written(directory: Path, size: int) -> None:
    """Another `size` bytes were written to the store in `directory`. Two at once may lose one: it is only a guess."""
    ledger = _ledger(directory)
    ledger["bytes"] += size
    _write(directory, ledger)


def is_due(directory: Path, now: float) -> bool:
    """Whether it is time to tidy up: not twice within the grace in which nothing more could be removed."""
    ledger = _ledger(directory)
    since = now - ledger["at"]
    return since > GRACE_S and (ledger["bytes"] > DUE_BYTES or since > DUE_S or bool(ledger["again"]))


def start() -> subprocess.Popen[bytes]:
    """Tidy up in a process of its own, which may outlive this one."""
    return subprocess.Popen(
        ["nice", sys.executable, "-P", "-m", "regrow.state.tidy"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def tidy(directory: Path, now: float) -> None:
    """Drop the checkpoints of notebooks that are gone since long, and collect. Raises `StoreError`."""
    _write(directory, {"bytes": 0, "at": now, "again": 0})
    with Checkpoints(directory, lambda: now) as checkpoints:
        _drop_gone(checkpoints, now)
        done = collect(checkpoints.store)
    if done.condemned_packs:
        # What was condemned can be removed after the grace.
        _write(directory, {**_ledger(directory), "again": 1})


def _drop_gone(checkpoints: Checkpoints, now: float) -> None:
    for folder, entries in checkpoints.notebooks():
        if now - entries[-1].at < GONE_S:
            continue
        notebook = checkpoints.path_of(folder, entries)
        # A folder that is not there either may be one that is not mounted now.
        if notebook is not None and notebook.parent.is_dir() and not notebook.exists():
            for entry in entries:
                with contextlib.suppress(StoreError):
                    checkpoints.store.drop(f"{folder}/{entry.id}")


def _ledger(directory: Path) -> dict[str, float]:
    try:
        found = json.loads((directory / _LEDGER).read_text())
        return {name: float(found[name]) for name in ("bytes", "at", "again")}
    except (OSError, ValueError, KeyError, TypeError):
        return {"bytes": 0.0, "at": 0.0, "again": 0.0}


def _write(directory: Path, ledger: dict[str, float]) -> None:
    new = directory / f"{_LEDGER}.{os.getpid()}"
    new.write_text(json.dumps(ledger))
    new.replace(directory / _LEDGER)


if __name__ == "__main__":
    with contextlib.suppress(StoreError):  # another one is at it
        tidy(state_dir(), time.time())
