"""Where a store's files are: a folder, or anything that fsspec reaches. `tests/store/backends.py` is the contract."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol


class Backend(Protocol):
    """A flat set of files named by relative paths with `/`. A file appears whole or not at all, and never changes.

    Everything but `list` raises `FileNotFoundError` for a file that is not there, and any other `OSError` as it comes.
    """

    url: str
    """Where this is, for messages."""

    def read(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        """`length` bytes (all, where it is None) from `offset` on, or what there is of them."""

    def read_into(self, path: str, offset: int, buffer: memoryview) -> int:
        """Fill `buffer` from `offset` on; the number of bytes read, less than asked for only at the file's end."""

    def size(self, path: str) -> int:
        """The file's size in bytes."""

    def list(self, folder: str) -> Iterator[str]:
        """The paths of all files below `folder`, as of now, in any order; none where there is no such folder."""

    def write(self, path: str, data: bytes) -> None:
        """Put a file there, in one step, instead of what was there. It is durable when this returns."""

    def create(self, path: str, data: bytes) -> bool:
        """As `write`, but only where nothing is yet; whether it did.

        Of two at once a filesystem without an exclusive create may let both; nothing but work is lost by that.
        """

    def scratch(self) -> Path:
        """A folder on this machine for files that are still being written."""

    def publish(self, file: Path, path: str) -> None:
        """As `write`, with a file from `scratch`, which is gone afterwards."""

    def remove(self, path: str) -> None:
        """Remove the file. Removing what is not there is no error."""

    def close(self) -> None:
        """Let go of what is open on this machine."""
