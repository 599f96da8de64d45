"""A fork of a large process stays short."""

from __future__ import annotations

import mmap
import os

import pytest

from regrow.state import pages


@pytest.mark.skipif(tuple(map(int, os.uname().release.split(".")[:2])) < (6, 1), reason="MADV_COLLAPSE is of Linux 6.1")
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


def test_it_stops_when_told() -> None:
    asked = []
    pages.make_huge(lambda: bool(asked.append(1)))
    assert len(asked) <= 1


def test_what_a_process_has_is_known() -> None:
    assert 0 < pages.small_page_bytes() < 2 * pages.resident_bytes()
