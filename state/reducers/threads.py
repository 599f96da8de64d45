"""Locks, pools, data of threads."""

from __future__ import annotations

import _thread
import concurrent.futures
import os
import threading
from pathlib import Path
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


def _of_thread(value: threading.Thread, context: Context) -> Any:
    if type(value) is not threading.Thread or value.ident is None or _runs(value):
        raise Unsavable("a thread can't be kept: start it again", value)
    return _ended_thread, (value.name, value.daemon)


def _runs(thread: threading.Thread) -> bool:
    """In a forked child Python says of every thread that it has ended; the kernel of the machine knows better."""
    return thread.is_alive() or Path(f"/proc/{os.getppid()}/task/{thread.native_id}").exists()


def _ended_thread(name: str, daemon: bool) -> threading.Thread:
    thread = threading.Thread(name=name, daemon=daemon)
    thread.start()
    thread.join()
    return thread


def _of_program(value: Any, context: Context) -> Any:
    # Asking whether it has ended would take its exit status from the kernel.
    if value.returncode is None:
        raise Unsavable("a running program can't be kept: start it again", value)
    state = {name: each for name, each in vars(value).items() if name in ("args", "pid", "returncode")}
    return _ended_program, (type(value), state)


def _ended_program(kind: Any, state: dict[str, Any]) -> Any:
    program = kind.__new__(kind)
    vars(program).update(state)
    program._child_created = False
    program.stdin = program.stdout = program.stderr = None
    return program


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
    threading.Thread: _of_thread,
    threading.local: _of_local,
    concurrent.futures.Future: _of_future,
}
NAMES = {
    ("subprocess", "Popen"): _of_program,
    ("concurrent.futures.thread", "ThreadPoolExecutor"): _of_pool,
    ("concurrent.futures.process", "ProcessPoolExecutor"): _of_pool,
}
