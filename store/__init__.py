"""The content-addressed store that projects' large files and session state both live in; see docs/store.md."""

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
