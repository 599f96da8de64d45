"""Tensors on GPUs, brought to the machine's memory before a fork: the child can't use CUDA."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from typing import Any

#: How much is copied without letting the kernel do anything else, in bytes.
PIECE_BYTES = 32 * 1024 * 1024


def is_in_use() -> bool:
    """Whether this process has initialised CUDA."""
    torch = sys.modules.get("torch")
    return torch is not None and hasattr(torch, "cuda") and bool(torch.cuda.is_initialized())


def copy_to_host(storages: Mapping[int, Any], copies: dict[int, Any]) -> Iterator[None]:
    """Fill `copies`, by the storages' keys, with their content as bytearrays, a piece at each step."""
    import torch

    for key, storage in storages.items():
        size = storage.nbytes()
        host = bytearray(size)
        if size:
            on_host = torch.frombuffer(host, dtype=torch.uint8)
            on_gpu = torch.empty(0, dtype=torch.uint8, device=storage.device).set_(storage)
            for start in range(0, size, PIECE_BYTES):
                on_host[start : start + PIECE_BYTES].copy_(on_gpu[start : start + PIECE_BYTES])
                yield
        copies[key] = host
