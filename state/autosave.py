"""When a session is saved: after cells, once its kernel is idle, in the middle of long cells, when it is told to."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from regrow.state import forking, generators, gpu, pages, process
from regrow.state.record import Record
from regrow.state.request import Request, Saved
from regrow.state.status import FAILED, IDLE, SAVED, SAVING, Status
from regrow.state.telling import Teller

#: A save begins this many seconds after a cell, unless another cell begins before.
DEBOUNCE_S = 1.0
#: Cells that follow each other at once are not saved for longer than this many seconds.
MOST_UNSAVED_S = 30.0
#: A save is not begun before this many times the duration of the last one has passed,
REST_FACTOR = 10.0
#: and not before its bytes, at this many a second: what changes all the time is not to fill the disk.
MOST_BYTES_PER_S = 20_000_000
#: A save that failed is tried again after this many seconds.
RETRY_AFTER_S = 30.0
#: A cell that runs for longer than this is saved in its middle, as often.
LONG_CELL_S = 600.0
#: An idle kernel looks once at everything, also at what no cell has named.
IDLE_CHECK_S = 60.0
#: A child that works on one variable for longer than this is ended; before that it is asked to give it up.
STUCK_AFTER_S = 90.0
PICKLING_TIMEOUT_S = 60.0
#: A variable at which the child was killed so often in a row is left out.
MOST_KILLS = 3
#: What saving needs is imported while the kernel rests, this many seconds after its start or later.
IMPORT_AFTER_S = 0.5
#: A process that has grown by less than this since is not looked at for small pages again.
_GROWN_BYTES = 128 * 1024 * 1024


class Autosave:
    """Saves what `record` has to the checkpoints in `directory`, as the notebook's of that name, and says so.

    `bring_in` puts what the last manifest refers to into these checkpoints, where it is in somebody else's still.
    """

    def __init__(
        self, record: Record, directory: Path, notebook: Path, status: Status, teller: Teller, now: Callable[[], float]
    ) -> None:
        self.notebook = notebook
        self.bring_in: Callable[[Any], None] | None = None
        #: States of generators whose libraries are not imported yet.
        self.generators: dict[str, Any] = {}
        self._record = record
        self._directory = directory
        self._status = status
        self._teller = teller
        self._now = now
        self._baseline = process.Baseline()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._preparing: asyncio.Task[None] | None = None
        self._running_since: float | None = None
        self._unsaved_since: float | None = None
        self._unchecked = False
        self._last_end = 0.0
        self._rest_until = 0.0
        self._huge_at = 0
        self._child: forking.Child | None = None
        self._children: list[forking.Child] = []
        self._skip: dict[str, tuple[int, str]] = {}  # what ended a child, by name: the object's id, the reason
        self._killed_at: list[str] = []
        self._kills = 0
        self._tidying: subprocess.Popen[bytes] | None = None
        # A child that is forked in the middle of an import could never import that itself.
        self._importing = threading.Lock()
        self._closed = threading.Event()

    # What happens in the kernel

    def start(self) -> None:
        """Save by itself from now on, on the event loop of this thread."""
        with contextlib.suppress(RuntimeError):
            self._loop = self._record.loop = asyncio.get_event_loop()
        threading.Thread(target=self._in_background, daemon=True, name="regrow-session").start()

    def close(self) -> None:
        """Save no longer by itself."""
        self._closed.set()

    def cell_begins(self) -> None:
        """A cell is going to run."""
        self._reap()
        if self._timer:
            self._timer.cancel()
        self._running_since = time.monotonic()

    def cell_ended(self) -> None:
        """A cell has run."""
        self._running_since = None
        self._unchecked = True
        self.something_changed()

    def something_ran(self) -> None:
        """Something other than a cell has run: what a widget calls."""
        if self._running_since is None:
            self._unchecked = True
            self._look_later()

    def something_changed(self) -> None:
        """The record has something new. It is saved soon."""
        self._unsaved_since = self._unsaved_since or time.monotonic()
        self._schedule()

    def save_again(self) -> None:
        """Wait for a save that is under way, and save what there is once more. May be called from another thread."""
        child = self._child
        if child is not None:
            child.finished.wait()
        self._unsaved_since = self._unsaved_since or time.monotonic()
        self._rest_until = 0.0
        self._status.state, self._status.saved_at = IDLE, None
        self.write_status()
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self._schedule)

    def nothing_changed(self) -> None:
        """The record is what was saved last."""
        self._unsaved_since, self._unchecked = None, False

    # Saving when it is told to

    def save(
        self, reason: str, *, timeout_s: float | None = None, everything: bool = False, thoroughly: bool = False
    ) -> str:
        """Save now, and wait for it. Returns what came of it, in words; empty where all is saved.

        `everything`: also what no cell has named is looked at; `thoroughly`: where it may have changed since that was
        done last. May be called from another thread than that of the cells, and while a cell runs.
        """
        everything = everything or (thoroughly and (self._unchecked or self._record.goes_on()))
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            with self._record.lock:
                # What is under way does not have what came since: another one follows it.
                child, is_last = self._child, self._child is None
                if child is None:
                    if self._running_since is not None:
                        self._record.note_running()
                        self._unsaved_since = self._unsaved_since or self._running_since
                    if self._unsaved_since is None and not everything:
                        return ""
                    child = self._fork(reason, everything)
                    if child is None:
                        return self._status.message
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            if not child.finished.wait(left):
                return "The save took too long. What was saved before is kept."
            if is_last and not (child.outcome.working_on and self._status.state == IDLE):
                return child.outcome.error

    # Saving by itself

    def _schedule(self) -> None:
        if self._loop is None:
            return
        if self._timer:
            self._timer.cancel()
        now = time.monotonic()
        rest = self._rest_until - now
        if rest <= 0 and self._unsaved_since is not None and now - self._unsaved_since > MOST_UNSAVED_S:
            self._begin()
        else:
            self._timer = self._loop.call_later(max(DEBOUNCE_S, rest), self._begin)

    def _begin(self) -> None:
        """Called on the cells' thread while no cell runs."""
        is_preparing = self._preparing is not None and not self._preparing.done()
        if self._is_busy() or is_preparing or self._loop is None:
            return
        if gpu.is_in_use() or pages.resident_bytes() > self._huge_at + _GROWN_BYTES:
            self._preparing = asyncio.ensure_future(self._prepare_and_save(), loop=self._loop)
        else:
            self._fork_by_itself()

    @property
    def is_cell_running(self) -> bool:
        """Whether a cell runs now."""
        return self._running_since is not None

    def _is_busy(self) -> bool:
        return self._running_since is not None or self._closed.is_set() or self._child is not None

    def _fork_by_itself(self, copies: dict[int, Any] | None = None) -> None:
        with self._record.lock:
            if not self._is_busy() and (self._unsaved_since is not None or self._unchecked):
                self._fork("autosave", everything=self._unsaved_since is None, copies=copies)

    async def _prepare_and_save(self) -> None:
        """Make the fork short and the GPUs' memory readable, without the next cell waiting for that.

        Where a cell comes in between, its end begins anew.
        """
        try:
            await asyncio.get_running_loop().run_in_executor(None, self._make_pages_huge)
            copies: dict[int, Any] = {}
            if gpu.is_in_use() and not self._is_busy():
                cells = len(self._record.cells)
                for _ in gpu.copy_to_host(self._on_gpus(), copies):
                    await asyncio.sleep(0)
                    if self._is_busy() or len(self._record.cells) != cells:
                        return
            self._fork_by_itself(copies)
        except Exception as error:
            self._failed(f"The session could not be saved: {error}.")

    def _make_pages_huge(self) -> None:
        if pages.small_page_bytes() > pages.SMALL_ENOUGH_BYTES:
            pages.make_huge(lambda: not self._closed.is_set())
        self._huge_at = pages.resident_bytes()

    def _on_gpus(self) -> dict[int, Any]:
        from regrow.state.sharing import storages_on_gpus

        return storages_on_gpus(self._record.variables.snapshot())

    def _in_background(self) -> None:
        """In a thread of its own: import what saving needs, and save cells that run for hours in their middle."""
        while not self._closed.wait(IMPORT_AFTER_S):
            if self._running_since is None:
                with self._importing:
                    from regrow.state import saving, tidy, with_dill  # noqa: F401
                break
        while not self._closed.wait(min(LONG_CELL_S / 10, 30)):
            since = self._running_since
            if since is not None and time.monotonic() - max(since, self._last_end) > LONG_CELL_S:
                self.save("long cell")

    # The child

    def _fork(self, reason: str, everything: bool, copies: dict[int, Any] | None = None) -> forking.Child | None:
        """Begin a save, with the lock held. None where that can't be done, which is told."""
        record, started = self._record, time.monotonic()
        changed = record.take()
        since, self._unsaved_since = self._unsaved_since, None
        checked = self._unchecked

        def nothing_was_saved() -> None:
            record.mark(changed)
            self._unsaved_since, self._unchecked = self._unsaved_since or since or started, self._unchecked or checked

        def then(outcome: forking.Outcome) -> None:
            with record.lock:
                self._child = None
                self._last_end = time.monotonic()
                duration = self._last_end - started
                self._rest_until = self._last_end + REST_FACTOR * duration
                if isinstance(outcome.result, Saved):
                    self._rest_until += outcome.result.new_bytes / MOST_BYTES_PER_S
                    self._saved(outcome.result.whole(request.before), duration)
                else:
                    nothing_was_saved()
                    self._blame(outcome, request.namespace)
            if self._loop is not None and not self._closed.is_set():
                with contextlib.suppress(RuntimeError):  # the kernel is ending
                    self._loop.call_soon_threadsafe(self._after_save)

        try:
            request = self._request(reason, changed, everything, copies)
            # What goes on beside the cells may change everything again at once.
            self._unchecked = record.goes_on() if everything else checked
            self._status.state = SAVING
            self.write_status()
            with self._importing:
                child = forking.start(partial(_save, request, self._directory, self.bring_in), then, STUCK_AFTER_S)
        except Exception as error:
            nothing_was_saved()
            self._failed(f"The session could not be saved: {error}.")
            return None
        self._child = child
        self._children.append(child)
        return child

    def _request(self, reason: str, changed: set[str], everything: bool, copies: dict[int, Any] | None) -> Request:
        record = self._record
        values = record.variables.snapshot()
        names = record.to_save(set(values) if everything else changed)
        if copies is None:
            copies = {}
            if gpu.is_in_use():
                for _ in gpu.copy_to_host(self._on_gpus(), copies):
                    pass
        return Request(
            notebook=self.notebook,
            namespace=values,
            names=names,
            pending=record.kept_elsewhere(),
            before=record.manifest,
            reason=reason,
            at=self._now(),
            execution_count=record.shell.execution_count,
            cells=list(record.cells),
            made_by={name: count for name, count in dict(record.made_by).items() if name in values},
            excluded=sorted(record.excluded),
            process=self._baseline.changes(),
            generators={**generators.states(), **self.generators},
            skip=self._left_out(values),
            host_copies=copies,
            group_timeout_s=PICKLING_TIMEOUT_S,
        )

    def _left_out(self, values: dict[str, Any]) -> dict[str, str]:
        left_out = dict.fromkeys(self._record.excluded & values.keys(), "you have excluded it")
        for name, (identity, why) in list(self._skip.items()):
            if name in values and id(values[name]) == identity:
                left_out[name] = why
            else:
                del self._skip[name]
        return left_out

    def _saved(self, saved: Any, duration: float) -> None:
        manifest = saved.manifest
        self._record.manifest, self.bring_in = manifest, None
        status = self._status
        status.state, status.message = SAVED, ""
        status.saved_at, status.bytes = manifest.at, manifest.size
        status.new_bytes, status.seconds = saved.new_bytes, duration
        status.not_saved = manifest.missing
        self.write_status()
        self._teller.saved(manifest)

    def _blame(self, outcome: forking.Outcome, values: Mapping[str, Any]) -> None:
        """What ends the child that saves it is left out of the next save."""
        names = [name for name in outcome.working_on.split("\n") if name in values]
        # SIGKILL comes from outside, when memory is short: that may pass.
        was_killed = outcome.ended_by == signal.SIGKILL and not outcome.was_stuck
        self._kills = self._kills + 1 if names == self._killed_at else 1
        self._killed_at = names
        if not names or (was_killed and self._kills < MOST_KILLS):
            self._failed(f"The session could not be saved: {outcome.error}.")
            return
        for name in names:
            self._skip[name] = (id(values[name]), _why_left_out(outcome))
        self._rest_until = 0.0
        self._status.state = IDLE
        self.write_status()

    def _failed(self, message: str) -> None:
        self._rest_until = time.monotonic() + RETRY_AFTER_S
        self._status.state, self._status.message = FAILED, message
        self._teller.once("", message, f"regrow: {message} What was saved before is kept.")
        self.write_status()

    def write_status(self) -> None:
        """Let the front end see the status."""
        with contextlib.suppress(OSError):  # a full disk: the save itself says so
            self._status.write_for(self._directory, self.notebook)

    def _after_save(self) -> None:
        """On the cells' thread."""
        self._reap()
        if self._running_since is not None:
            return
        if self._unsaved_since is not None:
            self._schedule()
        elif self._unchecked:
            self._look_later()
        self._tidy_up()

    def _look_later(self) -> None:
        """Look at everything, if the kernel is idle until then."""
        if self._loop is None or self._unsaved_since is not None:
            return
        if self._timer:
            self._timer.cancel()
        rest = max(IDLE_CHECK_S, self._rest_until - time.monotonic())
        self._timer = self._loop.call_later(rest, self._begin)

    def _tidy_up(self) -> None:
        from regrow.state import tidy

        is_over = self._tidying is None or self._tidying.poll() is not None
        if is_over and tidy.is_due(self._directory, self._now()):
            with contextlib.suppress(OSError):  # no room for a process: another time
                self._tidying = tidy.start()

    def _reap(self) -> None:
        self._children = [child for child in self._children if not child.reap()]


def _save(
    request: Request,
    directory: Path,
    bring_in: Callable[[Any], None] | None,
    working_on: Callable[[str], None],
) -> Saved:
    """What the child does."""
    # Where the kernel has had no rest yet to import them.
    from regrow.state import saving
    from regrow.state.checkpoints import opened

    with opened(directory) as checkpoints:
        if bring_in is not None:
            bring_in(checkpoints)
        saved = saving.save(request, checkpoints, lambda group: working_on("\n".join(group)))
        return saved.shortened(request.before)


def _why_left_out(outcome: forking.Outcome) -> str:
    if outcome.was_stuck:
        return f"pickling it takes longer than {STUCK_AFTER_S:.0f} s"
    if outcome.ended_by == signal.SIGKILL:
        return f"the process that pickles it was killed {MOST_KILLS} times: it may take more memory than there is"
    return "pickling it crashes the process that does it"
