"""A forked child that does something with this process's objects while the process goes on.

The child has a copy of everything as it was at one moment, for the price of its page tables. It only ever reads that,
writes files, and ends by `os._exit`: locks that other threads of the parent held stay held in it, so what hangs is
ended after a while, and costs what it worked on and nothing else.
"""

from __future__ import annotations

import contextlib
import errno
import faulthandler
import gc
import mmap
import os
import pickle
import select
import signal
import struct
import threading
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_LENGTH = struct.Struct("<Q")
_POLL_S = 0.5
#: A child ends itself this many seconds later than its parent would.
_LATER_S = 30
#: A child that says nothing of what it is working on is ended after this many seconds.
_MOST_SILENT_S = 600
_PROGRESS_BYTES = 64 * 1024
_PROGRESS = struct.Struct("<dI")
#: So many collections of younger garbage have to come before one of all: none comes by itself.
_NO_FULL_COLLECTION = 1_000_000


@dataclass
class Outcome:
    """What came of a child: its `result`, or `error` in words.

    `working_on` is what a child that ended without a word was working on, `ended_by` the signal that ended it (0: it
    ended itself), and `was_stuck` whether it was ended for working on that for too long.
    """

    result: Any = None
    error: str = ""
    working_on: str = ""
    ended_by: int = 0
    was_stuck: bool = False


class Child:
    """A running child. `finished` is set when `outcome` is there and what follows it has been done."""

    def __init__(self, pid: int, results: int, progress: mmap.mmap, stuck_after_s: float) -> None:
        self.pid = pid
        self.outcome = Outcome()
        self.finished = threading.Event()
        self._results = results
        self._progress = progress
        self._stuck_after_s = stuck_after_s
        self._was_stuck = False

    def watch(self, then: Callable[[Outcome], None]) -> None:
        """Wait for it in a thread, and call `then` there. Raises `RuntimeError` where there can be no thread."""

        def wait() -> None:
            try:
                self._receive()
            except Exception as error:  # there was no memory for what it returned, say
                self.outcome = Outcome(error=str(error) or type(error).__name__)
            _full_collections.go_on()
            try:
                then(self.outcome)
            finally:
                self.finished.set()

        threading.Thread(target=wait, daemon=True, name="regrow-save").start()

    def kill(self) -> None:
        """End it. What it has not published by now is not there."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)

    def reap(self) -> bool:
        """Take its exit status, so that no zombie stays. Whether it has ended."""
        try:
            pid, _ = os.waitpid(self.pid, os.WNOHANG)
        except ChildProcessError:  # the notebook's own code waited for it
            return True
        return pid != 0

    def _receive(self) -> None:
        with os.fdopen(self._results, "rb", buffering=0) as results:
            received = bytearray()
            there_is_more = select.poll()
            there_is_more.register(results, select.POLLIN)
            while True:
                if not there_is_more.poll(_POLL_S * 1000):
                    self._end_if_stuck()
                    continue
                part = results.read(1024 * 1024)
                if not part:
                    break
                received += part
                # Not until the end: a program that the notebook started meanwhile may hold the other end open.
                if len(received) >= _LENGTH.size and len(received) >= _LENGTH.size + _LENGTH.unpack_from(received)[0]:
                    break
        if len(received) >= _LENGTH.size and len(received) >= _LENGTH.size + _LENGTH.unpack_from(received)[0]:
            self.outcome = pickle.loads(received[_LENGTH.size :])
        else:
            ended_by = self._ended_by()
            how = signal.Signals(ended_by).name if ended_by else "by itself"
            error = f"the process that does it ended too early ({how})"
            self.outcome = Outcome(None, error, self._working_on()[1], ended_by, self._was_stuck)

    def _ended_by(self) -> int:
        """The signal that ended it, without taking its exit status; 0 where there was none."""
        try:
            status = os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)
        except ChildProcessError:
            return 0
        return status.si_status if status and status.si_code in (os.CLD_KILLED, os.CLD_DUMPED) else 0

    def _working_on(self) -> tuple[float, str]:
        since, length = _PROGRESS.unpack_from(self._progress)
        return since, bytes(self._progress[_PROGRESS.size : _PROGRESS.size + length]).decode(errors="replace")

    def _end_if_stuck(self) -> None:
        since, what = self._working_on()
        limit = self._stuck_after_s if what else _MOST_SILENT_S
        if since and time.monotonic() - since > limit and not self._was_stuck:
            self._was_stuck = True
            self.kill()


class _FullCollections:
    """Garbage collections of all objects. They write to each, and what is written to is copied while a child lives.

    None comes by itself meanwhile. One that is asked for, by `gc.collect()`, does what it always does.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._waiting_for = 0
        self._before = 0

    def wait(self) -> None:
        """A child is going to live. Each call needs one of `go_on`."""
        with self._lock:
            self._waiting_for += 1
            if self._waiting_for == 1:
                youngest, younger, self._before = gc.get_threshold()
                gc.set_threshold(youngest, younger, _NO_FULL_COLLECTION)

    def go_on(self) -> None:
        """A child has ended."""
        with self._lock:
            self._waiting_for -= 1
            if not self._waiting_for:
                self._put_back()

    def start_anew(self) -> None:
        """This is a process that the notebook has forked meanwhile: none of the children is its own."""
        self._lock = threading.Lock()
        if self._waiting_for:
            self._waiting_for = 0
            self._put_back()

    def _put_back(self) -> None:
        youngest, younger, now = gc.get_threshold()
        if now == _NO_FULL_COLLECTION:  # else the notebook has set its own
            gc.set_threshold(youngest, younger, self._before)


