"""Files that are measured: how large, and in the page cache."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

_BLOCK_BYTES = 16 * 1024 * 1024
_REMOVE_TIMEOUT_S = 30


def size(path: Path) -> int:
    """The bytes of a file, or of all files below a folder."""
    return sum(file.stat().st_size for file in _files(path))


def into_page_cache(path: Path) -> None:
    """Read a file, or all files below a folder, once."""
    block = bytearray(_BLOCK_BYTES)
    for file in _files(path):
        with file.open("rb", buffering=0) as source:
            while source.readinto(block):
                pass


def raw_write(path: Path, content: bytes) -> float:
    """Seconds for writing a file and making it durable."""
    started = time.perf_counter()
    with path.open("wb", buffering=0) as file:
        file.write(content)
        os.fsync(file.fileno())
    return time.perf_counter() - started


def remove(path: Path) -> None:
    """Remove a file or a folder, if it is there; also one that what a kernel has started still writes to."""
    deadline = time.monotonic() + _REMOVE_TIMEOUT_S
    while path.is_dir():
        try:
            shutil.rmtree(path)
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
    path.unlink(missing_ok=True)


def _files(path: Path) -> Iterator[Path]:
    for file in [path] if path.is_file() else path.rglob("*"):
        if file.is_file():
            yield file
