"""Libraries of which one or two kinds of objects need care."""

from __future__ import annotations

from typing import Any

NAMES: dict[tuple[str, str], Any] = {}
