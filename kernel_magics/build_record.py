"""The record of one build prefix: an SQLite file beside it, which many processes write and groups share.

`ROOT/ABI/.regrow/builds.sqlite` describes `ROOT/ABI/local`. SQLite's rollback journal is used and not its
write-ahead log, which needs memory shared between processes and so breaks on volumes that several machines
mount. Paths are kept as bytes, as the disk has them.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import stat
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from . import build_packages
from .build_scan import TICK_NS, FileState, Scan, joined, scan
from .errors import MagicError

FOLDER = ".regrow"
NAME = "builds.sqlite"
# Its modification time is that of the last note: `find -newer` tells a terminal whether there is news.
STAMP = "noted"
# How long to wait for another process that is noting, in seconds.
PATIENCE = 30.0

_SCHEMA = """
CREATE TABLE IF NOT EXISTS directory (path BLOB PRIMARY KEY, mtime_ns INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS install (id INTEGER PRIMARY KEY, project TEXT NOT NULL, at REAL NOT NULL);
CREATE TABLE IF NOT EXISTS file (
    directory BLOB NOT NULL, name BLOB NOT NULL,
    size INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, inode INTEGER NOT NULL,
    package TEXT NOT NULL, install INTEGER NOT NULL REFERENCES install (id),
    PRIMARY KEY (directory, name)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS file_package ON file (package, install, size);
PRAGMA user_version = 1;
"""


class BuildError(MagicError):
    """The record of a build prefix cannot be read or written."""


@dataclass(frozen=True)
class Package:
    """One line of the list: size in bytes, `at` in seconds since 1970, the latest project first."""

    name: str
    files: int
    size: int
    projects: tuple[str, ...]
    at: float


def note(prefix: Path, project: str, *, since: float, patience: float = PATIENCE) -> int:
    """Bring the record of a prefix up to date; returns how many files are new or changed.

    Those that changed after `since` (seconds since 1970) are `project`'s, others nobody's. Raises BuildError.
    """
    folder = prefix.parent / FOLDER
    try:
        now_ns = _prepare(folder)
        with _database(folder, write=True, patience=patience) as database:
            database.execute("BEGIN IMMEDIATE")
            known = dict(database.execute("SELECT path, mtime_ns FROM directory"))
            found = scan(prefix, known, now_ns)
            changed = _store(database, prefix, found, project, since)
            database.commit()
        # A directory that changes from now on is newer than this, however coarse the file system's clock is.
        stamp_ns = now_ns - TICK_NS
        os.utime(folder / STAMP, ns=(stamp_ns, stamp_ns), follow_symlinks=False)
        return changed
    except (OSError, sqlite3.Error) as error:
        raise BuildError(f"The record of {prefix} cannot be brought up to date: {_reason(error)}.") from None


def is_writable(prefix: Path) -> bool:
    """Whether this user may install into the prefix; a group's may be read-only."""
    return os.access(prefix, os.W_OK) and os.access(prefix.parent, os.W_OK)


def packages(prefix: Path) -> list[Package]:
    """What the record of a prefix lists, by name; empty if there is none yet. Raises BuildError."""
    query = """
        SELECT package, sum(files), sum(size), json_group_array(project), max(at) FROM (
            SELECT package, count(*) AS files, sum(size) AS size, project, max(at) AS at
            FROM file JOIN install ON install.id = file.install
            GROUP BY package, install.id ORDER BY at DESC
        ) GROUP BY package ORDER BY package COLLATE NOCASE
    """
    with _reading(prefix) as database:
        if database is None:
            return []
        rows = database.execute(query)
        return [
            Package(str(name), int(files), int(size), _distinct(projects), float(at))
            for name, files, size, projects, at in rows
        ]


def files(prefix: Path, package: str) -> list[tuple[bytes, int]]:
    """The files of one package, relative to the prefix, and their sizes in bytes. Raises BuildError."""
    with _reading(prefix) as database:
        if database is None:
            return []
        query = "SELECT directory, name, size FROM file WHERE package = ? ORDER BY directory, name"
        return [
            (bytes(directory) + b"/" + bytes(name) if directory else bytes(name), int(size))
            for directory, name, size in database.execute(query, (package,))
        ]


def totals(prefix: Path) -> tuple[int, int]:
    """How many files the record lists, and their size in bytes. Raises BuildError."""
    with _reading(prefix) as database:
        if database is None:
            return (0, 0)
        count, size = database.execute("SELECT count(*), coalesce(sum(size), 0) FROM file").fetchone()
        return (int(count), int(size))


def _distinct(projects: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(str(project) for project in json.loads(projects)))


def _store(database: sqlite3.Connection, prefix: Path, found: Scan, project: str, since: float) -> int:
    """Write what a scan saw; returns how many files are new or changed."""
    for directory in found.gone:
        database.execute("DELETE FROM directory WHERE path = ?", (directory,))
        database.execute("DELETE FROM file WHERE directory = ?", (directory,))
    new: dict[tuple[bytes, bytes], FileState] = {}
    labels: dict[tuple[bytes, bytes], str] = {}
    for directory, there in found.files.items():
        query = "SELECT name, size, mtime_ns, inode, package FROM file WHERE directory = ?"
        recorded = {bytes(row[0]): row for row in database.execute(query, (directory,))}
        removed = recorded.keys() - there.keys()
        database.executemany(
            "DELETE FROM file WHERE directory = ? AND name = ?", [(directory, name) for name in removed]
        )
        for name, state in there.items():
            before = recorded.get(name)
            if before is None or tuple(before[1:4]) != state.identity:
                new[directory, name] = state
                if before is not None:
                    labels[directory, name] = str(before[4])
    database.executemany("INSERT OR REPLACE INTO directory VALUES (?, ?)", found.listed.items())
    _attribute(database, new, labels, project, since)
    for directory, there in found.files.items():
        for package, listed in build_packages.pip_packages(prefix, joined(directory, there)):
            database.executemany(
                "UPDATE file SET package = ? WHERE directory = ? AND name = ?",
                [(package, *_split(path)) for path in listed],
            )
    if found.files or found.gone:
        database.execute("DELETE FROM install WHERE id NOT IN (SELECT DISTINCT install FROM file)")
    return len(new)


def _attribute(
    database: sqlite3.Connection,
    new: dict[tuple[bytes, bytes], FileState],
    labels: dict[tuple[bytes, bytes], str],
    project: str,
    since: float,
) -> None:
    """Record new files: those of this event as its project's, older ones as nobody's."""
    since_ns = int(since * 1e9) - TICK_NS
    ours = {key for key, state in new.items() if state.ctime_ns >= since_ns}
    for keys, owner in ((ours, project), (new.keys() - ours, "")):
        if not keys:
            continue
        at = max(new[key].ctime_ns for key in keys) / 1e9
        install = database.execute("INSERT INTO install (project, at) VALUES (?, ?)", (owner, at)).lastrowid
        name = build_packages.name_of(_join(key) for key in keys)
        fresh = all(key not in labels for key in keys)
        database.executemany(
            "INSERT OR REPLACE INTO file VALUES (?, ?, ?, ?, ?, ?, ?)",
            [
                # A file that was replaced stays in its package, unless the package came again as a whole.
                (*key, *new[key].identity, name if fresh else labels.get(key, name), install)
                for key in keys
            ],
        )


def _join(key: tuple[bytes, bytes]) -> bytes:
    return key[0] + b"/" + key[1] if key[0] else key[1]


def _split(path: bytes) -> tuple[bytes, bytes]:
    directory, _, name = path.rpartition(b"/")
    return (directory, name)


def _prepare(folder: Path) -> int:
    """Make the record's folder; returns the time of its file system in nanoseconds."""
    if not folder.exists():
        folder.mkdir(exist_ok=True)
        # Whoever may install into a group's prefix writes its record too.
        folder.chmod(stat.S_IMODE(folder.parent.stat().st_mode))
    # Members of a group could put a link here that leads to another's file.
    if not stat.S_ISDIR(folder.lstat().st_mode):
        raise BuildError(f"{folder} is not a folder. Remove it; the record is made anew.")
    for name in (NAME, f"{NAME}-journal", STAMP):
        with contextlib.suppress(FileNotFoundError):
            if not stat.S_ISREG((folder / name).lstat().st_mode):
                raise BuildError(f"{folder / name} is not a plain file. Remove it; the record is made anew.")
    with contextlib.suppress(FileExistsError):
        os.close(os.open(folder / STAMP, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        os.utime(folder / STAMP, ns=(0, 0), follow_symlinks=False)
    # The volume's own clock: a network volume's time is not this machine's.
    descriptor, probe = tempfile.mkstemp(dir=folder, prefix=".now-")
    os.close(descriptor)
    now_ns = Path(probe).stat().st_mtime_ns
    Path(probe).unlink()
    return now_ns


@contextlib.contextmanager
def _database(folder: Path, *, write: bool, patience: float) -> Iterator[sqlite3.Connection]:
    address = f"{(folder / NAME).absolute().as_uri()}?mode={'rwc' if write else 'ro'}"
    database = sqlite3.connect(address, uri=True, timeout=patience, isolation_level=None)
    try:
        # The file may come from somebody else of the group: nothing in it is to be run.
        database.execute("PRAGMA trusted_schema = OFF")
        if write:
            version = database.execute("PRAGMA user_version").fetchone()[0]
            if version == 0:
                database.executescript(_SCHEMA)
                # Members of the group write it too, where the folder's mode says so.
                mode = stat.S_IMODE(folder.stat().st_mode) & 0o666
                with contextlib.suppress(PermissionError):
                    (folder / NAME).chmod(mode)
        yield database
    finally:
        database.close()


@contextlib.contextmanager
def _reading(prefix: Path) -> Iterator[sqlite3.Connection | None]:
    folder = prefix.parent / FOLDER
    if not (folder / NAME).is_file():
        yield None
        return
    try:
        with _database(folder, write=False, patience=PATIENCE) as database:
            yield database
    except (OSError, sqlite3.Error, ValueError, TypeError) as error:
        raise BuildError(f"The record of {prefix} cannot be read: {_reason(error)}.") from None


def _reason(error: Exception) -> str:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    if isinstance(error, sqlite3.DatabaseError) and "not a database" in reason:
        reason += ". Remove it; it is made anew, and what is there already counts as nobody's"
    return reason