_full_collections = _FullCollections()
os.register_at_fork(after_in_child=_full_collections.start_anew)


def start(work: Callable[[Callable[[str], None]], Any], then: Callable[[Outcome], None], stuck_after_s: float) -> Child:
    """Fork a child that does `work`, whose result is handed over by pickle. Raises `OSError` where there is no room.

    `then` is called with what came of it, in a thread.

    `work` is given a function by which it tells what it is working on; where that does not change for `stuck_after_s`
    seconds, the child is killed. An empty text is for what may take longer.
    """
    with contextlib.ExitStack() as undo:
        progress = undo.enter_context(mmap.mmap(-1, _PROGRESS_BYTES))
        reading, writing = os.pipe()
        undo.callback(os.close, reading)
        _full_collections.wait()
        undo.callback(_full_collections.go_on)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)  # of forking beside threads: see above
                pid = os.fork()
            if pid == 0:
                _be_the_child(work, writing, progress, stuck_after_s)
        finally:
            os.close(writing)
        child = Child(pid, reading, progress, stuck_after_s)
        try:
            child.watch(then)
        except RuntimeError as error:
            child.kill()
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)
            raise OSError(errno.EAGAIN, str(error)) from error
        undo.pop_all()
        return child


def _be_the_child(
    work: Callable[[Callable[[str], None]], Any], writing: int, progress: mmap.mmap, stuck_after_s: float
) -> None:
    try:
        gc.disable()
        _step_aside()
        outcome = Outcome()
        watchdog = _Watchdog(stuck_after_s)

        def working_on(what: str) -> None:
            watchdog.wait_for(what)
            text = what.encode(errors="replace")[: _PROGRESS_BYTES - _PROGRESS.size]
            progress[_PROGRESS.size : _PROGRESS.size + len(text)] = text
            _PROGRESS.pack_into(progress, 0, time.monotonic(), len(text))

        working_on("")
        try:
            outcome.result = work(working_on)
        except Exception as error:
            outcome.error = str(error) or type(error).__name__
        answer = pickle.dumps(outcome)
        view = memoryview(_LENGTH.pack(len(answer)) + answer)
        while view:
            view = view[os.write(writing, view) :]
    finally:
        os._exit(0)


class _Watchdog:
    """Ends this process where it hangs and its parent is not there any more to do so."""

    def __init__(self, stuck_after_s: float) -> None:
        self._stuck_after_s = stuck_after_s
        self._nothing = os.open(os.devnull, os.O_WRONLY)
        self._until = 0.0

    def wait_for(self, what: str) -> None:
        """Wait again, for as long as `what` may take. It needs a thread each time: not more often than now and then."""
        limit = (self._stuck_after_s if what else _MOST_SILENT_S) + _LATER_S
        until = time.monotonic() + limit
        if abs(until - self._until) > _LATER_S / 2:
            self._until = until
            faulthandler.dump_traceback_later(limit, exit=True, file=self._nothing)


def _step_aside() -> None:
    """The notebook's own work comes first, and what is meant for the kernel is not for this process."""
    # Interrupting a kernel signals its process group.
    os.setpgid(0, 0)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
        signal.signal(number, signal.SIG_IGN)
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    with contextlib.suppress(OSError):
        os.nice(10)
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
