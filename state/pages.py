"""Making a fork of a large process short: its price is its page tables, and a huge page needs 1/512 of their entries.

Linux 6.1 and later put memory into huge pages when asked (MADV_COLLAPSE, madvise(2)), in any thread, without a stop.
Where that can't be had, a fork only takes longer.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterator
from pathlib import Path

HUGE_BYTES = 2 * 1024 * 1024
#: Memory in small pages of which a fork is short enough: some 15 ms.
SMALL_ENOUGH_BYTES = 512 * 1024 * 1024
_PIECE_BYTES = 16 * HUGE_BYTES
_LEAST_BYTES = 8 * HUGE_BYTES
_MADV_COLLAPSE = 25


def resident_bytes() -> int:
    """How much memory this process has. Takes no time."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def small_page_bytes() -> int:
    """How much of this process's own memory is in small pages. Takes milliseconds for each GiB."""
    fields = dict(line.split(":", 1) for line in Path("/proc/self/smaps_rollup").read_text().splitlines()[1:])
    return (int(fields["Anonymous"].split()[0]) - int(fields["AnonHugePages"].split()[0])) * 1024


def make_huge(go_on: Callable[[], bool]) -> None:
    """Put large regions of this process's memory into huge pages, as long as `go_on` says so and it is possible."""
    madvise = ctypes.CDLL(None, use_errno=True).madvise
    madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    failed = 0
    for start, end in list(_large_regions()):
        for piece in range(start, end, _PIECE_BYTES):
            if not go_on() or failed > 8:
                return
            # The call runs without the interpreter's lock. A region may be gone by now, or have holes.
            failed = failed + 1 if madvise(piece, min(_PIECE_BYTES, end - piece), _MADV_COLLAPSE) else 0


def _large_regions() -> Iterator[tuple[int, int]]:
    for line in Path("/proc/self/maps").read_text().splitlines():
        fields = line.split()
        is_own = fields[1] == "rw-p" and fields[4] == "0" and (len(fields) < 6 or fields[5] == "[heap]")
        start, end = (int(each, 16) for each in fields[0].split("-"))
        start, end = -(-start // HUGE_BYTES) * HUGE_BYTES, end // HUGE_BYTES * HUGE_BYTES
        if is_own and end - start >= _LEAST_BYTES:
            yield start, end
