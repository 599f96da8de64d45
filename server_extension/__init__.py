"""What runs beside the notebook server: the environment of every kernel and terminal, and automatic snapshots."""

from __future__ import annotations

from typing import Any


def _jupyter_server_extension_points() -> list[dict[str, Any]]:
    from regrow.server_extension.app import RegrowExtension

    return [{"module": "regrow.server_extension", "app": RegrowExtension}]
