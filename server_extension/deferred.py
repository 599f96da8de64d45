"""Modules that the server imports at its start and hardly ever needs."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any


def defer(name: str, functions: Sequence[str]) -> None:
    """Let `import NAME` and `from NAME import FUNCTION` be quick: the module is loaded at the first call or use.

    A module that is not installed, or imported already, is left alone.
    """
    spec = None if name in sys.modules else importlib.util.find_spec(name)
    if spec is None:
        return
    stand_in = importlib.util.module_from_spec(spec)

    def load() -> ModuleType:
        if sys.modules.get(name) is stand_in:
            del sys.modules[name]
        return importlib.import_module(name)

    def later(function: str) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            return getattr(load(), function)(*args, **kwargs)

        return call

    for function in functions:
        setattr(stand_in, function, later(function))

    # Every other attribute (PEP 562), but for those that the import statement itself asks for.
    def attribute(wanted: str) -> Any:
        if wanted.startswith("__"):
            raise AttributeError(wanted)
        return getattr(load(), wanted)

    vars(stand_in)["__getattr__"] = attribute
    sys.modules[name] = stand_in
