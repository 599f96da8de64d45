"""What is forked: small real files, and large ones that nothing compresses."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.store.data import small

_BLOCK_BYTES = 16 * 1024**2


@dataclass(frozen=True)
class Shape:
    """How large a project is: bytes in all, of which so many files are small, and so many share the rest."""

    size_bytes: int
    small_files: int
    large_files: int

    def __str__(self) -> str:
        size, unit = (
            (self.size_bytes / 1024**3, "GiB") if self.size_bytes >= 1024**3 else (self.size_bytes / 1024**2, "MiB")
        )
        return f"{size:.0f} {unit} in {self.small_files + self.large_files:,} files"


def fill(folder: Path, shape: Shape) -> str:
    """Fill `folder`, and say which small file of it is one to read."""
    small(folder, shape.small_files)
    chosen = next(file for file in sorted(folder.glob("0/*")) if file.stat().st_size)
    left = shape.size_bytes - sum(file.stat().st_size for file in folder.glob("[0-9]*/*"))
    (folder / "weights").mkdir()
    generator = np.random.default_rng(0)
    for number in range(shape.large_files):
        with (folder / f"weights/{number}.bin").open("wb") as target:
            for start in range(0, left // shape.large_files, _BLOCK_BYTES):
                target.write(generator.bytes(min(_BLOCK_BYTES, left // shape.large_files - start)))
    return str(chosen.relative_to(folder))
