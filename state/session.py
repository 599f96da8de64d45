"""The session of a kernel: what its cells did, when it is saved, and what comes back at its start."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from regrow.state import forking, generators, gpu, process
from regrow.state.cells import Usage, reachable_names, usage_of
from regrow.state.manifest import Cell, Manifest, Missing
from regrow.state.names import Variables, full_name
from regrow.state.places import status_file
from regrow.state.status import FAILED, IDLE, SAVED, SAVING, Status

#: A save begins this many seconds after a cell, unless another cell begins before.
DEBOUNCE_S = 1.0
#: Cells that follow each other at once are not saved for longer than this many seconds.
MOST_UNSAVED_S = 30.0
#: A save is not begun before this many times the duration of the last one has passed.
REST_FACTOR = 10.0
#: A save that failed is tried again after this many seconds.
RETRY_AFTER_S = 30.0
#: A cell that runs for longer than this is saved in its middle, as often.
LONG_CELL_S = 600.0
#: An idle kernel looks once at everything, also at what no cell has named.
IDLE_CHECK_S = 60.0
#: A child that works on one variable for longer than this is ended.
STUCK_AFTER_S = 90.0
PICKLING_TIMEOUT_S = 60.0
#: A variable at which the child was killed so often in a row is left out.
MOST_KILLS = 3
#: What saving needs is imported this many seconds after the kernel's start, not to slow that down.
IMPORT_AFTER_S = 0.5

_NOTHING = Usage(frozenset(), frozenset())


class Session:
    """The session of `shell`, an IPython shell, for `notebook`; its checkpoints are in `directory`.

    `tell` says something to the person at the notebook, below the cell that runs.
    """

    def __init__(
        self,
        shell: Any,
        directory: Path,
        notebook: Path,
        tell: Callable[[str], None] = lambda message: print(message, file=sys.stderr),
        now: Callable[[], float] = time.time,
    ) -> None:
        self.shell = shell
        self.variables = Variables(shell)
        self.tell = tell
        self.directory = directory
        self.notebook = notebook
        self.now = now
        self.baseline = process.Baseline()
        self.status = Status()
        self.manifest: Manifest | None = None
        self.excluded: set[str] = set()
        self.cells: list[Cell] = []
        self.made_by: dict[str, int] = {}
        self.loader: Any = None  # `loading.Loader`, where something was restored
        #: Says what is back (in words), what is not, and problems; a notebook's front end can be shown more.
        self.show_restored: Callable[[str, list[Missing], list[str]], None] = self._say_restored
        #: Puts what `manifest` refers to into the user's own checkpoints, where it is somebody else's still.
        self.bring_in: Callable[[Any], None] | None = None
        self._restored: tuple[str, list[Missing], list[str]] | None = None
        self._generators: dict[str, Any] = {}
        self._dirty: set[str] = set()
        self._unchecked = False
        self._skip: dict[str, tuple[int, str]] = {}  # what ended a child, by name: the object's id, the reason
        self._killed_at: list[str] = []
        self._kills = 0
        self._told: set[tuple[str, str]] = set()
        self._to_tell: list[str] = []
        self._bound: dict[str, int] = {}
        self._usage = _NOTHING
        self._running_since: float | None = None
        self._unsaved_since: float | None = None
        self._last_duration = 0.0
        self._last_end = 0.0
        self._rest_until = 0.0
        self._child: forking.Child | None = None
        self._children: list[forking.Child] = []
        self._lock = threading.RLock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._copying: asyncio.Task[None] | None = None
        self._closed = threading.Event()

    # What the shell calls

    def start(self) -> None:
        """Watch the shell's cells from now on."""
        with contextlib.suppress(RuntimeError):
            self._loop = asyncio.get_event_loop()
        self._bound = self._bindings()
        self.shell.events.register("pre_run_cell", self.before_cell)
        self.shell.events.register("post_run_cell", self.after_cell)
        self.shell.ast_transformers.append(_Watch(self))
        threading.Thread(target=self._in_background, daemon=True, name="regrow-session").start()

    def before_cell(self, info: Any) -> None:
        """IPython's `pre_run_cell`."""
        self._reap()
        if self._timer:
            self._timer.cancel()
        self._running_since = time.monotonic()
        self.tell_now()

    def on_code(self, tree: ast.AST) -> None:
        """Called with each piece of code that is going to run: what it needs is put in place first."""
        usage = usage_of(tree)
        before = self._usage
        self._usage = Usage(
            before.reads | usage.reads, before.binds | usage.binds, before.everything or usage.everything, usage.imports
        )
        if self.loader is not None:
            self._load_for(usage)

    def after_cell(self, result: Any) -> None:
        """IPython's `post_run_cell`."""
        self._running_since = None
        usage, self._usage = self._usage, _NOTHING
        bindings = self._bindings()
        bound = {name for name, identity in bindings.items() if self._bound.get(name) != identity}
        bound |= {name for name in usage.binds if name in bindings}
        self._bound = bindings
        info = result.info
        if info is not None and (info.raw_cell or "").strip() and info.store_history:
            count = result.execution_count or self.shell.execution_count - 1
            reads = sorted(name for name in usage.reads if name in bindings or name in self.made_by)
            self.cells.append(Cell(count, info.raw_cell, reads, sorted(bound)))
            self.made_by.update(dict.fromkeys(bound, count))
        self._unchecked = True
        self._mark(bound | self._reached(usage))

    # Saving

    def save(self, reason: str, *, timeout_s: float | None = None, everything: bool = False) -> str:
        """Save now, and wait for it. Returns what came of it, in words; empty where it was saved.

        May be called from another thread than the one that runs cells.
        """
        deadline = time.monotonic() + timeout_s if timeout_s is not None else None
        for _ in range(4):  # each variable that ends a child is left out from then on
            with self._lock:
                child = self._child
                if child is None:
                    self._mark_running()
                    if not everything and not self._has_changed():
                        return ""
                    child = self._fork(reason, everything)
                    if child is None:
                        return self.status.message
                    own = True
                else:
                    own = False
            left = None if deadline is None else max(0.0, deadline - time.monotonic())
            if not child.finished.wait(left):
                return "The save took too long. What was saved before is kept."
            self._settle(child)
            if own and not child.outcome.working_on:
                return child.outcome.error
        return self.status.message

    def excluded_names(self) -> list[str]:
        """The names that the user does not want saved."""
        return sorted(self.excluded)

    def exclude(self, names: Iterable[str]) -> None:
        """Keep `names` out of checkpoints from now on."""
        self.excluded |= set(names)
        self._mark(names)

    def include(self, names: Iterable[str]) -> None:
        """Keep `names` in checkpoints again."""
        self.excluded -= set(names)
        self._mark(names)

    def move(self, notebook: Path) -> None:
        """The notebook has another name now."""
        with self._lock:
            old = status_file(self.directory, self.notebook)
            self.notebook = notebook
            self._unsaved_since = self._unsaved_since or time.monotonic()
            old.unlink(missing_ok=True)
            self._write_status()

    def tell_later(self, message: str) -> None:
        """Say `message` below the next cell."""
        self._to_tell.append(message)

    def tell_now(self) -> None:
        """Say what waits for the next cell."""
        if restored := self._restored:
            self._restored = None
            self.show_restored(*restored)
        if self._to_tell:
            self.tell("\n".join(self._to_tell))
            self._to_tell.clear()

    def tell_restored(self, restored: Any) -> None:
        """Say below the next cell what is back and what is not, and how to make that again."""
        manifest: Manifest = restored.manifest
        when = time.strftime("%H:%M on %d %B", time.localtime(manifest.at))
        heading = f"regrow: {restored.count} variables are back, as they were at {when}."
        lost = [missing for missing in manifest.missing if missing.name not in self.excluded]
        self._restored = (heading, lost, restored.problems)
        self.status.restored_at, self.status.not_restored = self.now(), list(manifest.missing)
        self.status.state, self.status.saved_at, self.status.bytes = SAVED, manifest.at, manifest.size
        self.status.not_saved = manifest.missing
        self._write_status()

    def _say_restored(self, heading: str, lost: list[Missing], problems: list[str]) -> None:
        lines = [heading]
        for missing in lost:
            cell = f" (cell {missing.cell})" if missing.cell else ""
            lines.append(f"  {missing.name}{cell} is not: {missing.reason}.")
        if lost:
            lines.append("Run %checkpoint rerun to run the cells that make them again.")
        self.tell("\n".join([*lines, *problems]))

    def close(self) -> None:
        """Stop watching."""
        self._closed.set()

    def _mark(self, names: Iterable[str]) -> None:
        with self._lock:
            self._dirty |= set(names)
            self._unsaved_since = self._unsaved_since or time.monotonic()
        self._schedule()

    def _has_changed(self) -> bool:
        return self._unsaved_since is not None

    def _schedule(self) -> None:
        if self._loop is None:
            return
        if self._timer:
            self._timer.cancel()
        waited = time.monotonic() - (self._unsaved_since or time.monotonic())
        rest = self._rest_until - time.monotonic()
        if waited > MOST_UNSAVED_S and rest <= 0:
            self._autosave()
            return
        self._timer = self._loop.call_later(max(DEBOUNCE_S, rest), self._autosave)

    def _autosave(self) -> None:
        """Called where no cell runs, on the thread that runs cells."""
        if self._running_since is not None or self._closed.is_set():
            return
        if gpu.is_in_use() and self._loop is not None:
            self._copying = asyncio.ensure_future(self._autosave_from_gpu(), loop=self._loop)
            return
        with self._lock:
            if self._child is None and (self._has_changed() or self._unchecked):
                self._fork("autosave", everything=not self._has_changed())

    async def _autosave_from_gpu(self) -> None:
        """A piece at a time, so that the next cell does not wait; begun again after it where one came in between."""
        copies: dict[int, Any] = {}
        cells = len(self.cells)
        for _ in gpu.copy_to_host(self._on_gpus(self._names_to_save(False)), copies):
            await asyncio.sleep(0)
            if self._running_since is not None or len(self.cells) != cells:
                return
        with self._lock:
            if self._child is None and self._has_changed():
                self._fork("autosave", False, copies)

    def _on_gpus(self, names: set[str]) -> dict[int, Any]:
        from regrow.state.sharing import storages_on_gpus

        values = self._values()
        return storages_on_gpus([name for name in names if name in values], values)

    def _names_to_save(self, everything: bool) -> set[str]:
        values = self._values()
        pending = self._pending()
        names = set(values) if everything or self.manifest is None or self._has_own_threads() else set(self._dirty)
        if self.manifest is not None:
            for group in self.manifest.groups:
                if not names.isdisjoint(group.names):
                    names.update(group.names)
            known = set(self.manifest.names) | {missing.name for missing in self.manifest.missing}
            names |= set(values) - known
        return {name for name in names if name in values and name not in pending}

    def _has_own_threads(self) -> bool:
        """Whether code of the notebook's runs in threads: it may change anything at any time."""
        return any(
            type(thread).__module__ == "__main__"
            or getattr(getattr(thread, "_target", None), "__module__", "") == "__main__"
            for thread in threading.enumerate()
        )

    def _fork(self, reason: str, everything: bool, copies: dict[int, Any] | None = None) -> forking.Child | None:
        """Begin a save, with the lock held."""
        from regrow.state import saving

        started = time.monotonic()
        names = self._names_to_save(everything)
        values = self._values()
        if copies is None:
            copies = {}
            if gpu.is_in_use():
                for _ in gpu.copy_to_host(self._on_gpus(names), copies):
                    pass
        skip = dict.fromkeys(self.excluded & values.keys(), "you have excluded it")
        for name, (identity, why) in list(self._skip.items()):
            if name in values and id(values[name]) == identity:
                skip[name] = why
            else:
                del self._skip[name]
        request = saving.Request(
            notebook=self.notebook,
            namespace=values,
            names=names,
            pending=self._pending(),
            before=self.manifest,
            reason=reason,
            at=self.now(),
            execution_count=self.shell.execution_count,
            cells=self.cells,
            made_by={name: count for name, count in self.made_by.items() if name in values},
            excluded=sorted(self.excluded),
            process=self.baseline.changes(),
            generators={**generators.states(), **self._generators},
            skip=skip,
            host_copies=copies,
            group_timeout_s=PICKLING_TIMEOUT_S,
        )
        directory, bring_in = self.directory, self.bring_in

        def work(working_on: Callable[[str], None]) -> Any:
            from regrow.state.checkpoints import opened

            with opened(directory) as checkpoints:
                if bring_in is not None:
                    bring_in(checkpoints)
                return saving.save(request, checkpoints, lambda group: working_on("\n".join(group)))

        try:
            child = forking.start(work, STUCK_AFTER_S)
        except OSError as error:
            self._failed(f"There was no room for a process that saves: {error.strerror}.")
            return None
        self._child = child
        self._children.append(child)
        dirty, self._dirty = self._dirty, set()
        since, self._unsaved_since = self._unsaved_since, None
        checked, self._unchecked = self._unchecked, self._unchecked and not everything

        def then(outcome: forking.Outcome) -> None:
            with self._lock:
                self._child = None
                self._last_duration = time.monotonic() - started
                self._last_end = time.monotonic()
                self._rest_until = self._last_end + REST_FACTOR * self._last_duration
                if isinstance(outcome.result, saving.Saved):
                    self._saved(outcome.result)
                else:
                    # All of it is still to be saved.
                    self._dirty |= dirty
                    self._unsaved_since = since or time.monotonic()
                    self._unchecked = self._unchecked or checked
                    self._blame(outcome, values)
            if self._loop is not None and not self._closed.is_set():
                with contextlib.suppress(RuntimeError):  # the kernel is ending
                    self._loop.call_soon_threadsafe(self._after_save)

        self.status.state = SAVING
        self._write_status()
        child.watch(then)
        return child

    def _settle(self, child: forking.Child) -> None:
        """Until what `then` does for `child` has been done."""
        while True:
            with self._lock:
                if self._child is not child:
                    return
            time.sleep(0.001)

    def _after_save(self) -> None:
        self._reap()
        if self._running_since is not None:
            return
        if self._has_changed():
            self._schedule()
        elif self._unchecked and self._loop is not None:
            if self._timer:
                self._timer.cancel()
            self._timer = self._loop.call_later(IDLE_CHECK_S, self._autosave)

    def _saved(self, saved: Any) -> None:
        manifest: Manifest = saved.manifest
        self.manifest, self.bring_in = manifest, None
        self.status.state, self.status.message = SAVED, ""
        self.status.saved_at, self.status.bytes = manifest.at, manifest.size
        self.status.new_bytes, self.status.seconds = saved.new_bytes, self._last_duration
        self.status.not_saved = manifest.missing
        self._write_status()
        self._tell_of(manifest)

    def _tell_of(self, manifest: Manifest) -> None:
        """Each variable that is not kept, or comes back different, is told once: before the next cell's output."""
        for missing in manifest.missing:
            if missing.name not in self.excluded:
                self._tell_once(missing.name, missing.reason, f"regrow: {missing.name} is not saved: {missing.reason}.")
        for group in manifest.groups:
            for name, note in group.notes.items():
                if "different" in note:
                    self._tell_once(name, note, f"regrow: {name} is saved, but {note}.")

    def _tell_once(self, name: str, reason: str, message: str) -> None:
        if (name, reason) not in self._told:
            self._told.add((name, reason))
            self._to_tell.append(message)

    def _blame(self, outcome: forking.Outcome, values: dict[str, Any]) -> None:
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
        self.status.state = IDLE
        self._write_status()

    def _failed(self, message: str) -> None:
        self._rest_until = time.monotonic() + RETRY_AFTER_S
        self.status.state, self.status.message = FAILED, message
        self._tell_once("", message, f"regrow: {message} What was saved before is kept.")
        self._write_status()

    def _write_status(self) -> None:
        with contextlib.suppress(OSError):  # a full disk: the save itself says so
            self.status.write(status_file(self.directory, self.notebook))

    def _in_background(self) -> None:
        """In a thread of its own: import what saving needs, and save cells that run for hours in their middle."""
        if not self._closed.wait(IMPORT_AFTER_S):
            from regrow.state import saving, with_dill  # noqa: F401
        while not self._closed.wait(min(LONG_CELL_S / 10, 30)):
            since = self._running_since
            if since is None:
                continue
            now = time.monotonic()
            if now - max(since, self._last_end) > LONG_CELL_S:
                self.save("long cell")

    def _mark_running(self) -> None:
        """What the cell that runs now may have changed is to be saved, with the lock held."""
        if self._running_since is None:
            return
        new = {name for name, identity in self._bindings().items() if self._bound.get(name) != identity}
        self._dirty |= new | self._reached(self._usage)
        self._unsaved_since = self._unsaved_since or self._running_since

    def _reap(self) -> None:
        self._children = [child for child in self._children if not child.reap()]

    # The namespace

    def _values(self) -> dict[str, Any]:
        return self.variables.snapshot()

    def _bindings(self) -> dict[str, int]:
        return {name: id(value) for name, value in self._values().items()}

    def _pending(self) -> set[str]:
        return self.loader.pending() if self.loader is not None else set()

    def _reached(self, usage: Usage) -> set[str]:
        values = self._values()
        if usage.everything:
            return set(values)
        reads = {full_name(name) for name in usage.reads | usage.binds}
        if usage.reads & {"Out", "_oh", "_", "__", "___"}:
            reads |= {name for name in values if name.startswith("Out[")}
        return reachable_names(reads, values, self._uses)

    def _uses(self, name: str) -> list[str]:
        if self.loader is not None and (known := self.loader.uses(name)):
            return list(known)
        return self._saved_uses().get(name, [])

    def _saved_uses(self) -> dict[str, list[str]]:
        manifest = self.manifest
        if manifest is None:
            return {}
        return {name: [*group.uses, *group.needs] for group in manifest.groups for name in group.names}

    def _load_for(self, usage: Usage) -> None:
        pending = self._pending()
        if pending:
            needed = pending & self._reached(usage)
            # A name that is only bound does not need the value that it had.
            needed -= {name for name in usage.binds - usage.reads if not self._is_shared(name)}
            if needed:
                self.load(needed)
        if self._generators:
            if usage.imports or usage.everything:
                self._import_generators()
            generators.set_states(self._generators)

    def _is_shared(self, name: str) -> bool:
        return self.manifest is not None and any(
            name in group.names and len(group.names) > 1 for group in self.manifest.groups
        )

    def _import_generators(self) -> None:
        """A cell that imports may import these, and draw from them before the next look."""
        for package in ("numpy.random", "torch"):
            if package.partition(".")[0] in self._generators:
                with contextlib.suppress(ImportError):
                    __import__(package)

    def load(self, names: Iterable[str]) -> list[Missing]:
        """Put the values of `names` in place, as far as they are only standing for what is kept."""
        if self.loader is None:
            return []
        # Libraries draw from the generators while they are imported.
        before = generators.states()
        failed: list[Missing] = self.loader.load(names)
        generators.set_states(before)
        self._bound = {**self._bound, **self._bindings()}
        for missing in failed:
            self.status.not_restored.append(missing)
            cell = f" Cell {missing.cell} made it: %checkpoint rerun {missing.name}" if missing.cell else ""
            self.tell(f"regrow: {missing.name} could not be restored: {missing.reason}.{cell}")
        if failed:
            self._write_status()
        return failed

    def rebase(self) -> None:
        """What is bound now is not the doing of the cell that runs."""
        self._bound = self._bindings()

    def adopt(self, manifest: Manifest, loader: Any, states: dict[str, Any]) -> None:
        """Go on from `manifest`, whose variables `loader` has put in place."""
        with self._lock:
            self.manifest, self.loader, self._generators = manifest, loader, states
            self.bring_in = None
            self.cells, self.made_by = list(manifest.cells), dict(manifest.made_by)
            self.excluded = set(manifest.excluded)
            self._bound = self._bindings()
            self._dirty, self._unchecked, self._unsaved_since = set(), False, None
            self._told = {(missing.name, missing.reason) for missing in manifest.missing}


def _why_left_out(outcome: forking.Outcome) -> str:
    if outcome.was_stuck:
        return f"pickling it takes longer than {STUCK_AFTER_S:.0f} s"
    if outcome.ended_by == signal.SIGKILL:
        return f"the process that pickles it was killed {MOST_KILLS} times: it may take more memory than there is"
    return "pickling it crashes the process that does it"


class _Watch(ast.NodeTransformer):
    """IPython's way to see every cell's code before it runs, magics' included. It changes nothing."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def visit(self, node: ast.AST) -> ast.AST:
        self._session.on_code(node)
        return node
