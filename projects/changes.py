"""What differs between two states of a project."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import NamedTuple

from regrow.projects.blobs import contents, sizes
from regrow.projects.errors import Damaged
from regrow.projects.git import git
from regrow.projects.pointers import Pointer, parse

REGULAR = 0o100644
EXECUTABLE = 0o100755
SYMLINK = 0o120000
REPOSITORY = 0o160000
# So that not every small file is read.
_POINTER_SIZES = range(len(Pointer("0" * 64, 0).encode()), len(Pointer("0" * 64, 10**18).encode()) + 1)


# Tuples: there are hundreds of thousands, and they take a third of the time to make.
class File(NamedTuple):
    """A path's state: git's mode (0 where there is nothing) and the name of the blob."""

    mode: int
    blob: str


class Change(NamedTuple):
    """What `path` was, and what it is."""

    path: str
    before: File
    after: File

    @property
    def kind(self) -> str:
        """`added`, `removed` or `changed`."""
        return "added" if not self.before.mode else "changed" if self.after.mode else "removed"


def changes(project: Path, before: str, after: str, paths: tuple[str, ...] = ()) -> list[Change]:
    """The paths that differ from commit or tree `before` to `after`: all, or those at or below `paths`, by path.

    Raises `ProjectError`.
    """
    output = git(
        project, "--literal-pathspecs", "diff-tree", "-r", "-z", "--raw", "--no-abbrev", "--no-renames", before, after,
        "--", *paths,
    )  # fmt: skip
    fields = output.split(b"\0")
    found = []
    for about, path in zip(fields[0::2], fields[1::2], strict=False):
        old_mode, new_mode, old_blob, new_blob, _ = about.decode().split(" ")
        found.append(Change(os.fsdecode(path), File(_mode(old_mode), old_blob), File(_mode(new_mode), new_blob)))
    return found


@cache
def _mode(text: str) -> int:
    return int(text.removeprefix(":"), 8)


def pointers(project: Path, found: list[Change]) -> dict[str, Pointer]:
    """The pointers that stand for large files among those that `found` leads to, by path. Raises `ProjectError`."""
    files = {change.path: change.after.blob for change in found if change.after.mode in (REGULAR, EXECUTABLE)}
    small = sizes(project, set(files.values()))
    likely = [blob for blob, size in small.items() if size in _POINTER_SIZES]
    parsed = {blob: pointer for blob, content in contents(project, likely).items() if (pointer := parse(content))}
    return {path: parsed[blob] for path, blob in files.items() if blob in parsed}


def pointers_of_tree(folder: Path, tree: str, paths: tuple[str, ...] = ()) -> dict[str, Pointer]:
    """The pointers that stand for large files in `tree` (at or below `paths`), by path; `folder` may be bare.

    Raises `ProjectError`.
    """
    files = []
    listed = git(
        folder, "--literal-pathspecs", "ls-tree", "-r", "-z", "--long", "--full-tree", tree, "--",
        *(path.rstrip("/") for path in paths),
    )  # fmt: skip
    for line in listed.split(b"\0")[:-1]:
        about, path = line.split(b"\t", 1)
        mode, _, blob, size = about.split()
        if int(mode, 8) not in (REGULAR, EXECUTABLE):
            continue
        if not size.isdigit():
            raise Damaged(f"The history of {folder} is damaged: the object {blob.decode()} is missing. Try git fsck.")
        if int(size) in _POINTER_SIZES:
            files.append((path, blob.decode()))
    found = contents(folder, {blob for _, blob in files})
    parsed = {blob: pointer for blob, content in found.items() if (pointer := parse(content))}
    return {os.fsdecode(path): parsed[blob] for path, blob in files if blob in parsed}
