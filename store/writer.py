"""Putting things into a store: cut, name, leave out what is there, encode, append, publish."""

from __future__ import annotations

import errno
import os
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from blake3 import blake3

from regrow.store import codec
from regrow.store.backend import Backend
from regrow.store.chunking import MIN_BYTES, Reader, chunks_of_buffer, chunks_of_stream
from regrow.store.errors import Expired, StoreError, StoreFull
from regrow.store.index import Index
from regrow.store.names import checked_name
from regrow.store.pack import PACK_BYTES, PackFile, new_name
from regrow.store.recipe import Recipe

THREADS = min(os.cpu_count() or 1, 8)
_BATCH_BYTES = 1024 * 1024
_BATCHES_AHEAD = 2 * THREADS
_PACKS_AHEAD = 2


class Writer:
    """One session of putting things into a store. `put` may be called from several threads.

    As a context manager: leaving the block publishes the chunks and then the names; leaving it by an exception keeps
    none of the names.
    """

    def __init__(
        self,
        backend: Backend,
        index: Index,
        expires_s: float,
        now: Callable[[], float],
        keep: Callable[[str, Recipe], None],
        worth: float = codec.WORTH,
    ) -> None:
        self._backend = backend
        self._index = index
        self._expires_s = expires_s
        self._now = now
        self._keep = keep
        self._worth = worth
        self._kept: dict[str, Recipe] = {}
        self._lock = threading.Lock()
        self._pack: PackFile | None = None
        self._unpublished: set[bytes] = set()
        self._threads = ThreadPoolExecutor(THREADS, "regrow-store")
        # Making a pack durable takes the disk's time, in which the next one is filled.
        self._publishing = ThreadPoolExecutor(1, "regrow-store-publish")
        self._published: deque[Future[None]] = deque()
        self._failure: BaseException | None = None
        self._made: set[Recipe] = set()
        self._seen = now()
        index.refresh()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self.commit()
        finally:
            self._close()

    def put(self, source: Reader | bytes | bytearray | memoryview) -> Recipe:
        """Store what `source` (a stream to its end, or a buffer, which is not copied) holds, and say how to get it.

        A buffer must not change until this returns. Raises `StoreFull`.
        """
        if isinstance(source, bytes | bytearray | memoryview):
            view = memoryview(source).cast("B")
            if view.nbytes <= MIN_BYTES:
                recipe = Recipe.of(self._store([view] if view.nbytes else []))
            else:
                recipe = self._put(chunks_of_buffer(view))
        else:
            recipe = self._put(chunks_of_stream(source))
        self._made.add(recipe)
        return recipe

    def keep(self, name: str, recipe: Recipe) -> None:
        """Let `gc` spare what `recipe` lists, as `name`, instead of what was kept so, from the next `commit` on.

        Raises `ValueError` where that is no name.
        """
        self._kept[checked_name(name)] = recipe

    def commit(self) -> None:
        """Publish what was put, and then the names, one by one. Raises `StoreFull`, and `Expired` where a part of it is
        to be removed by now.
        """
        with self._errors():
            with self._lock:
                self._publish()
            while self._published:
                self._published.popleft().result()
            late = self._now() - self._seen > self._expires_s
            if late or not self._made.issuperset(self._kept.values()):
                self._check_again()
            while self._kept:
                name = next(iter(self._kept))
                self._keep(name, self._kept[name])
                del self._kept[name]

    def _put(self, chunks: Iterator[memoryview]) -> Recipe:
        stored: list[tuple[bytes, int]] = []
        ahead: deque[Future[list[tuple[bytes, int]]]] = deque()
        try:
            for batch in _batches(chunks):
                ahead.append(self._threads.submit(self._store, batch))
                if len(ahead) > _BATCHES_AHEAD:
                    stored += ahead.popleft().result()
            while ahead:
                stored += ahead.popleft().result()
        finally:
            for future in ahead:
                future.cancel()
            # Nobody reads the source any more when this returns, also by an exception.
            wait(ahead)
        return Recipe.of(stored)

    def _store(self, chunks: list[memoryview]) -> list[tuple[bytes, int]]:
        keys = [blake3(chunk).digest() for chunk in chunks]
        with self._errors():
            known = self._index.known(keys)
            for key, chunk in zip(keys, chunks, strict=True):
                if key not in known and self._is_first(key):
                    kind, stored = codec.encode(chunk, self._worth)
                    self._append(key, kind, stored, chunk.nbytes)
        return [(key, chunk.nbytes) for key, chunk in zip(keys, chunks, strict=True)]

    def _is_first(self, key: bytes) -> bool:
        with self._lock:
            if key in self._unpublished:
                return False
            self._unpublished.add(key)
            return True

    def _append(self, key: bytes, kind: int, stored: bytes | memoryview, size: int) -> None:
        with self._lock:
            if self._pack is None:
                self._pack = PackFile(self._backend.scratch() / new_name(self._now()))
            self._pack.append(key, kind, stored, size)
            if self._pack.size >= PACK_BYTES:
                self._publish()

    def _publish(self) -> None:
        if self._pack is None:
            return
        while len(self._published) >= _PACKS_AHEAD:
            self._published.popleft().result()
        pack, self._pack = self._pack, None
        self._published.append(self._publishing.submit(self._publish_one, pack))

    def _publish_one(self, pack: PackFile) -> None:
        name = new_name(self._now())
        try:
            pack.publish(self._backend, name)
        except BaseException:
            pack.discard()
            raise
        self._index.add(name, pack.entries)
        self._unpublished.difference_update(entry.key for entry in pack.entries)

    def _check_again(self) -> None:
        """What was there at the start may have been condemned since; it is safe for as long again if it was not."""
        self._seen = self._now()
        self._index.refresh()
        for name, recipe in self._kept.items():
            keys = {key for key, _ in recipe}
            if keys - self._index.known(keys):
                raise Expired(
                    f"Parts of {name} that were there when it was begun are gone, or to be removed by now (a write may "
                    f"take {self._expires_s / 3600:.3g} hours). Nothing of it is kept. Store it again."
                )

    def _close(self) -> None:
        self._threads.shutdown(cancel_futures=True)
        self._publishing.shutdown()
        if self._pack:
            self._pack.discard()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Say what became of the write. After a failure nothing more is taken: it may rely on chunks that were lost."""
        if self._failure:
            raise self._failure
        try:
            yield
        except (OSError, sqlite3.OperationalError) as error:
            self._failure = self._explained(error)
            raise self._failure from error
        except BaseException as error:
            self._failure = error
            raise

    def _explained(self, error: OSError | sqlite3.OperationalError) -> StoreError:
        where = self._backend.url
        kept = "What was to be kept is not, and what was kept before is whole."
        if isinstance(error, FileNotFoundError) and self._now() - self._seen > self._expires_s:
            return Expired(f"Storing this took so long that a collection took it for left over. {kept} Store it again.")
        if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or "is full" in str(error):
            return StoreFull(f"There is no room left for {where}. {kept} Make room, or run: regrow store gc")
        return StoreError(f"Could not write to {where}: {error}. {kept}")


def _batches(chunks: Iterator[memoryview]) -> Iterator[list[memoryview]]:
    batch: list[memoryview] = []
    size = 0
    for chunk in chunks:
        batch.append(chunk)
        size += chunk.nbytes
        if size >= _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
