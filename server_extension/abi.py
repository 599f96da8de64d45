"""The ABI key: which machines can share compiled code.

Two servers share a build folder exactly when their keys are equal. It is worked out at every start of a
server, so it reads small files and runs a program only where the compiler's name does not tell its version.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

_COMPILER_NAME = re.compile(r"(gcc|clang)-(\d+)$")


def abi_key(root: Path = Path("/")) -> str:
    """The key of this machine, such as `debian12-x86_64-glibc2.36-gcc12` or `ubuntu24.04-...-gcc13-cuda13.0`.

    `root` is where `etc/os-release` and `usr/local/cuda` are looked for.
    """
    parts = [distribution(root / "etc/os-release"), os.uname().machine, libc(), compiler()]
    cuda = cuda_version(root / "usr/local/cuda")
    if cuda:
        parts.append(f"cuda{cuda}")
    return "-".join(parts)


def distribution(os_release: Path) -> str:
    """Name and version of the distribution: `debian12`, `ubuntu24.04`; `linux` where nothing says."""
    try:
        lines = os_release.read_text(encoding="utf-8").splitlines()
    except OSError:
        return "linux"
    fields = dict(line.split("=", 1) for line in lines if "=" in line)
    # Debian's testing and unstable have a codename and no number.
    version = fields.get("VERSION_ID") or fields.get("VERSION_CODENAME") or ""
    return _plain(fields.get("ID", "linux") + version)


def libc() -> str:
    """The C library and its version: `glibc2.36`; `libc` where it is not glibc."""
    try:
        name = os.confstr("CS_GNU_LIBC_VERSION")
    except (ValueError, OSError):
        name = None
    return _plain(name) if name else "libc"


def compiler() -> str:
    """The C compiler and its major version: `gcc12`, `clang19`; `nocc` without one."""
    for name in ("gcc", "clang"):
        path = shutil.which(name)
        if not path:
            continue
        # Debian's gcc is a link to x86_64-linux-gnu-gcc-12: no need to run it.
        named = _COMPILER_NAME.search(os.path.realpath(path))
        if named:
            return named[1] + named[2]
        try:
            answer = subprocess.run([path, "-dumpversion"], capture_output=True, text=True, timeout=10).stdout
        except (OSError, subprocess.TimeoutExpired):
            continue
        major = re.match(r"\d+", answer)
        if major:
            return name + major[0]
    return "nocc"


def cuda_version(toolkit: Path) -> str:
    """Major and minor version of the CUDA toolkit: `13.0`; empty without one.

    The toolkit counts, not the driver: the same image has the same key with and without a GPU.
    """
    try:
        text = (toolkit / "version.json").read_text(encoding="utf-8")
    except OSError:
        return ""
    import json  # only images with CUDA pay for it

    try:
        version = json.loads(text)["cuda"]["version"]
    except (ValueError, KeyError, TypeError):
        return ""
    return ".".join(str(version).split(".")[:2])


def _plain(text: str) -> str:
    return re.sub(r"[^a-z0-9._+]", "", text.lower())


if __name__ == "__main__":
    print(abi_key())
