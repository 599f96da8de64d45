"""What has changed in a working tree since the last snapshot, as git sees it, and which of it is large."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache

from regrow.projects.git import lines
from regrow.projects.shadow import Shadow

# Text above this is rarely written by hand, and git would delta and copy it for ever.
LARGE_BYTES = 1024 * 1024


@dataclass(frozen=True)
class Stat:
    """What changes when a file does: size in bytes, times of content and of inode in nanoseconds, inode number."""

    size: int
    modified_ns: int
    changed_ns: int
    inode: int
    executable: bool

    @classmethod
    def of(cls, status: os.stat_result) -> Stat:
        executable = bool(status.st_mode & stat.S_IXUSR)
        return cls(status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino, executable)


@dataclass
class Scan:
    """What a working tree has that the index does not: all large files, with their `Stat`; other paths that are new or
    may have changed, with the blob that the index has of each, or ""; paths where there is nothing any more that a
    snapshot has; repositories further down.
    """

    large: dict[str, Stat] = field(default_factory=dict)
    small: dict[str, str] = field(default_factory=dict)
    gone: list[str] = field(default_factory=list)
    nested: list[str] = field(default_factory=list)


def scan(ours: Shadow, known_large: Iterable[str]) -> Scan:
    """Look through the working tree; at `known_large` too, which git does not look at. Raises `GitError`."""
    found = Scan()
    nested: list[str] = []

    @cache
    def is_folder(path: str) -> bool:
        if not path:
            return True
        try:
            return is_folder(path.rpartition("/")[0]) and stat.S_ISDIR(os.lstat(f"{ours.project}/{path}").st_mode)
        except FileNotFoundError:
            return False

    listed = _listed(ours)
    for path in dict.fromkeys((*known_large, *listed)):
        if path.endswith("/"):
            nested.append(path.rstrip("/"))
            continue
        if not is_folder(path.rpartition("/")[0]):
            found.gone.append(path)  # also where a link leads to a file: that is not in the project
            continue
        try:
            status = os.lstat(f"{ours.project}/{path}")
        except FileNotFoundError:
            found.gone.append(path)
            continue
        if stat.S_ISREG(status.st_mode) and status.st_size > LARGE_BYTES:
            found.large[path] = Stat.of(status)
        elif stat.S_ISREG(status.st_mode) or stat.S_ISLNK(status.st_mode):
            found.small[path] = listed.get(path, "")
        else:
            found.gone.append(path)  # a pipe, or a folder whose files are listed themselves
            if os.path.lexists(f"{ours.project}/{path}/.git"):
                nested.append(path)
    found.nested = list(dict.fromkeys(nested))
    return found


def _listed(ours: Shadow) -> dict[str, str]:
    """What is new or may have changed, and the index's blobs: git looks at names and at files side by side."""
    with ThreadPoolExecutor(1, "regrow-scan") as beside:
        # Also files that were only touched: when the index knows that, nobody reads them again.
        asked = ("diff-files", "-z", "--raw", "--no-abbrev", "--ignore-submodules=dirty")
        changed = beside.submit(ours.git, *asked)
        new = ours.git("ls-files", "-z", "--others", "--exclude-standard")
        fields = changed.result().split(b"\0")
    blobs = (about.split(b" ")[2].decode() for about in fields[0:-1:2])
    return dict.fromkeys(lines(new), "") | dict(zip(map(os.fsdecode, fields[1::2]), blobs, strict=True))
