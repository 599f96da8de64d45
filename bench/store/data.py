"""What is stored: real files of this environment, and weights as a model has them."""

from __future__ import annotations

import os
import random
import shutil
import sysconfig
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np

GIB = 1024**3
_WEIGHTS_BYTES = GIB // 2
_SMALL_BYTES = 100 * 1024


def mixed(folder: Path, size_bytes: int) -> None:
    """Fill `folder` with the environment's site-packages, and with files of float32 weights up to `size_bytes`."""
    shutil.copytree(_site_packages(), folder / "site-packages", symlinks=True)
    left = size_bytes - sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    (folder / "weights").mkdir()
    generator = np.random.default_rng(0)
    for number in range(max(1, left // _WEIGHTS_BYTES)):
        weights = generator.normal(scale=0.02, size=min(_WEIGHTS_BYTES, max(left, 4)) // 4).astype(np.float32)
        weights.tofile(folder / f"weights/{number}.bin")


def small(folder: Path, count: int) -> None:
    """Fill `folder` with `count` small files of site-packages, again and again with other content each time."""
    for number, source in enumerate(islice(_small_files(), count)):
        target = folder / f"{number // 1000}" / f"{number}-{source.name}"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source.read_bytes() + b"# %d\n" % number)


def change(folder: Path, share: float) -> None:
    """Change `share` of the small files below `folder`, others each time."""
    places = random.Random()
    files = [file for file in folder.glob("*/*") if file.is_file() and ".git" not in file.parts]
    for file in places.sample(files, int(share * len(files))):
        with file.open("ab") as target:
            target.write(os.urandom(8).hex().encode())


def _small_files() -> Iterator[Path]:
    while True:
        for above, _, names in os.walk(_site_packages()):
            for name in names:
                file = Path(above) / name
                if not file.is_symlink() and file.stat().st_size <= _SMALL_BYTES:
                    yield file


def _site_packages() -> Path:
    return Path(sysconfig.get_path("purelib"))
