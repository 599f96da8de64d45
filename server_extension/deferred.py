"""Modules that the server's imports name and a single-user server hardly ever needs."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any


@dataclass(frozen=True)
class Names:
    """What is imported by name from a deferred module: `from MODULE import NAME`.

    A function loads the module when it is called. Of a class there is an empty one in its place, for `isinstance`
    and `except` where nothing of the real one ever comes.
    """

    functions: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()


@contextmanager
def deferred(modules: Mapping[str, Names]) -> Iterator[None]:
    """While the block imports, each of `modules` is a stand-in that loads the real one when it is used.

    Afterwards whoever imports one of them gets the real one, and who imported it in the block still loads it by using
    it. A module that is loaded already, or whose package is not installed, is left alone.
    """
    stand_ins: dict[str, ModuleType] = {}

    def forget() -> None:
        for name, stand_in in stand_ins.items():
            if sys.modules.get(name) is stand_in:
                del sys.modules[name]

    def load(name: str) -> ModuleType:
        # All of them: a real module must not be built from stand-ins of others.
        forget()
        return importlib.import_module(name)

    for name, names in modules.items():
        if name not in sys.modules and importlib.util.find_spec(name.partition(".")[0]):
            stand_ins[name] = _stand_in(name, names, load)
    sys.modules.update(stand_ins)
    try:
        yield
    finally:
        forget()


def _stand_in(name: str, names: Names, load: Callable[[str], ModuleType]) -> ModuleType:
    module = ModuleType(name)

    def later(function: str) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            return getattr(load(name), function)(*args, **kwargs)

        return call

    def attribute(wanted: str) -> Any:
        # The import statement itself asks for __path__ and its like.
        if wanted.startswith("__"):
            raise AttributeError(f"module {name!r} has no attribute {wanted!r}")
        return getattr(load(name), wanted)

    for function in names.functions:
        setattr(module, function, later(function))
    for empty in names.classes:
        setattr(module, empty, type(empty, (Exception,), {}))
    # Every other attribute, https://peps.python.org/pep-0562/
    vars(module)["__getattr__"] = attribute
    return module
