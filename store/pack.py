"""Pack files: the chunks of one write one after the other, then an index of them, then a footer.

    stored chunk ... stored chunk | entry ... entry | footer

The footer authenticates the index, the index names each chunk by its BLAKE3: a pack is verified by itself.
"""

from __future__ import annotations

import os
import re
import secrets
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from blake3 import blake3

from regrow.store.backend import Backend
from regrow.store.recipe import KEY_BYTES, MOST_CHUNK_BYTES

PACKS = "packs"
PACK_BYTES = 16 * 1024 * 1024
_ENTRY = struct.Struct(f"<{KEY_BYTES}sQIIB")
_FOOTER = struct.Struct("<QI32s8s")
_MAGIC = b"regrowP\x01"
_NAME = re.compile("[0-9a-f]{12}-[0-9a-f]{16}")


@dataclass(frozen=True)
class Entry:
    """Where a chunk of `size` bytes lies in its pack: `stored` bytes at `offset`, encoded by `codec`."""

    key: bytes
    offset: int
    stored: int
    size: int
    codec: int


class DamagedPack(Exception):
    """A pack whose index can't be read: truncated, changed, or not written to its end yet."""


def index_of(entries: Iterable[Entry], offset: int) -> bytes:
    """The end of a pack whose chunks end at `offset`: index and footer."""
    index = b"".join(_ENTRY.pack(entry.key, entry.offset, entry.stored, entry.size, entry.codec) for entry in entries)
    return index + _FOOTER.pack(offset, len(index) // _ENTRY.size, blake3(index).digest(), _MAGIC)


def read_index(backend: Backend, path: str) -> list[Entry]:
    """The index of the pack at `path`. Raises `DamagedPack`, or `FileNotFoundError` where it is gone."""
    size = backend.size(path)
    # One request fetches the index of all but the packs of many small chunks.
    guess = min(size, 64 * 1024)
    tail = backend.read(path, size - guess, guess)
    if len(tail) < _FOOTER.size:
        raise DamagedPack(path)
    offset, count, digest, magic = _FOOTER.unpack_from(tail, len(tail) - _FOOTER.size)
    length = count * _ENTRY.size
    if magic != _MAGIC or offset + length + _FOOTER.size != size:
        raise DamagedPack(path)
    if length + _FOOTER.size <= guess:
        index = tail[len(tail) - _FOOTER.size - length : len(tail) - _FOOTER.size]
    else:
        index = backend.read(path, offset, length)
    if blake3(index).digest() != digest:
        raise DamagedPack(path)
    return list(_entries(index, offset, path))


def _entries(index: bytes, end: int, path: str) -> Iterator[Entry]:
    for fields in _ENTRY.iter_unpack(index):
        entry = Entry(*fields)
        if entry.offset + entry.stored > end or not entry.stored <= entry.size <= MOST_CHUNK_BYTES:
            raise DamagedPack(path)
        yield entry


class PackFile:
    """A pack that is being written, in a backend's scratch folder. Not for two threads at once."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._output = file.open("xb", buffering=0)
        self.size = 0
        self.entries: list[Entry] = []

    def append(self, key: bytes, codec: int, stored: bytes | memoryview, size: int) -> None:
        """Add a chunk of `size` bytes, encoded by `codec` as `stored`. After an `OSError` only `discard` is left."""
        write_at(self._output.fileno(), stored, self.size)
        self.entries.append(Entry(key, self.size, len(stored), size, codec))
        self.size += len(stored)

    def publish(self, backend: Backend, name: str) -> None:
        """Write the index, and put the pack where readers find it as `name`."""
        write_at(self._output.fileno(), index_of(self.entries, self.size), self.size)
        self._output.close()
        backend.publish(self._file, f"{PACKS}/{name}")

    def discard(self) -> None:
        """Leave nothing of it."""
        self._output.close()
        self._file.unlink(missing_ok=True)


def new_name(now: float) -> str:
    """A name for a pack, or a file that is still being written, made at `now` (seconds since 1970)."""
    return f"{int(now * 1000):012x}-{secrets.token_hex(8)}"


def is_name(name: str) -> bool:
    """Whether a file is one of ours: NFS and file managers leave others."""
    return bool(_NAME.fullmatch(name))


def made_at(name: str) -> float:
    """When the file of that name was made, in seconds since 1970."""
    return int(name.partition("-")[0], 16) / 1000


def write_at(descriptor: int, data: bytes | memoryview, offset: int) -> None:
    """Write all of `data` at `offset` of an open file."""
    view = memoryview(data)
    while view:
        count = os.pwrite(descriptor, view, offset)
        view, offset = view[count:], offset + count
