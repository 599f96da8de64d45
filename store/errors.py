"""What can go wrong with a store, said for the person who sees it."""

from __future__ import annotations


class StoreError(Exception):
    """Base of all errors of `regrow.store`."""


class NotAStore(StoreError):
    """There is no store at that place, or one of a format that this version does not read."""


class NotKept(StoreError, KeyError):
    """Nothing is kept under that name."""

    def __str__(self) -> str:
        return str(self.args[0])


class ChunkMissing(StoreError):
    """No pack holds a chunk that something kept consists of."""


class ChunkDamaged(StoreError):
    """What a pack holds in a chunk's place is not that chunk: a flipped bit, a truncated pack."""


class StoreFull(StoreError):
    """There was no room. Nothing of that write is kept, and everything kept before it is whole."""


class Expired(StoreError):
    """A write took longer than `gc` waits before it removes what nothing refers to; it has to be made again."""
