"""What has changed in a working tree since the last snapshot, as git sees it, and which of it is large."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable
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
    """Large files by path, with their `Stat`; other paths that are new or changed; repositories further down."""

    large: dict[str, Stat] = field(default_factory=dict)
    small: list[str] = field(default_factory=list)
    nested: list[str] = field(default_factory=list)


def scan(ours: Shadow, known_large: Iterable[str]) -> Scan:
    """Look through the working tree; at `known_large` too, which git does not look at. Raises `GitError`."""
    # Git reads 100,000 entries, and all that ignores them, in a third of a second.
    listed = lines(ours.git("ls-files", "-z", "--others", "--modified", "--exclude-standard"))
    found = Scan()

    @cache
    def is_folder(path: str) -> bool:
        if not path:
            return True
        try:
            return is_folder(path.rpartition("/")[0]) and stat.S_ISDIR(os.lstat(ours.project / path).st_mode)
        except FileNotFoundError:
            return False

    for path in dict.fromkeys((*known_large, *listed)):
        if path.endswith("/"):
            found.nested.append(path.rstrip("/"))
            continue
        if not is_folder(path.rpartition("/")[0]):
            continue  # removed; what a link leads to is not in the project
        try:
            status = os.lstat(ours.project / path)
        except FileNotFoundError:
            continue
        if stat.S_ISREG(status.st_mode) and status.st_size > LARGE_BYTES:
            found.large[path] = Stat.of(status)
        else:
            found.small.append(path)
    return found
