"""Our side, run as the peers are, as a program: `ours.py keep|bring-back PROJECT STORE CACHE`."""

from __future__ import annotations

import sys
from pathlib import Path

from regrow.projects.large_files import InStore
from regrow.projects.restore import restore
from regrow.projects.snapshot import latest, take
from regrow.store import Store


def main(what: str, project: Path, store: str, cache: Path) -> None:
    """Take a snapshot of `project`, or make its files those of the last one."""
    with Store.create(store, cache) as kept:
        if what == "keep":
            take(project, InStore(kept))
        elif last := latest(project):
            restore(project, InStore(kept), last)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3], Path(sys.argv[4]))
