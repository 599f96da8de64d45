"""Removing what nothing kept refers to, beside writers and readers, without locking them out.

Two steps, after G. Chen's fossil collection (Duplicacy, "Lock-Free Deduplication"): a pack without anything worth
keeping is first *condemned*, and from then on no writer relies on it. After the store's grace, when every writer that
had relied on it before has kept what it wrote, names are read again; what they still need is copied to a new pack, and
the condemned one is removed. A pack that was condemned once is never pardoned, so two collections at once, or one that
was killed, do no harm.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from regrow.store.errors import NotKept, StoreError
from regrow.store.folder import FolderBackend
from regrow.store.index import CONDEMNED
from regrow.store.pack import PACK_BYTES, PACKS, DamagedPack, Entry, PackFile, is_name, made_at, new_name, read_index
from regrow.store.store import Store
from regrow.store.verify import condemn, is_sound

_LOCK = "locks/gc"
_LOCK_EXPIRES_S = 3600.0
# A pack is written again when less than this share of it is needed, or when it is this small and not alone.
_WORTH = 0.5
_SMALL_BYTES = PACK_BYTES // 8
_SMALL_PACKS = 8


@dataclass
class Collected:
    """What a collection did, in numbers."""

    condemned_packs: int = 0
    removed_packs: int = 0
    freed_bytes: int = 0
    moved_bytes: int = 0


def collect(store: Store, progress: Callable[[str], None] = lambda message: None) -> Collected:
    """Condemn and remove what nothing kept refers to. Space is free after a second run, `store.grace_s` later.

    Raises `StoreError` where another collection runs.
    """
    with _lock(store) as still_here:
        collection = _Collection(store, progress, still_here)
        try:
            return collection.run()
        finally:
            if collection.pack:
                collection.pack.discard()


@dataclass
class _Collection:
    store: Store
    progress: Callable[[str], None]
    still_here: Callable[[], None]
    done: Collected = field(default_factory=Collected)
    pack: PackFile | None = None
    moved: set[bytes] = field(default_factory=set)

    def run(self) -> Collected:
        store = self.store
        started = store.now()
        unreadable = store.index.refresh()
        packs = {*store.index.packs(), *unreadable}
        markers = (path.removeprefix(f"{CONDEMNED}/") for path in store.backend.list(CONDEMNED))
        condemned = {name: self._condemned_at(name) for name in markers if name in packs}
        self.progress("Reading what is kept")
        with _Live(store) as live:
            self.still_here()
            old = [name for name in sorted(packs) if started - made_at(name) > store.grace_s]
            staying = [name for name in old if name not in condemned and name not in unreadable]
            spare = self._worth_moving(staying, live)
            leaving = [name for name in condemned if started - condemned[name] > store.grace_s]
            gone = frozenset((*spare, *condemned))
            for name in (*spare, *leaving):
                self.still_here()
                self.progress(f"Moving what is needed of {name}")
                self._move(name, live, gone)
            self._publish()
        for name in spare:
            self.still_here()
            self.done.condemned_packs += 1
            condemn(store, name)
        for name in leaving:
            self.still_here()
            with contextlib.suppress(FileNotFoundError):
                self.done.freed_bytes += store.backend.size(f"{PACKS}/{name}")
            store.backend.remove(f"{PACKS}/{name}")
            store.index.forget(name)
            self.done.removed_packs += 1
            # Last, so that nobody ever sees the pack without it.
            store.backend.remove(f"{CONDEMNED}/{name}")
        store.index.refresh()
        self._remove_litter(started)
        return self.done

    def _condemned_at(self, name: str) -> float:
        try:
            return float(self.store.backend.read(f"{CONDEMNED}/{name}"))
        except (FileNotFoundError, ValueError):
            return self.store.now()

    def _worth_moving(self, names: list[str], live: _Live) -> list[str]:
        chosen, small = [], []
        for name in names:
            entries = self.store.index.entries(name)
            size = sum(entry.stored for entry in entries)
            needed = live.of(entry.key for entry in entries)
            needed_bytes = sum(entry.stored for entry in entries if entry.key in needed)
            if needed_bytes < _WORTH * size or not needed:
                chosen.append(name)
            elif size < _SMALL_BYTES:
                small.append(name)
        return chosen + (small if len(small) >= _SMALL_PACKS else [])

    def _move(self, name: str, live: _Live, leaving: frozenset[str]) -> None:
        # What the pack itself says, and not what a cache has of it: this is the last that is seen of it.
        try:
            entries = read_index(self.store.backend, f"{PACKS}/{name}")
        except FileNotFoundError:
            return  # another collection was faster
        except DamagedPack as error:
            if all(self._is_placed(key, leaving) for key in live):
                return
            raise StoreError(
                f"The index of pack {name} of {self.store.backend.url} is damaged, and something kept may need what is "
                "in it. Nothing was removed. Run regrow store verify to see what."
            ) from error
        needed = live.of(entry.key for entry in entries)
        for entry in entries:
            if entry.key in needed and entry.key not in self.moved and not self._is_elsewhere(entry, leaving):
                self._copy(name, entry)

    def _is_placed(self, key: bytes, leaving: frozenset[str]) -> bool:
        return key in self.moved or any(place.pack not in leaving for place in self.store.index.places(key))

    def _is_elsewhere(self, entry: Entry, leaving: frozenset[str]) -> bool:
        places = [place for place in self.store.index.places(entry.key) if place.pack not in leaving]
        return any(is_sound(self.store, place.pack, place.entry) for place in places)

    def _copy(self, name: str, entry: Entry) -> None:
        if not is_sound(self.store, name, entry):
            raise StoreError(
                f"The chunk {entry.key.hex()[:16]}… in pack {name} of {self.store.backend.url} is damaged, and "
                "something kept needs it. Nothing was removed. Run regrow store verify to see what."
            )
        stored = self.store.backend.read(f"{PACKS}/{name}", entry.offset, entry.stored)
        if self.pack is None:
            self.pack = PackFile(self.store.backend.scratch() / new_name(self.store.now()))
        self.pack.append(entry.key, entry.codec, stored, entry.size)
        self.moved.add(entry.key)
        self.done.moved_bytes += entry.stored
        if self.pack.size >= PACK_BYTES:
            self._publish()

    def _publish(self) -> None:
        if self.pack is None:
            return
        pack, self.pack = self.pack, None
        name = new_name(self.store.now())
        try:
            pack.publish(self.store.backend, name)
        except BaseException:
            pack.discard()
            raise
        self.store.index.add(name, pack.entries)

    def _remove_litter(self, started: float) -> None:
        """What collections and writers that were killed have left."""
        packs = self.store.index.packs()
        for path in list(self.store.backend.list(CONDEMNED)):
            name = path.removeprefix(f"{CONDEMNED}/")
            if name not in packs and started - self._condemned_at(name) > self.store.grace_s:
                self.store.backend.remove(path)
        if isinstance(self.store.backend, FolderBackend):
            # Only a folder's scratch outlives its process.
            for file in self.store.backend.scratch().iterdir():
                if is_name(file.name) and started - made_at(file.name) > self.store.grace_s:
                    file.unlink(missing_ok=True)


class _Live:
    """The keys of all that is kept, on disk: there may be more than fit into memory."""

    def __init__(self, store: Store) -> None:
        self._database = sqlite3.connect("")
        self._database.execute("CREATE TABLE live (key BLOB PRIMARY KEY) WITHOUT ROWID")
        for name in store.names():
            with contextlib.suppress(NotKept):  # dropped meanwhile
                keys = ((key,) for key, _ in store.recipe(name))
                self._database.executemany("INSERT OR IGNORE INTO live VALUES (?)", keys)

    def __enter__(self) -> _Live:
        return self

    def __exit__(self, *error: object) -> None:
        self._database.close()

    def __iter__(self) -> Iterator[bytes]:
        return (key for (key,) in self._database.execute("SELECT key FROM live"))

    def of(self, keys: Iterator[bytes]) -> set[bytes]:
        """Those of `keys` that something kept needs."""
        found = set()
        for key in keys:
            if self._database.execute("SELECT 1 FROM live WHERE key = ?", (key,)).fetchone():
                found.add(key)
        return found


@contextlib.contextmanager
def _lock(store: Store) -> Iterator[Callable[[], None]]:
    """Keep a second collection from doing the same work. Two at once would do no harm."""
    backend = store.backend
    mine = {"host": socket.gethostname(), "pid": os.getpid(), "id": secrets.token_hex(8)}

    def content() -> bytes:
        return json.dumps({**mine, "seen": store.now()}).encode()

    while not backend.create(_LOCK, content()):
        try:
            other = json.loads(backend.read(_LOCK))
            seen, who = float(other["seen"]), f"on {other['host']} (process {other['pid']})"
        except FileNotFoundError:
            continue
        except (ValueError, KeyError, TypeError):
            seen, who = 0.0, "somewhere"
        age = store.now() - seen
        if 0 <= age < _LOCK_EXPIRES_S:
            raise StoreError(
                f"Another collection runs {who}, last heard of {age:.0f} s ago. Nothing was done. If it is dead, wait: "
                f"after {_LOCK_EXPIRES_S / 60:.0f} minutes of silence the next one takes over."
            )
        backend.remove(_LOCK)
    last = store.now()

    def still_here() -> None:
        nonlocal last
        if store.now() - last > 60:
            last = store.now()
            backend.write(_LOCK, content())

    try:
        yield still_here
    finally:
        backend.remove(_LOCK)
