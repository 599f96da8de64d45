"""Making a fork of a large process short: its price is its page tables, and a huge page needs 1/512 of their entries.

Linux 6.1 and later put memory into huge pages when asked (MADV_COLLAPSE, madvise(2)), in any thread, without a stop.
Where that can't be had, a fork only takes longer. It fills holes, so what is sparse stays as it is.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

HUGE_BYTES = 2 * 1024 * 1024
#: Memory in small pages of which a fork is short enough: some 15 ms.
SMALL_ENOUGH_BYTES = 512 * 1024 * 1024
_PIECE_BYTES = 16 * HUGE_BYTES
_LEAST_BYTES = 8 * HUGE_BYTES
#: A region of which less is there has holes that are not to be filled.
_DENSE = 0.9
#: Memory that is left to others.
SPARE_BYTES = 1024 * 1024 * 1024
_CGROUPS = Path("/sys/fs/cgroup")
#: A cgroup's limit, what it uses, and in its statistics, what of that is files' and given back when it is needed.
_CGROUP_FILES = (
    ("memory.max", "memory.current", "inactive_file"),
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
)
_MADV_COLLAPSE = 25


def resident_bytes() -> int:
    """How much memory this process has. Takes no time."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def small_page_bytes() -> int:
    """How much of this process's own memory is in small pages. Takes milliseconds for each GiB."""
    fields = dict(line.split(":", 1) for line in Path("/proc/self/smaps_rollup").read_text().splitlines()[1:])
    return (int(fields["Anonymous"].split()[0]) - int(fields["AnonHugePages"].split()[0])) * 1024


def room_bytes(cgroups: Path = _CGROUPS) -> int:
    """How much more memory this process may take before the kernel ends something: the machine's, and its cgroup's."""
    fields = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    room = int(fields["MemAvailable"].split()[0]) * 1024
    for folder in _cgroups_of_this(cgroups):
        for limit, usage, given_back in _CGROUP_FILES:
            with suppress(OSError, ValueError, KeyError):  # not this version's; no limit: "max"
                most = int((folder / limit).read_text())
                used = int((folder / usage).read_text())
                fields = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
                room = min(room, most - used + int(fields[given_back]))
    return max(0, room)


def _cgroups_of_this(cgroups: Path) -> Iterator[Path]:
    """The folders of this process's cgroups, and of those above them, that may limit its memory."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        root = cgroups / "memory" if controllers else cgroups
        # In a container the folder that is mounted is often the cgroup itself, whatever its path is called.
        folder = root / path.lstrip("/")
        yield from (each for each in (folder, *folder.parents) if each.is_relative_to(root) and each.is_dir())


def make_huge(go_on: Callable[[], bool], room: Callable[[], int] = room_bytes) -> None:
    """Put large regions of this process's memory into huge pages, as long as `go_on` says so, and there is `room`."""
    madvise = ctypes.CDLL(None, use_errno=True).madvise
    madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    failed = 0
    for start, end in list(_large_regions()):
        for piece in range(start, end, _PIECE_BYTES):
            if not go_on() or failed > 8 or room() < SPARE_BYTES:
                return
            # The call runs without the interpreter's lock. A region may be gone by now.
            failed = failed + 1 if madvise(piece, min(_PIECE_BYTES, end - piece), _MADV_COLLAPSE) else 0


def _large_regions() -> Iterator[tuple[int, int]]:
    """Regions of this process's own memory that are all there, and not in huge pages yet."""
    for (start, end), sizes in _regions():
        there = sizes["Rss"]
        if there >= _DENSE * sizes["Size"] and sizes["AnonHugePages"] < _DENSE * there:
            start, end = -(-start // HUGE_BYTES) * HUGE_BYTES, end // HUGE_BYTES * HUGE_BYTES
            if end - start >= _LEAST_BYTES:
                yield start, end


def _regions() -> Iterator[tuple[tuple[int, int], dict[str, int]]]:
    """Where each region of this process's own memory is, and the sizes that the kernel says of it, in KiB."""
    place, sizes = None, dict[str, int]()
    for line in Path("/proc/self/smaps").read_text().splitlines():
        fields = line.split()
        if fields[0].endswith(":"):
            if len(fields) == 3 and fields[2] == "kB":
                sizes[fields[0][:-1]] = int(fields[1])
            continue
        if place:
            yield place, sizes
        is_own = fields[1] == "rw-p" and fields[4] == "0" and (len(fields) < 6 or fields[5] == "[heap]")
        start, end = (int(each, 16) for each in fields[0].split("-"))
        place, sizes = (start, end) if is_own else None, {}
    if place:
        yield place, sizes
