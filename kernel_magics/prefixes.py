"""The build prefixes of this server."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path


def prefixes(env: Mapping[str, str]) -> list[Path]:
    """`ROOT/ABI/local` of each build volume, the user's own first; empty where there are none."""
    return [Path(path) for path in env.get("REGROW_BUILD_PREFIXES", "").split(":") if path.startswith("/")]


def owner(prefix: Path) -> str:
    """Whose build a group's prefix is: volumes are `groups/TEAM`, without containers `groups/TEAM/build`."""
    root = prefix.parent.parent
    return root.parent.name if root.name == "build" and root.parent.parent.name == "groups" else root.name
