"""Making a kernel what it was at a checkpoint."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from regrow.state import process
from regrow.state.checkpoints import Checkpoints, find, opened
from regrow.state.loading import Loader
from regrow.state.manifest import Manifest
from regrow.state.places import key_of
from regrow.state.session import Session


@dataclass
class Restored:
    """What came back: the checkpoint, how many variables stand for what is kept, and problems in words."""

    manifest: Manifest
    count: int
    problems: list[str]


def is_anything_kept(directory: Path, notebook: Path) -> bool:
    """Whether there may be checkpoints of `notebook`; the store is not opened for that."""
    return (directory / "store/names/checkpoints" / key_of(notebook)).is_dir()


def restore(session: Session, when: str = "", checkpoints: Checkpoints | None = None) -> Restored:
    """Make the kernel of `session` what it was at the checkpoint that `when` says (default: the last one).

    Variables that were not there then are removed. Raises `StateError` or `StoreError`, and changes nothing then.
    """
    source = checkpoints or opened(session.directory)
    try:
        entry = find(source.entries(session.notebook), when, session.now())
        return put_back(session, source.read(session.notebook, entry), source)
    except BaseException:
        if checkpoints is None:
            source.close()
        raise


def put_back(session: Session, manifest: Manifest, checkpoints: Checkpoints) -> Restored:
    """Make the kernel of `session` what `manifest` says. Whoever calls it answers for that it is trusted."""
    states, problems = _generators(manifest, checkpoints)
    problems += process.apply(manifest.process)
    variables = session.variables
    for name in variables.snapshot():
        del variables[name]
    _put_history_back(session.shell, manifest)
    before, loader = session.loader, Loader(checkpoints, manifest, variables, session.teller.tell)
    loader.place()
    session.adopt(manifest, loader, states)
    if before is not None:
        before.close()
    session.load_ahead()
    return Restored(manifest, len(manifest.names), problems)


def _generators(manifest: Manifest, checkpoints: Checkpoints) -> tuple[dict[str, Any], list[str]]:
    """The states of random generators, and problems with them, which cost no variable."""
    if manifest.generators is None:
        return {}, []
    try:
        return pickle.loads(checkpoints.blob(manifest, manifest.generators)), []
    except Exception as error:  # a NumPy that names its parts otherwise, say
        return {}, [f"Random numbers begin anew: the states of their generators can't be read ({error})."]


def _put_history_back(shell: Any, manifest: Manifest) -> None:
    """`In`, and the number of the next cell. Prompts of cells that were not kept are empty."""
    sources = [""] * manifest.execution_count
    for cell in manifest.cells:
        if cell.count < len(sources):
            sources[cell.count] = cell.source
    shell.history_manager.input_hist_parsed[:] = sources
    shell.history_manager.input_hist_raw[:] = sources
    shell.execution_count = manifest.execution_count
