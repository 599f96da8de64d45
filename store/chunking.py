"""Content-defined chunking: where to cut, so that an insertion changes only the chunks around it.

FastCDC 2020 (Xia et al., "The Design of Fast Content-Defined Chunking for Data Deduplication Based Storage Systems",
IEEE TPDS 31(9)), by the package pyfastcdc.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from pyfastcdc import FastCDC

MIN_BYTES = 128 * 1024
AVERAGE_BYTES = 512 * 1024
MAX_BYTES = 2 * 1024 * 1024
BLOCK_BYTES = 8 * 1024 * 1024


class Reader(Protocol):
    """A stream that fills a buffer: files opened unbuffered, sockets, `io.BytesIO`."""

    def readinto(self, buffer: memoryview, /) -> int | None: ...


def chunks_of_buffer(buffer: memoryview) -> Iterator[memoryview]:
    """Cut `buffer` (bytes, one dimension) into chunks: views of it, in order, nothing copied."""
    if not buffer.nbytes:
        return
    for chunk in _chunker().cut_buf(buffer):
        yield chunk.data


def chunks_of_stream(stream: Reader) -> Iterator[memoryview]:
    """Cut all that `stream` gives into the same chunks as `chunks_of_buffer` would cut its whole content.

    The views stay valid as long as they are referred to; every `BLOCK_BYTES` have a buffer of their own.
    """
    rest = memoryview(b"")
    while True:
        # What is left of the last buffer is less than the largest chunk, so its end is not decided yet.
        block = memoryview(bytearray(max(BLOCK_BYTES, 2 * len(rest))))
        block[: len(rest)] = rest
        filled = len(rest)
        while filled < len(block):
            count = stream.readinto(block[filled:])
            if count is None:
                raise BlockingIOError("the stream has nothing to read now; only streams that wait can be stored")
            if not count:
                yield from chunks_of_buffer(block[:filled])
                return
            filled += count
        start = 0
        for chunk in _chunker().cut_buf(block):
            if filled - start < MAX_BYTES:
                break
            yield chunk.data
            start += chunk.length
        rest = block[start:]


def _chunker() -> FastCDC:
    return FastCDC(AVERAGE_BYTES, min_size=MIN_BYTES, max_size=MAX_BYTES, normalized_chunking=1)
