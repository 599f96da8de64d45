"""What a project stands on besides its files: told to whoever forks it."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

#: What the image had when it was built: names as pip and apt have them, one to a line (images/notebook.Dockerfile).
OF_IMAGE = Path(sys.prefix) / "share/regrow/packages"
_APTS_FILES = (Path("/var/lib/dpkg/status"), Path("/var/lib/apt/extended_states"))


def environment() -> dict[str, Any]:
    """The image, the packages that were added to it (by name), and the build prefixes, first the user's own.

    Outside a container of Regrow's, where packages are the machine's own, there are none.
    """
    return {
        "image": os.environ.get("JUPYTER_IMAGE_SPEC", ""),
        "python": sys.version.split()[0],
        "apt": sorted(_apt() - _of_image("apt")) if OF_IMAGE.exists() else [],
        "pip": sorted(_pip() - set(map(canonical, _of_image("pip")))) if OF_IMAGE.exists() else [],
        "build_prefixes": [path for path in os.environ.get("REGROW_BUILD_PREFIXES", "").split(":") if path],
    }


def lacking(wanted: dict[str, Any]) -> dict[str, list[str]]:
    """The packages of another environment that this one lacks, by tool."""
    there = {"apt": _apt, "pip": _pip}
    named = {tool: set(map(str, wanted.get(tool, ()))) for tool in there}
    return {tool: sorted(names - there[tool]()) if names else [] for tool, names in named.items()}


def _of_image(tool: str) -> set[str]:
    return set((OF_IMAGE / tool).read_text().split())


def _pip() -> set[str]:
    # By the names of their folders: to read what is in each takes longer than a fork.
    found: set[Path] = set()
    for folder in dict.fromkeys(sys.path):
        with contextlib.suppress(OSError):
            found.update(each for each in Path(folder).iterdir() if each.suffix in (".dist-info", ".egg-info"))
    # What pip has begun to remove has a ~ before its name.
    return {canonical(each.stem.partition("-")[0]) for each in found if not each.name.startswith("~")}


def canonical(name: str) -> str:
    """A distribution's name as it is compared (PEP 503)."""
    return "-".join(part for part in name.lower().replace("_", "-").replace(".", "-").split("-") if part)


def _apt() -> set[str]:
    # apt takes half a second to say it, so what it said is kept until what it looks at has changed.
    looked_at = [_seen(each) for each in _APTS_FILES]
    kept = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "regrow/apt.json"
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        known = json.loads(kept.read_text())
        if known["of"] == looked_at and any(looked_at):
            return set(map(str, known["manual"]))
    try:
        done = subprocess.run(["apt-mark", "showmanual"], capture_output=True, text=True)
    except FileNotFoundError:  # no Debian
        return set()
    names = sorted(set(done.stdout.split()))
    if done.returncode == 0:
        with contextlib.suppress(OSError):
            kept.parent.mkdir(parents=True, exist_ok=True)
            new = kept.with_name(f"{kept.name}.{os.getpid()}")
            new.write_text(json.dumps({"of": looked_at, "manual": names}))
            new.replace(kept)
    return set(names)


def _seen(file: Path) -> list[int]:
    """What changes when a file is written or replaced, by whomever."""
    try:
        about = file.stat()
    except OSError:
        return []
    return [about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns]
