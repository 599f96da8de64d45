"""Locks, pools, data of threads."""

from __future__ import annotations

import _thread
import concurrent.futures
import threading
from typing import TYPE_CHECKING, Any

from regrow.state.errors import Unsavable

if TYPE_CHECKING:
    from regrow.state.pickling import Context

_OPEN = "a lock comes back open"


def _of_lock(value: Any, context: Context) -> Any:
    context.notes.append(_OPEN)
    return threading.Lock, ()


def _of_rlock(value: Any, context: Context) -> Any:
    context.notes.append(_OPEN)
    return threading.RLock, ()


def _of_condition(value: threading.Condition, context: Context) -> Any:
    # Its methods are those of its lock.
    return threading.Condition, (value._lock,)  # type: ignore[attr-defined]


def _of_local(value: Any, context: Context) -> Any:
    if type(value) is not threading.local:
        raise Unsavable("data of threads of this kind can't be kept: make it again", value)
    context.notes.append("data of threads comes back with what the notebook's own thread had in it")
    return threading.local, (), dict(vars(value)), None, None, _fill_local


def _fill_local(value: Any, content: dict[str, Any]) -> None:
    vars(value).update(content)


def _of_pool(value: Any, context: Context) -> Any:
    if value._shutdown if hasattr(value, "_shutdown") else value._shutdown_thread:
        raise Unsavable("a pool that was shut down can't be kept: make it again", value)
    context.notes.append("a pool comes back with workers of its own, and without what it was still to do")
    given = (value._max_workers, value._initializer, value._initargs)
    if isinstance(value, concurrent.futures.ThreadPoolExecutor):
        return _pool_of_threads, given
    return _pool_of_processes, given


def _pool_of_threads(workers: int, initializer: Any, arguments: Any) -> Any:
    return concurrent.futures.ThreadPoolExecutor(workers, initializer=initializer, initargs=arguments)


def _pool_of_processes(workers: int, initializer: Any, arguments: Any) -> Any:
    return concurrent.futures.ProcessPoolExecutor(workers, initializer=initializer, initargs=arguments)


def _of_future(value: concurrent.futures.Future[Any], context: Context) -> Any:
    if value.cancelled() or not value.done():
        raise Unsavable("a future can't be kept: what was to answer it is gone", value)
    error = value.exception()
    return _future, (), (None if error else value.result(), error), None, None, _fill_future


def _future() -> Any:
    return concurrent.futures.Future()


def _fill_future(future: Any, outcome: tuple[Any, Any]) -> None:
    result, error = outcome
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)


TYPES: dict[Any, Any] = {
    _thread.LockType: _of_lock,
    type(threading.RLock()): _of_rlock,
    threading.Condition: _of_condition,
    threading.local: _of_local,
    concurrent.futures.Future: _of_future,
}
NAMES = {
    ("concurrent.futures.thread", "ThreadPoolExecutor"): _of_pool,
    ("concurrent.futures.process", "ProcessPoolExecutor"): _of_pool,
}
