"""What is kept of a notebook's kernel, or of those of all notebooks in a folder, follows a renaming or goes with it.

`python -m regrow.server_extension.move_states OLD [NEW]`, with absolute paths; the files have their new names already,
or are gone: another notebook that is given that name is not to have the variables of the one before.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from regrow.state.checkpoints import Checkpoints
from regrow.state.errors import NotSaved
from regrow.state.places import state_dir, status_file


def renamed(old: Path, new: Path) -> Iterator[tuple[Path, Path]]:
    """The name from before and the name of now of each notebook."""
    if not new.is_dir():
        yield old, new
        return
    for folder, _, files in os.walk(new):
        for name in files:
            if name.endswith(".ipynb"):
                notebook = Path(folder) / name
                yield old / notebook.relative_to(new), notebook


def move(directory: Path, old: Path, new: Path) -> None:
    """Move what `directory` keeps."""
    if not directory.exists():
        return
    with Checkpoints(directory) as checkpoints:
        for before, now in renamed(old, new):
            checkpoints.move(before, now)
            with suppress(FileNotFoundError):
                status_file(directory, before).replace(status_file(directory, now))


def forget(directory: Path, gone: Path) -> None:
    """Drop what `directory` keeps of the notebook `gone`, or of those in that folder."""
    if not directory.exists():
        return
    with Checkpoints(directory) as checkpoints:
        known = (checkpoints.path_of(*each) for each in checkpoints.notebooks())
        for notebook in {gone, *(path for path in known if path and path.is_relative_to(gone))}:
            for entry in checkpoints.entries(notebook):
                with suppress(NotSaved):
                    checkpoints.drop(notebook, entry)
            status_file(directory, notebook).unlink(missing_ok=True)


if __name__ == "__main__":
    paths = [Path(argument) for argument in sys.argv[1:]]
    if len(paths) == 1:
        forget(state_dir(), *paths)
    else:
        move(state_dir(), *paths)
