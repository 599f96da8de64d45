"""Variables of notebooks beside a project's own files: a state carries them where its owner says so, snapshots never.

They are large files below `.regrow/state`, one for a notebook, whatever is ignored. What merges, compares or opens
states looks at `own_files` alone.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from regrow.projects.attributes import without_large
from regrow.projects.changes import pointers_of_tree
from regrow.projects.git import git
from regrow.projects.pointers import Pointer

FOLDER = ".regrow/state"
SUFFIX = ".state"
_OUTER, _INNER = FOLDER.split("/")


def path_of(notebook: str) -> str:
    """Where the variables of `notebook`, a path in the project, are."""
    return f"{FOLDER}/{notebook}{SUFFIX}"


def with_variables(folder: Path, tree: str, variables: Mapping[str, Pointer]) -> str:
    """`tree` with `variables`, by notebook, in place of those that it has. Raises `ProjectError`."""
    inner = _write(folder, {f"{notebook}{SUFFIX}": pointer for notebook, pointer in variables.items()})
    return _put(folder, tree, _OUTER, _put(folder, _subtree(folder, tree, _OUTER), _INNER, inner))


def without_variables(folder: Path, tree: str) -> str:
    """`tree` without anybody's variables, or whatever else is in their place. Raises `ProjectError`."""
    outer = _subtree(folder, tree, _OUTER)
    if not outer or not git(folder, "ls-tree", "--full-tree", outer, _INNER):
        return tree
    return _put(folder, tree, _OUTER, _put(folder, outer, _INNER, "")) or git(folder, "mktree").decode().strip()


def own_files(folder: Path, tree: str) -> str:
    """`tree` as the project's own files are: without variables, and without the attributes that clones get."""
    return without_variables(folder, without_large(folder, tree))


def variables_of(folder: Path, tree: str) -> dict[str, Pointer]:
    """The variables that `tree` carries, by path in the project. Raises `ProjectError`."""
    inner = _subtree(folder, tree, FOLDER)
    found = pointers_of_tree(folder, inner) if inner else {}
    return {f"{FOLDER}/{path}": pointer for path, pointer in found.items()}


def _subtree(folder: Path, tree: str, path: str) -> str:
    """The tree at `path` of `tree`; "" where there is none."""
    listed = git(folder, "ls-tree", "-z", "-d", "--full-tree", tree, path)
    kind, _, found = listed.partition(b"\t")[0].decode().rpartition(" ")
    return found if kind == "040000 tree" else ""


def _put(folder: Path, tree: str, name: str, subtree: str) -> str:
    """`tree` ("" for an empty one) with `subtree` as `name`, or without where that is ""; "" where nothing is left."""
    entries = git(folder, "ls-tree", "-z", tree).split(b"\0")[:-1] if tree else []
    kept = [entry for entry in entries if entry.partition(b"\t")[2] != name.encode()]
    if subtree:
        kept.append(f"040000 tree {subtree}\t{name}".encode())
    if not kept:
        return ""
    return git(folder, "mktree", "-z", input=b"".join(entry + b"\0" for entry in kept)).decode().strip()


def _write(folder: Path, files: Mapping[str, Pointer]) -> str:
    """A tree of pointers, by path."""
    folders: dict[str, dict[str, Pointer]] = {}
    entries = []
    for path, pointer in sorted(files.items()):
        first, slash, rest = path.partition("/")
        if slash:
            folders.setdefault(first, {})[rest] = pointer
        else:
            blob = git(folder, "hash-object", "-w", "--stdin", input=pointer.encode()).strip()
            entries.append(b"100644 blob " + blob + b"\t" + os.fsencode(path))
    for first, below in folders.items():
        entries.append(f"040000 tree {_write(folder, below)}\t".encode() + os.fsencode(first))
    return git(folder, "mktree", "-z", input=b"".join(entry + b"\0" for entry in entries)).decode().strip()
