"""The content-addressed store that projects' large files and session state both live in; see docs/store.md."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from regrow.store.errors import (
    ChunkDamaged,
    ChunkMissing,
    Expired,
    NotAStore,
    NotKept,
    StoreError,
    StoreFull,
)
from regrow.store.recipe import Recipe

if TYPE_CHECKING:
    from regrow.store.store import Store

__all__ = [
    "ChunkDamaged",
    "ChunkMissing",
    "Expired",
    "NotAStore",
    "NotKept",
    "Recipe",
    "Store",
    "StoreError",
    "StoreFull",
]


def __getattr__(name: str) -> Any:
    """The store itself is imported when it is used: kernels start without it."""
    if name != "Store":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from regrow.store.store import Store

    return Store
