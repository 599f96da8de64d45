"""What a project stands on besides its files: told to whoever forks it."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

#: What the image had when it was built: names as pip and apt have them, one to a line (images/notebook.Dockerfile).
OF_IMAGE = Path(sys.prefix) / "share/regrow/packages"


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
    # Asking apt takes half a second, which a fork does not otherwise.
    return {tool: sorted(names - there[tool]()) if names else [] for tool, names in named.items()}


def _of_image(tool: str) -> set[str]:
    return set((OF_IMAGE / tool).read_text().split())


def _pip() -> set[str]:
    return {canonical(each.metadata["Name"]) for each in metadata.distributions() if each.metadata["Name"]}


def canonical(name: str) -> str:
    """A distribution's name as it is compared (PEP 503)."""
    return "-".join(part for part in name.lower().replace("_", "-").replace(".", "-").split("-") if part)


def _apt() -> set[str]:
    try:
        done = subprocess.run(["apt-mark", "showmanual"], capture_output=True, text=True)
    except FileNotFoundError:  # no Debian
        return set()
    return set(done.stdout.split())
