"""Picklers for a group of names: the C pickler where it will do, `dill` where it will not.

Protocol 5; large buffers are handed over where they lie, not copied. The notebook's own functions and classes are
referred to by name, so that an object's class is the notebook's class again.
"""

from __future__ import annotations

import pickle
import sys
import threading
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

from regrow.state import definitions, reducers
from regrow.state.errors import OnAnotherThread, Unsavable
from regrow.state.sharing import SharedMemory, is_importable
from regrow.state.spill import Spill

PROTOCOL = 5
#: Smaller buffers are part of the pickle.
OUT_OF_BAND_BYTES = 32 * 1024
#: What is nested deeply is pickled on a stack of its own.
_DEEP_STACK_BYTES = 512 * 1024 * 1024
_DEEP_LEVELS = 200_000


class Output(Protocol):
    """Where a pickle goes."""

    def write(self, data: bytes, /) -> object: ...


class _NeedsDill(Exception):
    """The C pickler would refer by name to something that can't be found under it."""


@dataclass
class Context:
    """What reducers know and note of the group that is pickled.

    `references` are the definitions, by id, that are referred to by name; `shared_memory` what several use;
    `host_copies` the content of tensors on GPUs, by storage; `notes` what its owner should know; `types` the types that
    were met.
    """

    references: Mapping[int, str]
    shared_memory: set[int] = field(default_factory=SharedMemory)
    host_copies: Mapping[int, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    types: set[type] = field(default_factory=set)
    storages: dict[int, Any] = field(default_factory=dict)
    globals: dict[int, Any] = field(default_factory=dict)

    def begin(self) -> None:
        """Forget what an attempt before has left."""
        self.notes.clear()
        self.storages.clear()

    def reduce(self, value: Any) -> Any:
        """What stands for `value` in a pickle; `NotImplemented` where Python's own way will do."""
        kind = type(value)
        # Not isinstance: a weak proxy says that it is what it stands for.
        if kind is types.FunctionType or issubclass(kind, type):
            return self._of_definition(value)
        self.types.add(kind)
        return reducers.reduce(value, kind, self)

    def _of_definition(self, value: Any) -> Any:
        if (name := self.references.get(id(value))) is not None:
            return named, (name,)
        if is_importable(value):
            return NotImplemented
        if isinstance(value, types.FunctionType):
            return definitions.reduce_function(value, self)
        reduced = definitions.reduce_class(value)
        if reduced is None:
            raise _NeedsDill
        return reduced


class _CPickler(pickle.Pickler):
    """Fast; what Python can't pickle it leaves to dill."""

    def __init__(self, output: Output, context: Context, buffer_callback: Callable[[pickle.PickleBuffer], Any]) -> None:
        super().__init__(output, PROTOCOL, buffer_callback=buffer_callback)
        self._context = context

    def reducer_override(self, value: Any) -> Any:
        return self._context.reduce(value)


def dump(names: Mapping[str, Any], context: Context, output: Spill, buffers: list[pickle.PickleBuffer]) -> bool:
    """Pickle `names` into `output`, with large buffers in `buffers` instead. Whether dill did it.

    Raises what pickling raises, `Unsavable` among that.
    """

    def keep(buffer: pickle.PickleBuffer) -> bool:
        if buffer.raw().nbytes < OUT_OF_BAND_BYTES:
            return True
        buffers.append(buffer)
        return False

    def attempt(by_dill: bool) -> bool:
        output.clear()
        buffers.clear()
        context.begin()
        if by_dill:
            from regrow.state.with_dill import DillPickler

            DillPickler(output, context, keep).dump(dict(names))
        else:
            _CPickler(output, context, keep).dump(dict(names))
        return by_dill

    try:
        return attempt(by_dill=False)
    except Unsavable:
        raise
    except (RecursionError, OnAnotherThread):
        try:
            return _on_a_deep_stack(partial(attempt, by_dill=False))
        except _LeftToDill:
            return _on_a_deep_stack(partial(attempt, by_dill=True))
    except _LeftToDill:
        return _on_a_deep_stack(partial(attempt, by_dill=True))


_LeftToDill = (_NeedsDill, pickle.PicklingError, TypeError, AttributeError, NotImplementedError)


def _on_a_deep_stack(work: Callable[[], bool]) -> bool:
    """Do `work` in a thread whose stack has room for much recursion. In the child this costs nobody anything."""
    outcome: list[Any] = []

    def run() -> None:
        try:
            outcome.append(work())
        except BaseException as error:  # for whoever waits
            outcome.append(error)

    limit, size = sys.getrecursionlimit(), threading.stack_size()
    sys.setrecursionlimit(max(limit, _DEEP_LEVELS))
    threading.stack_size(_DEEP_STACK_BYTES)
    try:
        thread = threading.Thread(target=run, daemon=True, name=reducers.PICKLING_THREAD)
        thread.start()
        thread.join()
    finally:
        threading.stack_size(size)
        sys.setrecursionlimit(limit)
    if isinstance(outcome[0], BaseException):
        raise outcome[0]
    return bool(outcome[0])


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
    with looking_up(lookup):
        if by_dill:
            from regrow.state.with_dill import load_by_dill

            return load_by_dill(pickled, buffers)
        return pickle.loads(pickled, buffers=buffers)


@contextmanager
def looking_up(lookup: Callable[[str], Any]) -> Iterator[None]:
    """Meanwhile `lookup` gives what pickles refer to by name."""
    global _lookup
    before, _lookup = _lookup, lookup
    try:
        yield
    finally:
        _lookup = before
