"""What the cells of a kernel did to its variables: what each read and bound, and what is to be looked at again."""

from __future__ import annotations

import ast
import asyncio
import threading
from typing import Any

from regrow.state.cells import Usage, reachable_names, usage_of
from regrow.state.manifest import Cell, Manifest
from regrow.state.names import Variables, full_name

_NOTHING = Usage(frozenset(), frozenset())
_RESULTS = frozenset({"Out", "_oh", "_", "__", "___"})


class Record:
    """The record of `shell`. `manifest` is what was saved or restored last, `loader` what was put in place of it.

    `lock` guards what other threads than that of the cells take: `take`, `put_back` and `note_running`.
    """

    def __init__(self, shell: Any) -> None:
        self.shell = shell
        self.variables = Variables(shell)
        self.cells: list[Cell] = []
        self.made_by: dict[str, int] = {}
        self.excluded: set[str] = set()
        self.manifest: Manifest | None = None
        self.loader: Any = None
        self.lock = threading.RLock()
        self.loop: asyncio.AbstractEventLoop | None = None
        self._bound = self._bindings()
        self._usage = _NOTHING
        self._changed: set[str] = set()

    def note(self, tree: ast.AST) -> Usage:
        """Code that is going to run. Returns what that refers to."""
        usage, before = usage_of(tree), self._usage
        self._usage = Usage(
            before.reads | usage.reads, before.binds | usage.binds, before.everything or usage.everything
        )
        return usage

    def end_cell(self, result: Any) -> None:
        """A cell has ended, with IPython's `result`."""
        usage, self._usage = self._usage, _NOTHING
        bindings = self._bindings()
        bound = self._newly_bound(bindings) | {name for name in usage.binds if name in bindings}
        self._bound = bindings
        info = result.info
        if info is not None and (info.raw_cell or "").strip() and info.store_history:
            count = result.execution_count or self.shell.execution_count - 1
            reads = sorted(name for name in usage.reads if name in bindings or name in self.made_by)
            self.cells.append(Cell(count, info.raw_cell, reads, sorted(bound)))
            self.made_by.update(dict.fromkeys(bound, count))
        self.mark(bound | self.reached(usage))

    def note_running(self) -> None:
        """What the cell that runs now may have changed up to now has to be looked at."""
        self.mark(self._newly_bound(self._bindings()) | self.reached(self._usage))

    def rebase(self) -> None:
        """What is bound now is not the doing of the cell that runs."""
        self._bound = self._bindings()

    def adopt(self, manifest: Manifest, loader: Any) -> None:
        """Go on from `manifest`, whose variables `loader` has put in place."""
        with self.lock:
            self.manifest, self.loader = manifest, loader
            self.cells, self.made_by = list(manifest.cells), dict(manifest.made_by)
            self.excluded = set(manifest.excluded)
            self._bound = self._bindings()
            self._changed = set()

    # What has to be looked at

    def mark(self, names: set[str]) -> None:
        """Each of `names` has to be looked at again."""
        with self.lock:
            self._changed |= names

    def take(self) -> set[str]:
        """What was marked, which is marked no longer."""
        with self.lock:
            changed, self._changed = self._changed, set()
        return changed

    def to_save(self, changed: set[str]) -> set[str]:
        """The names that a save looks at: `changed`, what shares objects with that, and what is in no checkpoint."""
        values = self.variables.snapshot()
        names = set(changed)
        if self.manifest is None or _has_threads_of_notebook():
            names = set(values)
        else:
            # What is excluded now takes nothing else of its group along.
            names |= self.excluded
            for group in self.manifest.groups:
                if not names.isdisjoint(group.names):
                    names.update(group.names)
            known = {*self.manifest.names, *(each.name for each in self.manifest.missing if not each.again)}
            names |= values.keys() - known
        return (names & values.keys()) - self.pending()

    def goes_on(self) -> bool:
        """Whether code of the notebook's runs beside its cells, in threads or as tasks, and may change anything."""
        return _has_threads_of_notebook() or self._has_tasks()

    def _has_tasks(self) -> bool:
        try:
            tasks = asyncio.all_tasks(self.loop) if self.loop is not None else set()
        except RuntimeError:  # one was added while they were listed
            return True
        frames = (getattr(task.get_coro(), "cr_frame", None) for task in tasks)
        return any(frame is not None and frame.f_globals is self.shell.user_ns for frame in frames)

    # The namespace

    def pending(self) -> set[str]:
        """The names that stand for what is not loaded yet."""
        return self.loader.pending() if self.loader is not None else set()

    def kept_elsewhere(self) -> set[str]:
        """The names of which only the last checkpoint has the values: not loaded yet, or not to be loaded here."""
        return self.pending() | (self.loader.kept() if self.loader is not None else set())

    def reached(self, usage: Usage) -> set[str]:
        """The names that code which refers to `usage` may come to."""
        values = self.variables.snapshot()
        if usage.everything:
            return set(values)
        names = {full_name(name) for name in usage.reads | usage.binds}
        if usage.reads & _RESULTS:
            names |= {name for name in values if name.startswith("Out[")}
        saved = self._saved_uses()
        return reachable_names(names, values, lambda name: saved.get(name, ()))

    def needed(self, usage: Usage) -> set[str]:
        """The pending names whose values code that refers to `usage` may look at."""
        pending = self.pending()
        if not pending:
            return pending
        # A name that is only bound does not need the value that it had, but where others have a part of that.
        return (pending & self.reached(usage)) - (usage.binds - usage.reads - self.sharing_names())

    def sharing_names(self) -> set[str]:
        """The names that are kept together with others."""
        return {name for group in self._groups() if len(group.names) > 1 for name in group.names}

    def _groups(self) -> list[Any]:
        return self.manifest.groups if self.manifest is not None else []

    def _saved_uses(self) -> dict[str, list[str]]:
        return {name: [*group.uses, *group.needs] for group in self._groups() for name in group.names}

    def _bindings(self) -> dict[str, int]:
        return {name: id(value) for name, value in self.variables.snapshot().items()}

    def _newly_bound(self, bindings: dict[str, int]) -> set[str]:
        return {name for name, identity in bindings.items() if self._bound.get(name) != identity}


def _has_threads_of_notebook() -> bool:
    """Whether code of the notebook's runs in threads: it may change anything at any time."""
    return any(
        "__main__" in (type(thread).__module__, getattr(getattr(thread, "_target", None), "__module__", ""))
        for thread in threading.enumerate()
    )
