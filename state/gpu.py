"""Tensors on GPUs, brought to the machine's memory before a fork: the child can't use CUDA."""

from __future__ import annotations

import mmap
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from regrow.state import pages

#: How much is copied without letting the kernel do anything else, in bytes.
PIECE_BYTES = 32 * 1024 * 1024


def is_in_use() -> bool:
    """Whether this process has initialised CUDA."""
    torch = sys.modules.get("torch")
    return torch is not None and hasattr(torch, "cuda") and bool(torch.cuda.is_initialized())


def copy_to_host(
    storages: Mapping[int, Any], copies: dict[int, Any], room: Callable[[], int] = pages.room_bytes
) -> Iterator[None]:
    """Fill `copies`, by the storages' keys, with their content, a piece at each step.

    What the machine's memory has no `room` for is left out.
    """
    import torch

    for key, storage in storages.items():
        size = storage.nbytes()
        if not size:
            copies[key] = b""
            continue
        if room() < size + pages.SPARE_BYTES:
            continue
        try:
            # It is zero without anybody writing that. A fork need not copy its page tables either, as it is shared.
            host = mmap.mmap(-1, size)
        except OSError:
            continue
        on_host = torch.frombuffer(host, dtype=torch.uint8)
        on_gpu = torch.empty(0, dtype=torch.uint8, device=storage.device).set_(storage)
        for start in range(0, size, PIECE_BYTES):
            on_host[start : start + PIECE_BYTES].copy_(on_gpu[start : start + PIECE_BYTES])
            yield
        copies[key] = host
