"""The store itself: opening one, getting things back, and the names under which they are kept."""

from __future__ import annotations

import bisect
import io
import itertools
import json
import os
import re
import secrets
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path

from blake3 import blake3

from regrow.store import codec
from regrow.store.backend import Backend
from regrow.store.chunking import MAX_BYTES
from regrow.store.errors import ChunkDamaged, ChunkMissing, NotAStore, NotKept, StoreError
from regrow.store.folder import FolderBackend
from regrow.store.index import Index, Place
from regrow.store.names import NAMES, SUFFIX, checked_name, path_of
from regrow.store.pack import PACKS, Entry, write_at
from regrow.store.recipe import Recipe
from regrow.store.writer import THREADS, Writer

FORMAT = 1
GRACE_S = 24 * 3600.0
_AHEAD = 4 * THREADS


class _Scratch(threading.local):
    """What each thread has for itself."""

    def __init__(self) -> None:
        self.buffer = memoryview(bytearray(MAX_BYTES))


_scratch = _Scratch()


class Store:
    """A content-addressed store. Any number of processes and machines may read and write it at once.

    `url` is a folder or any URL of fsspec's. `cache_dir` is a folder of this machine for the index of this store;
    `now` gives seconds since 1970.
    """

    def __init__(self, backend: Backend, cache_dir: Path, now: Callable[[], float] = time.time) -> None:
        try:
            about = json.loads(backend.read("store.json"))
            about_format, identity, grace_s = about["format"], about["id"], float(about["grace_s"])
        except (FileNotFoundError, NotADirectoryError) as error:
            raise NotAStore(f"There is no store at {backend.url}.") from error
        except (ValueError, KeyError, TypeError) as error:
            raise NotAStore(f"{backend.url} has a store.json that is not a store's.") from error
        if about_format != FORMAT or not re.fullmatch("[0-9a-f]{32}", identity):
            raise NotAStore(f"The store at {backend.url} has format {about_format!r}; this version reads {FORMAT}.")
        self.id = identity
        self.backend = backend
        self.grace_s = grace_s
        self.now = now
        # A copy of a store is another store; machines that share a home folder must not share an index.
        place = blake3(f"{identity} {backend.url} {socket.gethostname()}".encode()).hexdigest(16)
        self.index = Index(backend, cache_dir / place / "index.sqlite")
        self._process = os.getpid()
        self._threads = ThreadPoolExecutor(THREADS, "regrow-store-read")

    @classmethod
    def create(
        cls,
        url: str,
        cache_dir: Path | None = None,
        grace_s: float = GRACE_S,
        now: Callable[[], float] = time.time,
        **options: object,
    ) -> Store:
        """The store at `url`, made if there is none. `grace_s` is how long `gc` spares what nothing refers to yet.

        `options` are fsspec's, credentials among them.
        """
        backend = _backend(url, options)
        about = {"format": FORMAT, "id": secrets.token_hex(16), "grace_s": grace_s}
        if isinstance(backend, FolderBackend):
            backend.root.mkdir(parents=True, exist_ok=True)
        backend.create("store.json", json.dumps(about).encode())
        return cls(backend, cache_dir or default_cache_dir(), now)

    @classmethod
    def open(
        cls, url: str, cache_dir: Path | None = None, now: Callable[[], float] = time.time, **options: object
    ) -> Store:
        """The store at `url`. Raises `NotAStore` where there is none."""
        return cls(_backend(url, options), cache_dir or default_cache_dir(), now)

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the index and the threads. The store can't be used any more."""
        self._threads.shutdown(cancel_futures=True)
        self.index.close()
        self.backend.close()

    def writer(self, worth: float = codec.WORTH) -> Writer:
        """A session of putting things in, as a context manager.

        A chunk is compressed where that leaves less than `worth` of it: what has to be fast asks for more to be saved.
        """
        self._check_process()
        return Writer(self.backend, self.index, self.grace_s / 2, self.now, self._keep, worth)

    def names(self, prefix: str = "") -> Iterator[str]:
        """The names under which something is kept: all, or those of the folder `prefix`."""
        folder = f"{NAMES}/{checked_name(prefix)}" if prefix else NAMES
        for path in self.backend.list(folder):
            yield path.removeprefix(f"{NAMES}/").removesuffix(SUFFIX)

    def recipe(self, name: str) -> Recipe:
        """What is kept as `name`. Raises `NotKept`."""
        try:
            data = self.backend.read(path_of(name))
        except FileNotFoundError as error:
            raise NotKept(f"Nothing is kept as {name} in {self.backend.url}.") from error
        return Recipe.decode(data, name)

    def drop(self, name: str) -> None:
        """Keep it no longer: what nothing else refers to goes with a later `gc`. Raises `NotKept`."""
        try:
            # Also what is damaged can be dropped.
            self.backend.size(path_of(name))
        except FileNotFoundError as error:
            raise NotKept(f"Nothing is kept as {name} in {self.backend.url}.") from error
        self.backend.remove(path_of(name))

    def chunks(self, recipe: Recipe) -> Iterator[memoryview]:
        """The content, verified, chunk by chunk; some chunks are fetched ahead.

        Raises `ChunkMissing` or `ChunkDamaged`.
        """
        self._check_process()
        ahead: deque[Future[memoryview]] = deque()
        try:
            for key, size, place in self._placed(recipe):
                ahead.append(self._threads.submit(self._get, key, size, place))
                if len(ahead) > _AHEAD:
                    yield ahead.popleft().result()
            while ahead:
                yield ahead.popleft().result()
        finally:
            for future in ahead:
                future.cancel()

    def read_into(self, recipe: Recipe, buffer: memoryview) -> None:
        """Fill `buffer`, of `recipe.size` bytes, with the content, each chunk straight into its place.

        Raises `ChunkMissing` or `ChunkDamaged`; what `buffer` holds then is undefined.
        """
        view = buffer.cast("B")
        if view.nbytes != recipe.size:
            raise ValueError(f"a buffer of {view.nbytes} bytes for {recipe.size}")
        self._for_each(recipe, lambda offset, key, size, place: self._fill(key, view[offset : offset + size], place))

    def write_to(self, recipe: Recipe, descriptor: int) -> None:
        """Write the content into an open file, from its beginning, each chunk to its place when it is verified.

        Raises `ChunkMissing` or `ChunkDamaged`, and `OSError` as writing does; some is written then.
        """

        def write(offset: int, key: bytes, size: int, place: Place | None) -> None:
            # A buffer for each thread, not for each chunk: it stays in the processor's cache.
            if size > len(_scratch.buffer):
                _scratch.buffer = memoryview(bytearray(size))
            chunk = _scratch.buffer[:size]
            self._fill(key, chunk, place)
            write_at(descriptor, chunk, offset)

        self._for_each(recipe, write)

    def _for_each(self, recipe: Recipe, do: Callable[[int, bytes, int, Place | None], None]) -> None:
        """`do` for each chunk: its offset, its key, its size in bytes, a place where it may be; by several threads."""
        self._check_process()
        doing: deque[Future[None]] = deque()
        offset = 0
        try:
            for key, size, place in self._placed(recipe):
                doing.append(self._threads.submit(do, offset, key, size, place))
                offset += size
                if len(doing) > _AHEAD:
                    doing.popleft().result()
            while doing:
                doing.popleft().result()
        finally:
            for future in doing:
                future.cancel()
            # Nobody writes any more when this returns, also by an exception.
            wait(doing)

    def _placed(self, recipe: Recipe) -> Iterator[tuple[bytes, int, Place | None]]:
        wanted = iter(recipe)
        while some := list(itertools.islice(wanted, _AHEAD)):
            places = self.index.first_places(key for key, _ in some)
            for key, size in some:
                yield key, size, places.get(key)

    def read(self, recipe: Recipe) -> bytes:
        """The whole content. Raises `ChunkMissing` or `ChunkDamaged`."""
        buffer = bytearray(recipe.size)
        self.read_into(recipe, memoryview(buffer))
        return bytes(buffer)

    def open_recipe(self, recipe: Recipe) -> io.BufferedReader:
        """The content as a file that can be read and sought in."""
        return io.BufferedReader(_RecipeFile(self, recipe), 1024 * 1024)

    def _keep(self, name: str, recipe: Recipe) -> None:
        self.backend.write(path_of(name), recipe.encode())

    def _get(self, key: bytes, size: int, place: Place | None) -> memoryview:
        chunk = memoryview(bytearray(size))
        self._fill(key, chunk, place)
        return chunk

    def _fill(self, key: bytes, chunk: memoryview, place: Place | None) -> None:
        tried: set[str] = set()
        obstacle: OSError | None = None
        for candidate in self._candidates(key, place):
            if candidate.pack in tried:
                continue
            tried.add(candidate.pack)
            try:
                if self._fill_from(candidate, chunk):
                    return
            except OSError as error:
                obstacle = error
        if obstacle:
            raise StoreError(f"Could not read from {self.backend.url}: {obstacle}.") from obstacle
        raise self._lost(key, tried)

    def _candidates(self, key: bytes, place: Place | None) -> Iterator[Place]:
        seen = self.index.generation
        if place:
            yield place
        yield from self.index.places(key)
        # It may have moved.
        self.index.refresh(since=seen)
        yield from self.index.places(key)

    def _lost(self, key: bytes, packs: set[str]) -> StoreError:
        what = f"The chunk {key.hex()[:16]}…"
        then = "Run regrow store verify to see what needs it."
        there = packs & self.index.packs().keys()
        if not there:
            return ChunkMissing(f"{what} is in no pack of {self.backend.url}. {then}")
        return ChunkDamaged(f"{what} is damaged in {self.backend.url} (pack {', '.join(sorted(there))}). {then}")

    def _fill_from(self, place: Place, chunk: memoryview) -> bool:
        """Whether `chunk` could be had from there. What is not what it should be is not looked for there again."""
        entry = place.entry
        path = f"{PACKS}/{place.pack}"
        try:
            if entry.size == chunk.nbytes and self._read_stored(path, entry, chunk):
                return True
        except FileNotFoundError:
            return False
        except OSError:
            # An object store says so where a folder gives less than asked for: the pack is truncated.
            if self.backend.size(path) >= entry.offset + entry.stored:
                raise
        self.index.distrust(place.pack, entry.key)
        return False

    def _read_stored(self, path: str, entry: Entry, chunk: memoryview) -> bool:
        if entry.codec == codec.RAW and entry.stored == entry.size:
            filled = self.backend.read_into(path, entry.offset, chunk) == entry.size
        else:
            stored = memoryview(bytearray(entry.stored))
            filled = self.backend.read_into(path, entry.offset, stored) == entry.stored
            filled = filled and codec.decode_into(entry.codec, stored, chunk)
        return filled and blake3(chunk).digest() == entry.key

    def _check_process(self) -> None:
        if os.getpid() != self._process:
            raise StoreError("This store was opened before this process was forked. Open it again in the new process.")


