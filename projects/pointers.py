"""Git LFS pointers: what git stores in the place of a large file (git-lfs, docs/spec.md)."""

from __future__ import annotations

import re
from dataclasses import dataclass

MOST_BYTES = 1024
#: Below it are the names under which the store keeps large files.
FOLDER = "lfs"
_POINTER = re.compile(
    rb"version https://git-lfs\.github\.com/spec/v1\n"
    rb"oid sha256:(?P<oid>[0-9a-f]{64})\n"
    rb"size (?P<size>0|[1-9][0-9]{0,18})\n"
)


@dataclass(frozen=True)
class Pointer:
    """A large file by the SHA-256 of its content (64 hexadecimal digits) and its size in bytes."""

    oid: str
    size: int

    def encode(self) -> bytes:
        """The pointer as git stores it."""
        return f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.oid}\nsize {self.size}\n".encode()

    @property
    def name(self) -> str:
        """The name under which the store keeps the content."""
        return f"{FOLDER}/{self.oid[:2]}/{self.oid[2:4]}/{self.oid}"


def parse(blob: bytes) -> Pointer | None:
    """The pointer that a blob is, or None where it is content."""
    found = _POINTER.fullmatch(blob) if len(blob) <= MOST_BYTES else None
    return Pointer(found["oid"].decode(), int(found["size"])) if found else None
