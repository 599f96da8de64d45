"""Pickling with `dill`: what Python itself has no way to pickle, and dill has."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import dill

from regrow.state.definitions import namespace

if TYPE_CHECKING:
    from regrow.state.pickling import Context, Output

# dill puts methods of its own into the pickle module's tables, which other picklers of the kernel are not to see.
dill.extend(use_dill=False)


class DillPickler(dill.Pickler):  # type: ignore[misc]
    """dill's, with our reducers first."""

    def __init__(self, output: Output, context: Context, buffer_callback: Callable[[pickle.PickleBuffer], Any]) -> None:
        super().__init__(output, 5, buffer_callback=buffer_callback, byref=False, recurse=False)
        self._context = context

    def reducer_override(self, value: Any) -> Any:
        if type(value) is dict:
            return (namespace, ()) if value is namespace() else NotImplemented
        return self._context.reduce(value)


def load_by_dill(pickled: bytes | memoryview, buffers: Iterable[Any]) -> Any:
    """What a `DillPickler` wrote. Raises what loading raises."""
    # `ignore`: classes of the session are found by us, not looked for in __main__.
    return dill.Unpickler(io.BytesIO(pickled), buffers=buffers, ignore=True).load()
