"""Our side, run as the peers are, as a program: `ours.py keep|bring-back PROJECT STORE CACHE`.

It prints the most memory, in bytes, that it or one of its children had.
"""

from __future__ import annotations

import resource
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


def peak_bytes() -> int:
    """The most memory that this process, or one of its children, had by now."""
    # Not its own ru_maxrss: that counts what the process had that started this one.
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return max(int(status["VmHWM"].split()[0]), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss) * 1024


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3], Path(sys.argv[4]))
    print(peak_bytes())
