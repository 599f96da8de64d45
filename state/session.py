"""The session of a kernel: what the shell calls around its cells, and what comes back at its start."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from regrow.state import generators
from regrow.state.autosave import Autosave
from regrow.state.cells import Usage
from regrow.state.manifest import Cell, Manifest, Missing
from regrow.state.names import Variables
from regrow.state.record import Record
from regrow.state.status import SAVED, Status
from regrow.state.telling import Teller

#: Small variables are loaded this many seconds after a restore: the first cell may come at once.
LOAD_AHEAD_AFTER_S = 1.0


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
        self.directory = directory
        self.now = now
        self.status = Status()
        self.teller = Teller(tell)
        self.record = Record(shell)
        self.autosave = Autosave(self.record, directory, notebook, self.status, self.teller, now)

    @property
    def notebook(self) -> Path:
        """The notebook, as an absolute path."""
        return self.autosave.notebook

    @property
    def variables(self) -> Variables:
        """The user's variables."""
        return self.record.variables

    @property
    def manifest(self) -> Manifest | None:
        """What was saved or restored last."""
        return self.record.manifest

    @property
    def loader(self) -> Any:
        """The `loading.Loader` of what was restored; None where nothing was."""
        return self.record.loader

    @property
    def cells(self) -> list[Cell]:
        """The cells that ran."""
        return self.record.cells

    @property
    def excluded(self) -> set[str]:
        """The names that are kept out of checkpoints."""
        return self.record.excluded

    # What the shell calls

    def start(self) -> None:
        """Watch the shell's cells from now on."""
        self.record.rebase()
        self.shell.events.register("pre_run_cell", self.before_cell)
        self.shell.events.register("post_run_cell", self.after_cell)
        self.shell.events.register("post_execute", self.autosave.something_ran)
        self.shell.ast_transformers.append(_Watch(self))
        self.autosave.start()

    def before_cell(self, info: Any) -> None:
        """IPython's `pre_run_cell`."""
        self.autosave.cell_begins()
        self.teller.now()

    def on_code(self, tree: ast.AST) -> None:
        """Called with each piece of code that is going to run: what it needs is put in place first."""
        usage = self.record.note(tree)
        if self.loader is not None:
            if needed := self.record.needed(usage):
                self.load(needed)
            self._set_generators(usage)

    def after_cell(self, result: Any) -> None:
        """IPython's `post_run_cell`."""
        try:
            self.record.end_cell(result)
        except Exception:  # of the notebook's own code, where it is asked what it is
            self.record.mark(set(self.variables.snapshot()))
        finally:
            self.autosave.cell_ended()

    # What its user asks for

    def save(
        self, reason: str, *, timeout_s: float | None = None, everything: bool = False, thoroughly: bool = False
    ) -> str:
        """Save now, as `Autosave.save` does. Returns what came of it, in words; empty where all is saved."""
        return self.autosave.save(reason, timeout_s=timeout_s, everything=everything, thoroughly=thoroughly)

    def exclude(self, names: Iterable[str]) -> None:
        """Keep `names` out of checkpoints from now on."""
        names = set(names)
        # What they share objects with is to be saved without them.
        self.load(names & self.record.sharing_names())
        self.record.excluded |= names
        self.record.mark(names)
        self.autosave.something_changed()

    def include(self, names: Iterable[str]) -> None:
        """Keep `names` in checkpoints again."""
        names = set(names)
        self.record.excluded -= names
        self.record.mark(names)
        self.autosave.something_changed()

    def move(self, notebook: Path) -> None:
        """The notebook has another name now, and so has what is kept of it: whoever renamed it has seen to that.

        Called on another thread than that of the cells.
        """
        old = self.notebook
        if notebook == old:
            return
        from regrow.state.checkpoints import opened

        with self.record.lock:
            self.status.remove_for(self.directory, old)
            self.autosave.notebook = notebook
        # A save that was under way keeps its checkpoint under the old name.
        self.autosave.save_again()
        with opened(self.directory) as checkpoints:
            checkpoints.move(old, notebook, joins=True)

    def close(self) -> None:
        """Save no longer by itself."""
        self.autosave.close()

    # Restoring

    def load(self, names: Iterable[str]) -> list[Missing]:
        """Put the values of `names` in place, as far as they stand for what is kept. Returns what can't be had."""
        if self.loader is None:
            return []
        from regrow.state.reducers.torch import take_moved

        # Libraries draw from the generators while they are imported.
        before = generators.states()
        failed: list[Missing] = self.loader.load(names)
        generators.set_states(before)
        self.record.rebase()
        for sentence in take_moved():
            self.teller.tell(f"regrow: {sentence}")
        for missing in failed:
            self.status.not_restored.append(missing)
            cell = f" Cell {missing.cell} made it: %checkpoint rerun {missing.name}" if missing.cell else ""
            self.teller.tell(f"regrow: {missing.name} could not be restored: {missing.reason}.{cell}")
        if failed:
            self.autosave.write_status()
        return failed

    def adopt(
        self,
        manifest: Manifest,
        loader: Any,
        states: dict[str, Any],
        bring_in: Callable[[Any], None] | None = None,
    ) -> None:
        """Go on from `manifest`, whose variables `loader` has put in place, and the generators' `states`."""
        self.record.adopt(manifest, loader)
        self.autosave.bring_in, self.autosave.generators = bring_in, states
        self.autosave.nothing_changed()

    def load_ahead(self) -> None:
        """Load what is small while no cell runs, some at a time, so that the Tab key knows it."""
        with contextlib.suppress(RuntimeError):  # no event loop: a terminal
            asyncio.get_event_loop().call_later(LOAD_AHEAD_AFTER_S, self._load_next)

    def _load_next(self) -> None:
        if self.loader is None or self.autosave.is_cell_running:
            return  # the cell loads what it needs, and what follows it
        if names := self.loader.at_hand():
            self.load(names)
            asyncio.get_event_loop().call_soon(self._load_next)

    def tell_restored(self, restored: Any) -> None:
        """Say below the next cell what is back and what is not, and how to make that again."""
        manifest: Manifest = restored.manifest
        when = time.strftime("%H:%M on %d %B", time.localtime(manifest.at))
        lost = [missing for missing in manifest.missing if missing.name not in manifest.excluded]
        heading = f"regrow: {restored.count} variables are back, as they were at {when}."
        self.teller.restored(heading, lost, restored.problems)
        status = self.status
        status.restored_at, status.not_restored = self.now(), list(manifest.missing)
        status.state, status.saved_at, status.bytes = SAVED, manifest.at, manifest.size
        status.not_saved = manifest.missing
        self.autosave.write_status()

    def _set_generators(self, usage: Usage) -> None:
        states = self.autosave.generators
        if not states:
            return
        if usage.imports or usage.everything:
            # The cell may import these, and draw from them before the next look.
            for package in {"numpy", "torch"} & states.keys():
                with contextlib.suppress(ImportError):
                    __import__(package)
        generators.set_states(states)


class _Watch(ast.NodeTransformer):
    """IPython's way to see every cell's code before it runs, magics' included. It changes nothing."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def visit(self, node: ast.AST) -> ast.AST:
        try:
            self._session.on_code(node)
        except Exception:  # of the notebook's own code; IPython would ask no more
            self._session.load(self._session.variables.snapshot())
            self._session.record.mark(set(self._session.variables.snapshot()))
        return node