class _RecipeFile(io.RawIOBase):
    def __init__(self, store: Store, recipe: Recipe) -> None:
        self._store = store
        self._recipe = recipe
        self._chunks = list(recipe)
        self._starts = list(itertools.accumulate((size for _, size in self._chunks), initial=0))
        self._position = 0
        self._following: Iterator[memoryview] | None = None
        self._current: tuple[int, memoryview] | None = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._recipe.size}[whence]
        if base + offset < 0:
            raise ValueError(f"a position of {base + offset}")
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        if self._position >= self._recipe.size or not len(buffer):
            return 0
        number = bisect.bisect_right(self._starts, self._position) - 1
        chunk = self._chunk(number)
        start = self._position - self._starts[number]
        part = chunk[start : start + len(buffer)]
        buffer[: len(part)] = part
        self._position += len(part)
        return len(part)

    def _chunk(self, number: int) -> memoryview:
        if self._current and self._current[0] == number:
            return self._current[1]
        following, self._following = self._following, None
        if self._current and self._current[0] + 1 == number:
            # Somebody reads on and on: what comes next is fetched ahead.
            ahead = following or self._store.chunks(Recipe.of(self._chunks[number:]))
            self._current = (number, next(ahead))
            self._following = ahead
        else:
            (chunk,) = self._store.chunks(Recipe.of(self._chunks[number : number + 1]))
            self._current = (number, chunk)
        return self._current[1]


def default_cache_dir(chosen: str = "") -> Path:
    """Where this machine keeps the indexes of stores: `chosen`, or as the XDG Base Directory Specification has it."""
    return Path(chosen or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "regrow/store")


def _backend(url: str, options: dict[str, object]) -> Backend:
    protocol, separator, path = url.partition("://")
    if separator and protocol not in ("file", "local"):
        # fsspec takes a tenth of a second to import, which who only has a folder need not wait for.
        from regrow.store.remote import RemoteBackend

        return RemoteBackend(url, **options)
    return FolderBackend(Path(path if separator else url).absolute())
