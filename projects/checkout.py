"""Filling a new project with a tree's files, so that the first snapshot of it finds nothing to read."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from regrow.projects.index import record_large
from regrow.projects.pointers import Pointer
from regrow.projects.restore import remove_files
from regrow.projects.scan import Stat
from regrow.projects.shadow import shadow

#: A tree without files: what a new project has been so far.
NOTHING = "4b825dc642cb6eb9a060e54bf8d69288fbee4904"


def check_out(project: Path, tree: str, written: Iterable[str], removed: list[str]) -> None:
    """Bring what `settle` left of a project before (nothing, in a new one) to `tree`, a plain one.

    `written` are the small files that are different then, `removed` the files that are gone; large files are put there
    by the caller. Raises `ProjectError`.
    """
    remove_files(project, removed)
    asked = b"".join(os.fsencode(path) + b"\0" for path in written)
    with shadow(project) as ours:
        # What is the same keeps what is known of its file.
        ours.git("read-tree", *(["-m", "-i"] if (ours.folder / "git/index").exists() else []), tree)
        ours.git("-c", "checkout.workers=0", "checkout-index", "--force", "--index", "-z", "--stdin", input=asked)


def settle(project: Path, large: dict[str, Pointer], kept_in: str) -> None:
    """Note what the files of `project` are now, its `large` ones being kept in the `LargeFiles` of the id `kept_in`.

    Raises `ProjectError`.
    """
    with shadow(project) as ours:
        there = {path: (Stat.of((project / path).lstat()), pointer) for path, pointer in large.items()}
        record_large(ours, there, kept_in)
        ours.git("update-index", "-q", "--refresh")
