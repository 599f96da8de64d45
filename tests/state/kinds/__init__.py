"""The kinds of variables that Regrow is tested with, by library."""

from __future__ import annotations

from . import (
    arrays,
    deep_learning,
    learning,
    others,
    python_classes,
    python_data,
    python_functions,
    python_resources,
    tables,
)
from .kind import Kind, Library

LIBRARIES: list[Library] = [
    python_data.LIBRARY,
    python_functions.LIBRARY,
    python_classes.LIBRARY,
    python_resources.LIBRARY,
    arrays.LIBRARY,
    *tables.LIBRARIES,
    *learning.LIBRARIES,
    deep_learning.LIBRARY,
    *others.LIBRARIES,
]

__all__ = ["LIBRARIES", "Kind", "Library"]
