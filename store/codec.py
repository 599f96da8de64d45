"""How a chunk is stored: as it is, or as a zstd frame where that saves something."""

from __future__ import annotations

import threading

import zstandard

from regrow.store.recipe import MOST_CHUNK_BYTES

RAW = 0
ZSTD = 1
LEVEL = 2
# A frame of more than this share of a chunk is not worth its decompression: weights of 32 bits save a thirteenth, and
# are read at a fifth of the speed.
WORTH = 0.9
_SAMPLE_BYTES = 16 * 1024


class _PerThread(threading.local):
    """Contexts are not for two threads at once, and cost more to make than to use."""

    def __init__(self) -> None:
        self.compressor = zstandard.ZstdCompressor(level=LEVEL, write_checksum=False)
        self.decompressor = zstandard.ZstdDecompressor(max_window_size=MOST_CHUNK_BYTES)


_contexts = _PerThread()


def encode(chunk: memoryview, worth: float = WORTH) -> tuple[int, bytes | memoryview]:
    """The codec chosen for `chunk` and what to store: `chunk` itself (not a copy) or at most `worth` of its size.

    A sample from the middle of all but small chunks tells whether it is tried at all.
    """
    if chunk.nbytes > 4 * _SAMPLE_BYTES:
        middle = chunk.nbytes // 2
        if len(_contexts.compressor.compress(chunk[middle : middle + _SAMPLE_BYTES])) > worth * _SAMPLE_BYTES:
            return RAW, chunk
    frame = _contexts.compressor.compress(chunk)
    if len(frame) < worth * chunk.nbytes:
        return ZSTD, frame
    return RAW, chunk


def decode_into(codec: int, stored: bytes | memoryview, chunk: memoryview) -> bool:
    """Fill `chunk` from what `encode` gave. Whether that was possible; `chunk` is then still to be verified."""
    if codec == RAW:
        if len(stored) != chunk.nbytes:
            return False
        chunk[:] = stored
        return True
    if codec != ZSTD:
        return False
    try:
        with _contexts.decompressor.stream_reader(stored) as reader:
            filled = 0
            while filled < chunk.nbytes:
                count = reader.readinto(chunk[filled:])
                if not count:
                    return False
                filled += count
            return not reader.read(1)
    except zstandard.ZstdError:
        return False
