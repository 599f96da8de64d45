"""What a store holds, in numbers."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from regrow.store.errors import NotKept
from regrow.store.pack import PACKS
from regrow.store.store import Store


@dataclass(frozen=True)
class Stats:
    """`kept_bytes` as the names see them, `chunk_bytes` with each chunk once, `stored_bytes` as compressed on disk."""

    names: int
    kept_bytes: int
    chunks: int
    chunk_bytes: int
    stored_bytes: int
    packs: int
    condemned_packs: int


def stats(store: Store) -> Stats:
    """Count what `store` holds now."""
    store.index.refresh()
    recipes = []
    for name in store.names():
        with contextlib.suppress(NotKept):  # dropped meanwhile
            recipes.append(store.recipe(name).size)
    chunks, chunk_bytes, _ = store.index.totals()
    packs = store.index.packs()
    stored = sum(store.backend.size(f"{PACKS}/{name}") for name in packs)
    return Stats(len(recipes), sum(recipes), chunks, chunk_bytes, stored, len(packs), sum(packs.values()))
