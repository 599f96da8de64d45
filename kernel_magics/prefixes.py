"""The build prefixes of this server."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from regrow.server_extension.environment import team


def prefixes(env: Mapping[str, str]) -> list[Path]:
    """`ROOT/ABI/local` of each build volume, the user's own first; empty where there are none."""
    return [Path(path) for path in env.get("REGROW_BUILD_PREFIXES", "").split(":") if path.startswith("/")]


def owner(prefix: Path) -> str:
    """The group whose build a prefix is."""
    return team(prefix.parent.parent)
