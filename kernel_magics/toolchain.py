"""The compiler of a cell, and the flags that make `$BUILD/local` and pkg-config's packages reachable."""

from __future__ import annotations

import functools
import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from .errors import MagicError

# Package names as pkg-config knows them; never something that it would read as an option.
PACKAGE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9+._-]*")


# Where libraries lie below a prefix; Debian's own packaging tools use the folder of the architecture.
_MULTIARCH = getattr(sys.implementation, "_multiarch", "") or f"{os.uname().machine}-linux-gnu"
LIBRARY_FOLDERS = ("lib", "lib64", f"lib/{_MULTIARCH}")


class ToolchainError(MagicError):
    """The compiler, pkg-config, or what they need is missing."""


@dataclass(frozen=True)
class Compiler:
    """A compiler as it is called, and the text of its `--version`, which stands for it in the cache."""

    command: tuple[str, ...]
    version: str

    @property
    def is_clang(self) -> bool:
        """Whether it speaks clang's dialect of options."""
        return "clang" in self.version


def find_compiler(env: Mapping[str, str]) -> Compiler:
    """The C++ compiler that `$CXX` names, else `g++`. Raises ToolchainError if there is none."""
    words = shlex.split(env.get("CXX", "")) or ["g++"]
    found = shutil.which(words[0], path=env.get("PATH"))
    if found is None:
        raise ToolchainError(
            f"There is no C++ compiler here: {words[0]} was not found. Install one with "
            "`sudo apt-get install g++`, or name yours: `%env CXX=clang++`."
        )
    state = Path(found).stat()
    return _known_compiler(found, tuple(words[1:]), state.st_mtime_ns, state.st_size)


@functools.lru_cache(maxsize=16)
def _known_compiler(path: str, options: tuple[str, ...], mtime_ns: int, size: int) -> Compiler:
    """Ask a compiler for its version once, and again when the file has changed."""
    try:
        version = subprocess.run(
            [path, *options, "--version"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=60,
            check=True,
        ).stdout.decode(errors="replace")
    except (OSError, subprocess.SubprocessError) as error:
        raise ToolchainError(f"The C++ compiler {path} does not run: {error}.") from None
    return Compiler((path, *options), version)


def compile_flags(build_prefixes: Sequence[Path]) -> list[str]:
    """Flags that let `#include` find what is installed in the prefixes."""
    # -isystem: warnings in somebody else's headers are not the cell's.
    return [word for prefix in build_prefixes for word in ("-isystem", str(prefix / "include"))]


def link_flags(build_prefixes: Sequence[Path]) -> list[str]:
    """Flags that let `-lNAME` find what is installed in the prefixes, now and when the program runs."""
    folders = [prefix / name for prefix in build_prefixes for name in LIBRARY_FOLDERS]
    found = [str(folder) for folder in folders if folder.is_dir()]
    # A comma would end -Wl's argument: -Xlinker takes any path.
    rpaths = [word for folder in found for word in ("-Xlinker", "-rpath", "-Xlinker", folder)]
    return [f"-L{folder}" for folder in found] + rpaths


def package_flags(names: Sequence[str], build_prefixes: Sequence[Path], env: Mapping[str, str]) -> list[str]:
    """What `pkg-config --cflags --libs` says of the packages. Raises ToolchainError."""
    if not names:
        return []
    for name in names:
        if not PACKAGE_NAME.fullmatch(name):
            raise ToolchainError(f"{name!r} cannot be the name of a pkg-config package.")
    if shutil.which("pkg-config", path=env.get("PATH")) is None:
        raise ToolchainError("pkg-config is missing. Install it with `sudo apt-get install pkg-config`.")
    ours = [str(p / where / "pkgconfig") for p in build_prefixes for where in (*LIBRARY_FOLDERS, "share")]
    path = ":".join(filter(None, [*ours, env.get("PKG_CONFIG_PATH", "")]))
    asked = subprocess.run(
        ["pkg-config", "--cflags", "--libs", *names],
        env={**env, "PKG_CONFIG_PATH": path},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
    )
    if asked.returncode:
        raise ToolchainError(
            f"pkg-config does not know {' '.join(names)}, or something that it needs. Install it, or set "
            "PKG_CONFIG_PATH to the folder of its .pc file.",
            details=asked.stderr.decode(errors="replace"),
        )
    return shlex.split(asked.stdout.decode(errors="replace"))


def python_flags() -> list[str]:
    """Flags that let a cell include Python's and pybind11's headers. Raises ToolchainError."""
    include = Path(sysconfig.get_paths()["include"])
    if not (include / "Python.h").is_file():
        raise ToolchainError(
            f"Python's headers are missing: there is no {include}/Python.h. Install them with "
            "`sudo apt-get install python3-dev`."
        )
    try:
        import pybind11
    except ModuleNotFoundError:
        raise ToolchainError("pybind11 is missing. Install it with `%pip install pybind11`.") from None
    return ["-isystem", str(include), "-isystem", pybind11.get_include()]


def current_environment() -> dict[str, str]:
    """The environment of this kernel, as it is now."""
    return dict(os.environ)
