"""What an image is built from: a folder with the Dockerfile, the locks, the wheels."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlparse
from urllib.request import url2pathname

from regrow.images.errors import BuildFailed

DOCKERFILE = "notebook.Dockerfile"
_FILES = (DOCKERFILE, "profile.sh", "notebook.lock", "torch-cpu.lock", "torch-cuda.lock")
_HERE = Path(__file__).parent
_NOT_SOURCE = shutil.ignore_patterns(
    ".*", "build", "dist", "*.egg-info", "__pycache__", "node_modules", "tests", "bench"
)

# The same source gives the same wheel to the byte, so that the engine's cache knows it. 1980 is the first
# year that a zip file can say.
_SOURCE_DATE = "315532800"


def fill_context(folder: Path, *, torch: str, environ: Mapping[str, str] = os.environ) -> None:
    """Put all that `notebook.Dockerfile` copies into `folder`. `torch` is `cpu`, `cuda` or `none`.

    Raises `BuildFailed` when Regrow's own wheel can't be made.
    """
    for name in _FILES:
        shutil.copy(_HERE / name, folder / name)
    wheels = folder / "wheels"
    wheels.mkdir()
    # An empty folder is not sent to every engine.
    (wheels / "README").write_text("Wheels for the stage that installs torch.\n")
    if torch == "cpu":
        for wheel in local_wheels("torch", environ):
            shutil.copy(wheel, wheels)
    make_wheel(folder)


def local_wheels(project: str, environ: Mapping[str, str]) -> list[Path]:
    """Wheels of `project` in the local folders that PIP_FIND_LINKS names."""
    found: list[Path] = []
    for place in environ.get("PIP_FIND_LINKS", "").split():
        folder = Path(url2pathname(urlparse(place).path)) if place.startswith("file:") else Path(place)
        if folder.is_dir():
            found += sorted(folder.glob(f"{project}-*.whl"))
    return found


def make_wheel(folder: Path) -> Path:
    """Regrow's wheel, in `folder`: of the source checkout that runs this, or of the installed release."""
    source = source_checkout()
    if source is None:
        version = importlib.metadata.version("regrow")
        _pip(["download", "--no-deps", "--dest", str(folder), f"regrow=={version}"])
    else:
        # A copy, because setuptools builds inside the source and takes what an earlier build left there.
        copy = folder / "source"
        shutil.copytree(source, copy, ignore=_NOT_SOURCE, symlinks=True)
        _pip(["wheel", "--no-deps", "--wheel-dir", str(folder), str(copy)])
        shutil.rmtree(copy)
    return next(folder.glob("regrow-*.whl"))


def source_checkout() -> Path | None:
    """The checkout that this file is in, also when an editable install links to it; None for a release."""
    root = Path(__file__).resolve().parents[1]
    return root if (root / "pyproject.toml").is_file() else None


def _pip(arguments: list[str]) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet", *arguments]
    done = subprocess.run(
        command,
        env={**os.environ, "SOURCE_DATE_EPOCH": _SOURCE_DATE},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    if done.returncode:
        last = "\n".join(done.stdout.splitlines()[-15:])
        raise BuildFailed(f"Regrow's own wheel could not be made (pip {arguments[0]}). Pip says:\n{last}")
