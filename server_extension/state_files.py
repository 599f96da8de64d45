"""What a kernel says of how its state is kept, for the REST API (docs/state.md)."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


def read_status(file: Path) -> dict[str, Any] | None:
    """The status in `file`; None where there is none, or none that can be read."""
    try:
        status = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return status if isinstance(status, dict) else None


def notebook_path(root: str, path: str) -> Path | None:
    """The absolute path of the notebook `path` of the REST API; None where it is none below `root`.

    Links stay as they are: the kernel's name for its notebook has them too.
    """
    if "\0" in path:
        return None
    whole = os.path.normpath(os.path.join(root, path.strip("/")))  # noqa: PTH118
    inside = whole.startswith(root.rstrip("/") + "/")
    return Path(whole) if inside and whole.endswith(".ipynb") else None
