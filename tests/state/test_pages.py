"""A fork of a large process stays short."""

from __future__ import annotations

import mmap
import os
from pathlib import Path

import pytest

from regrow.state import pages

needs_collapse = pytest.mark.skipif(
    tuple(map(int, os.uname().release.split(".")[:2])) < (6, 1), reason="MADV_COLLAPSE is of Linux 6.1"
)


@needs_collapse
def test_memory_in_small_pages_is_put_into_huge_ones() -> None:
    size = 64 * 1024 * 1024
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory.madvise(mmap.MADV_NOHUGEPAGE)
    content = os.urandom(1024) * (size // 1024)
    memory[:] = content
    memory.madvise(mmap.MADV_HUGEPAGE)
    before = pages.small_page_bytes()
    pages.make_huge(lambda: True)
    assert before - pages.small_page_bytes() >= size - 4 * pages.HUGE_BYTES
    assert memory[:] == content


@needs_collapse
@pytest.mark.parametrize("every", [2 * pages.HUGE_BYTES, pages.HUGE_BYTES // 2])
def test_what_is_sparse_stays_sparse(every: int) -> None:
    size = 96 * 1024 * 1024
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory.madvise(mmap.MADV_NOHUGEPAGE)
    for place in range(0, size, every):
        memory[place] = 1
    memory.madvise(mmap.MADV_HUGEPAGE)
    before = pages.resident_bytes()
    pages.make_huge(lambda: True)
    assert pages.resident_bytes() - before < 16 * 1024 * 1024
    assert memory[every] == 1


def test_room_is_what_the_machine_and_the_cgroup_have_left(tmp_path: Path) -> None:
    assert 0 < pages.room_bytes() < os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    # Folders such as the kernel has; both of its versions.
    for folder, names, given_back in (
        (tmp_path, ("memory.max", "memory.current"), "inactive_file"),
        (tmp_path / "memory", ("memory.limit_in_bytes", "memory.usage_in_bytes"), "total_inactive_file"),
    ):
        folder.mkdir(exist_ok=True)
        for name, value in zip((*names, "memory.stat"), (5_000_000, 4_000_000, f"{given_back} 500000"), strict=True):
            (folder / name).write_text(f"{value}\n")
        assert pages.room_bytes(tmp_path) == 1_500_000
        (folder / names[0]).write_text("max\n")
        assert pages.room_bytes(tmp_path) > 5_000_000


def test_nothing_is_made_huge_where_there_is_no_room() -> None:
    memory = mmap.mmap(-1, 64 * 1024 * 1024, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    memory.madvise(mmap.MADV_NOHUGEPAGE)
    memory[:] = b"x" * len(memory)
    memory.madvise(mmap.MADV_HUGEPAGE)
    before = pages.small_page_bytes()
    pages.make_huge(lambda: True, room=lambda: pages.SPARE_BYTES - 1)
    assert before - pages.small_page_bytes() < 8 * 1024 * 1024


def test_it_stops_when_told() -> None:
    asked = []
    pages.make_huge(lambda: bool(asked.append(1)))
    assert len(asked) <= 1


def test_what_a_process_has_is_known() -> None:
    assert 0 < pages.small_page_bytes() < 2 * pages.resident_bytes()
