"""What something kept consists of: the list of its chunks."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

from blake3 import blake3

from regrow.store.errors import StoreError

KEY_BYTES = 32
MOST_CHUNK_BYTES = 16 * 1024 * 1024
_ENTRY = struct.Struct("<32sI")
_HEAD = struct.Struct("<8sQ32s")
_MAGIC = b"regrowR\x01"


@dataclass(frozen=True)
class Recipe:
    """`size` bytes, as the concatenation of chunks. `entries` packs a key (32 bytes) and a length (uint32) for each."""

    size: int
    entries: bytes

    @classmethod
    def of(cls, chunks: list[tuple[bytes, int]]) -> Recipe:
        """The recipe of chunks given as (key, length in bytes), in order."""
        return cls(sum(length for _, length in chunks), b"".join(_ENTRY.pack(*chunk) for chunk in chunks))

    def __iter__(self) -> Iterator[tuple[bytes, int]]:
        """Each chunk's key and length in bytes, in order."""
        return _ENTRY.iter_unpack(self.entries)

    def __len__(self) -> int:
        return len(self.entries) // _ENTRY.size

    def encode(self) -> bytes:
        """The recipe as bytes that know when they are damaged."""
        return _HEAD.pack(_MAGIC, self.size, blake3(self.entries).digest()) + self.entries

    @classmethod
    def decode(cls, data: bytes, name: str) -> Recipe:
        """The recipe in `data`, which was kept as `name`. Raises `StoreError` where it is damaged."""
        damaged = StoreError(f"What is kept as {name} is damaged: its list of chunks can't be read.")
        if len(data) < _HEAD.size:
            raise damaged
        magic, size, digest = _HEAD.unpack_from(data)
        entries = data[_HEAD.size :]
        if magic != _MAGIC or digest != blake3(entries).digest() or len(entries) % _ENTRY.size:
            raise damaged
        recipe = cls(size, entries)
        if sum(length for _, length in recipe) != size or any(length > MOST_CHUNK_BYTES for _, length in recipe):
            raise damaged
        return recipe
