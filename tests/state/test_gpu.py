"""Memory of GPUs is brought to the machine's, as far as that has room. Here the machine's own stands for a GPU's."""

from __future__ import annotations

import time
from typing import Any

import pytest

from regrow.state import gpu, pages

torch = pytest.importorskip("torch")
MIB = 1024 * 1024


def storage(size: int) -> Any:
    return (torch.arange(size // 4, dtype=torch.float32)).untyped_storage() if size else torch.UntypedStorage(0)


def test_what_was_copied_is_what_was_there() -> None:
    storages = {1: storage(70 * MIB), 2: storage(0), 3: storage(12)}
    copies: dict[int, Any] = {}
    steps = sum(1 for _ in gpu.copy_to_host(storages, copies))
    assert steps == 3 + 1  # pieces
    for key, each in storages.items():
        assert bytes(copies[key]) == torch.empty(0, dtype=torch.uint8).set_(each).numpy().tobytes()
    assert (torch.frombuffer(copies[3], dtype=torch.float32) == torch.arange(3)).all()


def test_what_has_no_room_is_left_out_and_the_rest_is_copied() -> None:
    rooms = iter([pages.SPARE_BYTES + 4 * MIB, pages.SPARE_BYTES + 8 * MIB - 1, pages.SPARE_BYTES + 2 * MIB])
    storages = {1: storage(4 * MIB), 2: storage(8 * MIB), 3: storage(2 * MIB)}
    copies: dict[int, Any] = {}
    for _ in gpu.copy_to_host(storages, copies, room=lambda: next(rooms)):
        pass
    assert copies.keys() == {1, 3}


def test_memory_for_a_copy_is_had_without_a_stop() -> None:
    # Writing zeroes to all of it takes some 0.6 s of this thread's own time; a piece of it, some 0.02.
    copying = gpu.copy_to_host({1: torch.empty(1024 * MIB, dtype=torch.uint8).untyped_storage()}, {})
    started = time.thread_time()
    next(copying)
    assert time.thread_time() - started < 0.25
