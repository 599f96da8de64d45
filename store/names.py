"""The names under which a store keeps things."""

from __future__ import annotations

import re

NAMES = "names"
SUFFIX = ".recipe"
_NAME = re.compile(r"[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+)*")


def checked_name(name: str) -> str:
    """`name`, where it is one that stays below its folder and clashes with no other. Raises `ValueError`."""
    parts = name.split("/")
    if not _NAME.fullmatch(name) or any(part in (".", "..") or part.endswith(SUFFIX) for part in parts):
        raise ValueError(f"{name!r} is no name to keep something under: letters, digits, . _ - and / between them.")
    return name


def path_of(name: str) -> str:
    """Where a backend has what is kept as `name`. Raises `ValueError`."""
    return f"{NAMES}/{checked_name(name)}{SUFFIX}"
