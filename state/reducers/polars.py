"""Polars: it puts what is in several pieces together on a pool of threads, which a forked child has not."""

from __future__ import annotations

import ctypes
import os
import pickle
import select
import signal
import sys
import time
from typing import TYPE_CHECKING, Any

from regrow.state.errors import Unsavable

if TYPE_CHECKING:
    from regrow.state.pickling import Context

#: A plan that is not written down after so many seconds waits for threads that are not there.
_PLAN_S = 10.0
_PR_SET_PDEATHSIG = 1


def _of_series(value: Any, context: Context) -> Any:
    if value.dtype == sys.modules["polars"].Object:
        return _series_of_objects, (value.name, value.to_list())
    if value.n_chunks() > 1:
        return _series_of_pieces, (value.get_chunks(),)
    return NotImplemented


def _series_of_objects(name: str, values: list[Any]) -> Any:
    import polars

    return polars.Series(name, values, dtype=polars.Object)


def _series_of_pieces(pieces: list[Any]) -> Any:
    import polars

    return polars.concat(pieces, rechunk=False)


def _of_frame(value: Any, context: Context) -> Any:
    columns = value.get_columns()
    if any(column.n_chunks() > 1 or column.dtype == sys.modules["polars"].Object for column in columns):
        return type(value), (columns,)
    return NotImplemented


def _of_plan(value: Any, context: Context) -> Any:
    """The frames in a plan can't be got at: what would wait for ever does so in a process of its own."""
    reading, writing = os.pipe()
    prctl, own = ctypes.CDLL(None).prctl, os.getpid()
    child = os.fork()
    if child == 0:
        try:
            # It has what its parent answers the kernel by: that would wait for it.
            prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            data = memoryview(pickle.dumps(value, 5) if os.getppid() == own else b"")
            while data:
                data = data[os.write(writing, data) :]
        finally:
            os._exit(0)
    os.close(writing)
    received, deadline = bytearray(), time.monotonic() + _PLAN_S
    try:
        while select.select([reading], [], [], max(0.0, deadline - time.monotonic()))[0]:
            if not (part := os.read(reading, 1024 * 1024)):
                break
            received += part
            deadline = time.monotonic() + _PLAN_S
    finally:
        os.close(reading)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    # The last byte of a pickle is its end.
    if not received.endswith(pickle.STOP):
        raise Unsavable("a LazyFrame can't be kept whose DataFrame is in several pieces: rechunk() that", value)
    return pickle.loads, (bytes(received),)


NAMES = {
    ("polars.series.series", "Series"): _of_series,
    ("polars.dataframe.frame", "DataFrame"): _of_frame,
    ("polars.lazyframe.frame", "LazyFrame"): _of_plan,
}
