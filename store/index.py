"""Which pack holds which chunk: all packs' indexes in SQLite. A cache of this machine's, made again when it is lost."""

from __future__ import annotations

import contextlib
import fcntl
import sqlite3
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from regrow.store.backend import Backend
from regrow.store.errors import StoreError
from regrow.store.pack import PACKS, DamagedPack, Entry, is_name, read_index

CONDEMNED = "condemned"
_BUSY_TIMEOUT_S = 60
_AT_ONCE = 500

_SCHEMA = """
CREATE TABLE IF NOT EXISTS pack (id INTEGER PRIMARY KEY, name TEXT UNIQUE NOT NULL, condemned INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS chunk (
    key BLOB NOT NULL, pack INTEGER NOT NULL, offset INTEGER NOT NULL, stored INTEGER NOT NULL, size INTEGER NOT NULL,
    codec INTEGER NOT NULL, PRIMARY KEY (key, pack)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS chunk_of_pack ON chunk (pack);
"""


@dataclass(frozen=True)
class Place:
    """A chunk's place: the name of the pack, and the entry in it."""

    pack: str
    entry: Entry


class Index:
    """The chunks of a store as this machine last saw them. Safe to share between threads, and the file between
    processes."""

    def __init__(self, backend: Backend, file: Path) -> None:
        self._backend = backend
        self._file = file
        self._lock = threading.RLock()
        self._refreshing = threading.Lock()
        self.generation = 0
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with file.with_name("lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            try:
                self._database = _connect(file)
            except sqlite3.OperationalError:
                raise
            except sqlite3.DatabaseError:
                # Only a cache: a machine that lost its power may have left half of it.
                for suffix in ("", "-wal", "-shm"):
                    file.with_name(file.name + suffix).unlink(missing_ok=True)
                self._database = _connect(file)

    def close(self) -> None:
        """Close the file. The index can't be used any more."""
        with self._lock:
            self._database.close()

    def refresh(self, since: int | None = None) -> list[str]:
        """See packs that others made, and no longer those that are gone. The names of packs that can't be read.

        Where `since` is given, only if nobody has done so since `generation` had that value.
        """
        with self._refreshing:
            if since is not None and self.generation > since:
                return []
            unreadable = self._refresh()
            self.generation += 1
            return unreadable

    def _refresh(self) -> list[str]:
        # In this order, whatever is removed or made meanwhile: no pack that is to go is ever taken for one that stays.
        with self._access() as database:
            known = dict(database.execute("SELECT name, condemned FROM pack"))
        condemned = {path.removeprefix(f"{CONDEMNED}/") for path in self._backend.list(CONDEMNED)}
        there = {
            name for name in (path.removeprefix(f"{PACKS}/") for path in self._backend.list(PACKS)) if is_name(name)
        }
        unreadable = []
        for name in sorted(there - known.keys()):
            try:
                entries = read_index(self._backend, f"{PACKS}/{name}")
            except FileNotFoundError:
                continue
            except DamagedPack:
                unreadable.append(name)
                continue
            self.add(name, entries, condemned=name in condemned)
        with self._transaction() as database:
            for name in known.keys() - there:
                self._forget(name)
            for name in condemned & known.keys():
                if not known[name]:
                    database.execute("UPDATE pack SET condemned = 1 WHERE name = ?", (name,))
        return unreadable

    def add(self, name: str, entries: Iterable[Entry], condemned: bool = False) -> None:
        """Take in the pack `name`."""
        with self._transaction() as database:
            done = database.execute(
                "INSERT INTO pack (name, condemned) VALUES (?, ?) ON CONFLICT DO NOTHING", (name, condemned)
            )
            if not done.rowcount:
                return
            pack = done.lastrowid
            database.executemany(
                "INSERT OR IGNORE INTO chunk VALUES (?, ?, ?, ?, ?, ?)",
                ((each.key, pack, each.offset, each.stored, each.size, each.codec) for each in entries),
            )

    def forget(self, name: str) -> None:
        """The pack `name` is gone."""
        with self._transaction():
            self._forget(name)

    def distrust(self, name: str, key: bytes) -> None:
        """What the pack `name` has in a chunk's place is not that chunk: nobody here is to rely on it."""
        with self._transaction() as database:
            pack = "(SELECT id FROM pack WHERE name = ?)"
            database.execute(f"DELETE FROM chunk WHERE key = ? AND pack = {pack}", (key, name))

    def known(self, keys: Iterable[bytes]) -> set[bytes]:
        """Those of `keys` that a pack holds which is to stay."""
        with self._access() as database:
            return {
                key
                for some in _batches(list(keys))
                for (key,) in database.execute(
                    "SELECT key FROM chunk JOIN pack ON pack.id = pack "
                    f"WHERE NOT condemned AND key IN ({_marks(some)})",
                    some,
                )
            }

    def places(self, key: bytes) -> list[Place]:
        """Where the chunk is; in packs that are to stay first."""
        with self._access() as database:
            rows = database.execute(
                "SELECT name, offset, stored, size, codec FROM chunk JOIN pack ON pack.id = pack WHERE key = ? "
                "ORDER BY condemned",
                (key,),
            ).fetchall()
        return [Place(name, Entry(key, *row)) for name, *row in rows]

    def first_places(self, keys: Iterable[bytes]) -> dict[bytes, Place]:
        """The first of `places` of each of `keys`, for those that there are."""
        found: dict[bytes, Place] = {}
        with self._access() as database:
            for some in _batches(list(keys)):
                rows = database.execute(
                    "SELECT key, name, offset, stored, size, codec FROM chunk JOIN pack ON pack.id = pack "
                    f"WHERE key IN ({_marks(some)}) ORDER BY condemned",
                    some,
                )
                for key, name, *row in rows:
                    found.setdefault(key, Place(name, Entry(key, *row)))
        return found

    def packs(self) -> dict[str, bool]:
        """Every pack's name, and whether it is condemned."""
        with self._access() as database:
            return {name: bool(gone) for name, gone in database.execute("SELECT name, condemned FROM pack")}

    def entries(self, name: str) -> list[Entry]:
        """What is in the pack `name`, in the order in which it lies there."""
        with self._access() as database:
            rows = database.execute(
                "SELECT key, offset, stored, chunk.size, codec FROM chunk JOIN pack ON pack.id = pack WHERE name = ? "
                "ORDER BY offset",
                (name,),
            )
            return [Entry(*row) for row in rows]

    def totals(self) -> tuple[int, int, int]:
        """The number of chunks, their size in bytes, and what they take as stored, each chunk counted once."""
        with self._access() as database:
            row = database.execute(
                "SELECT count(*), coalesce(sum(size), 0), coalesce(sum(stored), 0) "
                "FROM (SELECT size, stored FROM chunk GROUP BY key)"
            ).fetchone()
        return int(row[0]), int(row[1]), int(row[2])

    def _forget(self, name: str) -> None:
        self._database.execute("DELETE FROM chunk WHERE pack = (SELECT id FROM pack WHERE name = ?)", (name,))
        self._database.execute("DELETE FROM pack WHERE name = ?", (name,))

    @contextlib.contextmanager
    def _access(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            try:
                yield self._database
            except sqlite3.OperationalError:
                raise
            except sqlite3.DatabaseError as error:
                raise StoreError(
                    f"The index {self._file} is damaged ({error}). It is only a cache: remove it, and it is made again."
                ) from error

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._access() as database:
            database.execute("BEGIN IMMEDIATE")
            try:
                yield database
                database.execute("COMMIT")
            except BaseException:
                if database.in_transaction:
                    database.execute("ROLLBACK")
                raise


def _connect(file: Path) -> sqlite3.Connection:
    database = sqlite3.connect(file, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
    try:
        database.execute("PRAGMA journal_mode = WAL")
        # What is lost with the power is read from the packs again.
        database.execute("PRAGMA synchronous = OFF")
        database.executescript(_SCHEMA)
    except BaseException:
        database.close()
        raise
    return database


def _batches(keys: list[bytes]) -> Iterator[list[bytes]]:
    for start in range(0, len(keys), _AT_ONCE):
        yield keys[start : start + _AT_ONCE]


def _marks(keys: list[bytes]) -> str:
    return ",".join("?" * len(keys))
