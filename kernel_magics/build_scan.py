"""Find what changed below a build prefix by looking only into directories whose modification time moved."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

# A directory that changed this recently may change again without its modification time showing it: file
# systems keep times in ticks, of 10 ms on a local disk and up to 2 s on some network volumes.
TICK_NS = 2_000_000_000
# The recorded time of a directory that is to be looked into next time, whatever its time is.
LOOK_AGAIN = -1
# Python fills these while it imports, whoever imports; nobody installs them.
IGNORED = frozenset({b"__pycache__"})


@dataclass(frozen=True)
class FileState:
    """A file as it lies in a prefix: size in bytes, times in nanoseconds."""

    size: int
    mtime_ns: int
    inode: int
    ctime_ns: int = 0

    @property
    def identity(self) -> tuple[int, int, int]:
        """What differs when the file was replaced or rewritten. Not ctime: chmod is no installation."""
        return (self.size, self.mtime_ns, self.inode)


@dataclass
class Scan:
    """What a scan saw. Paths are bytes, relative to the prefix, which itself is `b""`."""

    # Directories looked into, with the time to record for each, and the files in each by name.
    listed: dict[bytes, int] = field(default_factory=dict)
    files: dict[bytes, dict[bytes, FileState]] = field(default_factory=dict)
    # Directories that are no longer there, with all below them.
    gone: set[bytes] = field(default_factory=set)


def scan(prefix: Path, known: Mapping[bytes, int], now_ns: int) -> Scan:
    """Look into each directory of `prefix` whose time differs from `known`; links are never followed.

    `now_ns` is the file system's own time at the start of the scan. A prefix that is itself a link, or is not
    there, has no files.
    """
    below: dict[bytes, list[bytes]] = {}
    for path in known:
        if path:
            below.setdefault(path.rpartition(b"/")[0], []).append(path)
    found = Scan()
    seen: set[bytes] = set()
    pending = [b""]
    root = os.fsencode(prefix)
    while pending:
        path = pending.pop()
        full = root + b"/" + path if path else root
        try:
            state = os.lstat(full)
        except (FileNotFoundError, NotADirectoryError):
            continue
        if not stat.S_ISDIR(state.st_mode):
            continue
        seen.add(path)
        if known.get(path) == state.st_mtime_ns:
            pending.extend(below.get(path, ()))
            continue
        try:
            directories, files = _list(full)
        except (FileNotFoundError, NotADirectoryError):
            seen.discard(path)
            continue
        except PermissionError:
            directories, files = [], {}
        settled = state.st_mtime_ns < now_ns - TICK_NS
        found.listed[path] = state.st_mtime_ns if settled else LOOK_AGAIN
        found.files[path] = files
        pending.extend(path + b"/" + name if path else name for name in directories)
    found.gone = set(known) - seen
    return found


def _list(directory: bytes) -> tuple[list[bytes], dict[bytes, FileState]]:
    directories: list[bytes] = []
    files: dict[bytes, FileState] = {}
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                if entry.name not in IGNORED:
                    directories.append(entry.name)
                continue
            try:
                state = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            files[entry.name] = FileState(state.st_size, state.st_mtime_ns, state.st_ino, state.st_ctime_ns)
    return directories, files


def joined(directory: bytes, names: Mapping[bytes, FileState]) -> Iterator[bytes]:
    """The paths of the files of one directory, relative to the prefix."""
    for name in names:
        yield directory + b"/" + name if directory else name
