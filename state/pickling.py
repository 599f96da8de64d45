"""Picklers for a group of names: the C pickler where it will do, `dill` where it will not.

Protocol 5; large buffers are handed over where they lie, not copied. The notebook's own functions and classes are
referred to by name, so that an object's class is the notebook's class again.
"""

from __future__ import annotations

import io
import pickle
import sys
import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from regrow.state import reducers
from regrow.state.errors import Unsavable
from regrow.state.sharing import is_importable

PROTOCOL = 5
#: Smaller buffers are part of the pickle.
OUT_OF_BAND_BYTES = 32 * 1024


class Output(Protocol):
    """Where a pickle goes."""

    def write(self, data: bytes, /) -> object: ...


class _NeedsDill(Exception):
    """The C pickler would refer by name to something that can't be found under it."""


@dataclass
class Context:
    """What reducers know and note of the group that is pickled.

    `references` are the definitions, by id, that are referred to by name; `shared_memory` the ids of arrays whose
    memory several use; `host_copies` the content of tensors on GPUs, by storage; `notes` what its owner should know;
    `types` the types that were met.
    """

    references: Mapping[int, str]
    shared_memory: set[int] = field(default_factory=set)
    host_copies: Mapping[int, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    types: set[type] = field(default_factory=set)
    storages: dict[int, Any] = field(default_factory=dict)

    def reduce(self, value: Any) -> Any:
        """What stands for `value` in a pickle; `NotImplemented` where Python's own way will do."""
        kind = type(value)
        if isinstance(value, type | types.FunctionType):
            name = self.references.get(id(value))
            return NotImplemented if name is None else (named, (name,))
        self.types.add(kind)
        return reducers.reduce(value, kind, self)


class _CPickler(pickle.Pickler):
    """Fast, for data: it leaves lambdas, closures and classes without a name to dill."""

    def __init__(self, output: Output, context: Context, buffer_callback: Callable[[pickle.PickleBuffer], Any]) -> None:
        super().__init__(output, PROTOCOL, buffer_callback=buffer_callback)
        self._context = context

    def reducer_override(self, value: Any) -> Any:
        reduced = self._context.reduce(value)
        if reduced is NotImplemented and isinstance(value, type | types.FunctionType) and not is_importable(value):
            raise _NeedsDill
        return reduced


def dump(names: Mapping[str, Any], context: Context, output: io.BytesIO, buffers: list[pickle.PickleBuffer]) -> bool:
    """Pickle `names` into `output`, with large buffers in `buffers` instead. Whether dill did it.

    Raises what pickling raises, `Unsavable` among that.
    """

    def keep(buffer: pickle.PickleBuffer) -> bool:
        if buffer.raw().nbytes < OUT_OF_BAND_BYTES:
            return True
        buffers.append(buffer)
        return False

    try:
        _CPickler(output, context, keep).dump(dict(names))
        return False
    except Unsavable:
        raise
    except (_NeedsDill, pickle.PicklingError, TypeError, AttributeError, NotImplementedError, RecursionError):
        output.seek(0)
        output.truncate()
        buffers.clear()
        context.notes.clear()
        context.storages.clear()
    from regrow.state.with_dill import DillPickler

    pickler = DillPickler(output, context, keep)
    with _DeepRecursion():
        pickler.dump(dict(names))
    return True


class _DeepRecursion:
    """Pickling in Python takes several frames for each level of an object. In the child this costs nobody anything."""

    def __enter__(self) -> None:
        self._limit = sys.getrecursionlimit()
        sys.setrecursionlimit(max(self._limit, 20_000))

    def __exit__(self, *error: object) -> None:
        sys.setrecursionlimit(self._limit)


# Loading

_lookup: Callable[[str], Any] | None = None


def named(name: str) -> Any:
    """The notebook's function or class `name`; what pickles call to refer to it."""
    if _lookup is None:
        raise pickle.UnpicklingError(f"{name} is of a notebook's session, and is loaded with that")
    return _lookup(name)


def load(pickled: bytes | memoryview, buffers: Iterable[Any], by_dill: bool, lookup: Callable[[str], Any]) -> Any:
    """What `dump` pickled. `lookup` gives the notebook's functions and classes by name.

    It runs code that the pickle names: only of who is trusted. Raises what loading raises.
    """
    global _lookup
    before, _lookup = _lookup, lookup
    try:
        if by_dill:
            from regrow.state.with_dill import load_by_dill

            return load_by_dill(pickled, buffers)
        return pickle.loads(pickled, buffers=buffers)
    finally:
        _lookup = before
