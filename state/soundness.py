"""Classes whose pickles come back different without an error: found by reading back what was just written.

Only of classes that say themselves how they are pickled, and are of no library whose classes are known to be sound. In
the child that does it, the copies have the kernel's own files, and no GPU: none of them may end, or go there.
"""

from __future__ import annotations

import io
import math
import pickle
import sys
import types
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from regrow.state.pickling import load, looking_up
from regrow.state.reducers import ipython, torch

#: Larger groups are taken as they are.
MOST_BYTES = 32 * 1024 * 1024
#: Libraries whose classes are saved and restored by tests (tests/state/test_kinds.py), or are Python's own.
SOUND = frozenset(
    {
        *sys.stdlib_module_names,
        *("numpy", "pandas", "polars", "pyarrow", "scipy", "sklearn", "xgboost", "lightgbm", "torch", "matplotlib"),
        *("plotly", "networkx", "requests", "PIL", "traitlets", "ipywidgets", "regrow", "dill", "dateutil", "pytz"),
        *("attr", "attrs", "pydantic", "pydantic_core", "sympy", "tqdm", "IPython"),
    }
) - {"__main__"}
_HOOKS = ("__reduce_ex__", "__reduce__", "__getstate__", "__setstate__", "__getnewargs__", "__getnewargs_ex__")
_MOST_LOOKED_AT = 20_000
# What was read back, in whole or in part: its end is that of the child, which runs no `__del__`.
_kept: list[Any] = []


@dataclass(frozen=True)
class Difference:
    """What is different, for the owner of the variable. `is_lost`: it can't be read back at all."""

    text: str
    is_lost: bool = False


def is_doubtful(kind: type) -> bool:
    """Whether `kind` says itself how it is pickled, nobody knows whether that is sound, and it may be tried."""
    if kind.__module__.partition(".")[0] in SOUND or _ends_something(kind):
        return False
    return any(
        hook in vars(each)
        for each in kind.__mro__
        if each is not object and each.__module__.partition(".")[0] not in SOUND
        for hook in _HOOKS
    )


def differences(
    values: Mapping[str, Any],
    pickled: memoryview,
    buffers: list[memoryview],
    by_dill: bool,
    namespace: Mapping[str, Any],
) -> dict[str, Difference]:
    """By name, what of `values` the pickle does not bring back as it was.

    Nothing where that can't be tried: something in it ends something else with itself.
    """
    try:
        ipython.rehearsing = torch.rehearsing = True
        copies = _read_back(pickled, [bytearray(view) for view in buffers], by_dill, namespace)
    except _EndsSomething:
        return {}
    except Exception as error:
        _kept.append(error)
        text = f"what is written of it can't be read back: {type(error).__name__}: {error}"
        return dict.fromkeys(values, Difference(text, is_lost=True))
    finally:
        ipython.rehearsing = torch.rehearsing = False
    found = {}
    for name, value in values.items():
        try:
            difference = _Comparison().difference(value, copies.get(name), name)
        except (RecursionError, ReferenceError):  # too deep to be looked at; a weak proxy whose object is gone
            continue
        if difference:
            found[name] = Difference(f"it comes back different: {difference}")
    return found


def _read_back(
    pickled: memoryview, buffers: list[bytearray], by_dill: bool, namespace: Mapping[str, Any]
) -> dict[str, Any]:
    def look_up(name: str) -> Any:
        return _checked(namespace[name])

    if by_dill:
        copies = load(bytes(pickled), buffers, by_dill, look_up)
    else:
        reader = _Reader(io.BytesIO(pickled), buffers=buffers)
        _kept.append(reader)
        with looking_up(look_up):
            copies = reader.load()
    _kept.append(copies)
    return dict(copies)


class _Reader(pickle.Unpickler):
    """Holds, as long as it is there, also what it made before it failed."""

    def find_class(self, module: str, name: str) -> Any:
        return _checked(super().find_class(module, name))


class _EndsSomething(Exception):
    """It has a class whose objects end something else with themselves."""


def _checked(found: Any) -> Any:
    if issubclass(type(found), type) and _ends_something(found):
        raise _EndsSomething
    return found


def _ends_something(kind: type) -> bool:
    # Python's own files end nothing but themselves.
    return any("__del__" in vars(each) for each in kind.__mro__ if each.__module__ != "_io")


class _Comparison:
    def __init__(self) -> None:
        self.seen: set[int] = set()
        self.left = _MOST_LOOKED_AT

    def difference(self, value: Any, copy: Any, path: str) -> str:
        """What is different between the two, in words that begin with where; empty where nothing is."""
        self.left -= 1
        if value is copy or self.left < 0 or id(value) in self.seen:
            return ""
        self.seen.add(id(value))
        kind = type(value)
        if isinstance(value, type | types.FunctionType | types.ModuleType | types.MethodType):
            return ""
        if kind.__qualname__ != type(copy).__qualname__:
            return f"{path} is a {type(copy).__qualname__}, not a {kind.__qualname__}"
        if isinstance(value, bool | int | str | bytes | bytearray | complex):
            return "" if value == copy else f"{path} has another value"
        if isinstance(value, float):
            return "" if value == copy or (math.isnan(value) and math.isnan(copy)) else f"{path} has another value"
        if kind.__module__.partition(".")[0] in SOUND and not isinstance(value, dict | list | tuple | set | frozenset):
            return ""
        return self._of_container(value, copy, path) or self._of_attributes(value, copy, path)

    def _of_container(self, value: Any, copy: Any, path: str) -> str:
        if isinstance(value, dict | list | tuple | set | frozenset) and len(value) != len(copy):
            return f"{path} has {len(copy)} elements, not {len(value)}"
        if isinstance(value, list | tuple):
            for number, (one, other) in enumerate(zip(value, copy, strict=True)):
                if found := self.difference(one, other, f"{path}[{number}]"):
                    return found
        if isinstance(value, dict):
            for (key, one), (_, other) in zip(value.items(), copy.items(), strict=True):
                if found := self.difference(one, other, f"{path}[{key!r}]"):
                    return found
        return ""

    def _of_attributes(self, value: Any, copy: Any, path: str) -> str:
        for name, one in _attributes(value).items():
            others = _attributes(copy)
            if name not in others:
                return f"{path}.{name} is missing"
            if found := self.difference(one, others[name], f"{path}.{name}"):
                return found
        return ""


def _attributes(value: Any) -> dict[str, Any]:
    found = dict(getattr(value, "__dict__", None) or {})
    for kind in type(value).__mro__:
        slots = vars(kind).get("__slots__", ())
        for slot in (slots,) if isinstance(slots, str) else slots:
            if slot not in ("__dict__", "__weakref__"):
                name = f"_{kind.__name__.lstrip('_')}{slot}" if slot.startswith("__") else slot
                try:
                    found[name] = getattr(value, name)
                except AttributeError:
                    continue
    return found
