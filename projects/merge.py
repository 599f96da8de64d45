"""Merging what upstream has published since into the files of a fork.

The merge is made in the object database, and only a whole one reaches the files. It is written down first, on
`refs/regrow/sync`: one that was killed while files were written is completed by the next.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from regrow.projects.changes import EXECUTABLE, REGULAR, REPOSITORY, Change, File, changes, pointers
from regrow.projects.errors import ProjectError
from regrow.projects.git import git
from regrow.projects.large_files import LargeFiles
from regrow.projects.notebook_merge import NotByCells, merge_notebooks
from regrow.projects.printable import printable
from regrow.projects.restore import restore
from regrow.projects.shadow import Shadow
from regrow.projects.snapshot import Snapshot, snapshots, take
from regrow.projects.states import beside
from regrow.projects.variables import own_files

REF = "refs/regrow/sync"
Side = Literal["ours", "theirs"]
Tree = dict[str, File]

_MOST_SHOWN = 20
_KINDS = {
    frozenset({"base", "ours", "theirs"}): "changed on both sides",
    frozenset({"ours", "theirs"}): "added on both sides",
    frozenset({"base", "ours"}): "changed here, deleted there",
    frozenset({"base", "theirs"}): "deleted here, changed there",
}
_STAGES = {"1": "base", "2": "ours", "3": "theirs"}
_NOBODY = {
    f"GIT_{role}_{what}": value
    for role in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "Regrow"), ("EMAIL", "regrow@localhost"), ("DATE", "@0 +0000"))
}


@dataclass(frozen=True)
class Status:
    """The paths that have changed since the fork: `here` only, `there` (upstream) only, and differently on `both`."""

    here: list[str]
    there: list[str]
    both: list[str]


@dataclass(frozen=True)
class Conflict:
    """A `path` that both sides have changed: the `kind` says how, for people.

    `cells` are a notebook's that both have changed, by their numbers (from 1) in the version that both began with.
    """

    path: str
    kind: str
    cells: tuple[int, ...] = ()


class MergeConflict(ProjectError):
    """Both sides have changed the same, in `conflicts`. Nothing was changed."""

    def __init__(self, conflicts: list[Conflict]) -> None:
        shown = [f"  {printable(each.path)}: {each.kind}{_cells(each.cells)}" for each in conflicts[:_MOST_SHOWN]]
        if len(conflicts) > _MOST_SHOWN:
            shown.append(f"  and {len(conflicts) - _MOST_SHOWN} more")
        count = "1 file was" if len(conflicts) == 1 else f"{len(conflicts)} files were"
        super().__init__(
            "\n".join((f"{count} changed both here and upstream. Nothing was changed.", *shown))
            + "\nSay for each whose is taken, ours (what is here) or theirs (upstream's), and merge again."
        )
        self.conflicts = conflicts


@dataclass(frozen=True)
class Merged:
    """What a merge did. `base` is the upstream commit that the files have now, for the caller to keep.

    `before` is the snapshot of what was there; `warnings` are sentences.
    """

    base: str
    before: Snapshot
    written: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def status(project: Path, base: str, ours: str, theirs: str) -> Status:
    """What has changed from commit `base` to the snapshot `ours` and to upstream's `theirs`. Raises `ProjectError`."""
    start = own_files(project, _tree(project, base))
    sides = [own_files(project, _tree(project, side)) for side in (ours, theirs)]
    here, there = ({each.path: each.after for each in changes(project, start, side)} for side in sides)
    return Status(
        sorted(here.keys() - there.keys()),
        sorted(there.keys() - here.keys()),
        sorted(path for path in here.keys() & there.keys() if here[path] != there[path]),
    )


def merge(
    project: Path,
    files: LargeFiles,
    base: str,
    theirs: str,
    prefer: Side | Mapping[str, Side] | None = None,
    now: Callable[[], float] = time.time,
    progress: Callable[[str], None] = lambda message: None,
) -> Merged:
    """Bring what has changed from commit `base` to `theirs` into the files of `project`, after a snapshot of them.

    `prefer` says whose is taken where both have changed the same: for all paths, or for each. The user's index, branch
    and stash are left alone. Where an earlier merge from the same `base` was interrupted, that one is completed in
    place of this: `Merged.base` is then what that one brought, and may not be `theirs` yet.

    Raises `MergeConflict` and other `ProjectError` before anything is changed.
    """
    interrupted = _Sync.read(project)
    if interrupted and interrupted.base == base:
        progress("Completing what was interrupted")
        return _apply(project, files, interrupted, now, progress)
    progress("Taking a snapshot of what is there")
    before = take(project, files, reason="sync", now=now).snapshot
    trees = {
        side: own_files(project, _tree(project, commit))
        for side, commit in (("base", base), ("ours", before.commit), ("theirs", theirs))
    }
    progress("Merging")
    tree, warnings = _merge_trees(project, trees, prefer)
    _check_content(project, changes(project, trees["ours"], tree), files)
    sync = _Sync(base, theirs, before.commit, tree)
    sync.write(project)
    done = _apply(project, files, sync, now, progress)
    return replace(done, warnings=[*warnings, *done.warnings])


@dataclass(frozen=True)
class _Sync:
    """A merge that is being written to the files: of `theirs` since `base` into the snapshot `before`, as `tree`."""

    base: str
    theirs: str
    before: str
    tree: str

    @classmethod
    def read(cls, project: Path) -> _Sync | None:
        form = "%(tree)%00%(parent)%00%(contents)"
        found = git(project, "for-each-ref", f"--format={form}", REF).decode(errors="replace")
        if not found:
            return None
        tree, before, message = found.split("\0")
        said = dict(re.findall(r"^Regrow-(Base|Theirs): (.*)$", message, re.MULTILINE))
        return cls(said.get("Base", ""), said.get("Theirs", ""), before, tree)

    def write(self, project: Path) -> None:
        message = f"Sync\n\nRegrow-Base: {self.base}\nRegrow-Theirs: {self.theirs}\n"
        made = git(project, "commit-tree", self.tree, "-p", self.before, input=message.encode(), environment=_NOBODY)
        git(project, "update-ref", REF, made.decode().strip())


def _apply(
    project: Path,
    files: LargeFiles,
    sync: _Sync,
    now: Callable[[], float],
    progress: Callable[[str], None],
) -> Merged:
    """Write the merged files. Those that the merge does not touch stay as they are by now."""
    taken = take(project, files, reason="sync", now=now).snapshot
    start = own_files(project, _tree(project, sync.before))
    found = changes(project, start, sync.tree)
    later = {each.path: each.after for each in changes(project, start, _tree(project, taken.commit))}
    with beside(project) as ours:
        wanted = _entries(project, taken.commit)
        for change in found:
            wanted.pop(change.path, None)
            if change.after.mode:
                wanted[change.path] = change.after
        target = _write_tree(ours, wanted)
    try:
        done = restore(project, files, replace(taken, commit=target), now=now, progress=progress)
    except ProjectError:
        if not take(project, files, reason="sync", now=now).is_new:
            # Nothing was changed: there is nothing to complete.
            git(project, "update-ref", "-d", REF)
        raise
    git(project, "update-ref", "-d", REF)
    warnings = [
        f"{printable(change.path)} was changed meanwhile, and is now as it was merged. What it was is in the snapshot "
        f"{taken.id}."
        for change in found
        if later.get(change.path, change.before) not in (change.before, change.after)
    ]
    before = next((each for each in snapshots(project) if each.commit == sync.before), taken)
    return Merged(sync.theirs, before, done.written, done.removed, warnings + done.warnings)


def _check_content(project: Path, found: list[Change], files: LargeFiles) -> None:
    large = pointers(project, found)
    missing = files.missing(large.values())
    for path, pointer in large.items():
        if pointer in missing:
            raise ProjectError(
                f"The content of {printable(path)} ({pointer.size} bytes), which upstream has changed, is not here yet."
                " Nothing was changed. Try again when it is."
            )


def _merge_trees(
    project: Path, trees: Mapping[str, str], prefer: Side | Mapping[str, Side] | None
) -> tuple[str, list[str]]:
    """The merged tree, and warnings. Raises `MergeConflict`."""
    with beside(project) as ours:
        tree, found = _merge_by_git(ours, trees)
        if not found:
            return tree, []
        merged = _entries(project, tree)
        sides: dict[Side, Tree] = {
            "ours": _entries(project, trees["ours"]),
            "theirs": _entries(project, trees["theirs"]),
        }
        conflicts, warnings = [], []
        for unmerged in found:
            conflict = Conflict(unmerged.path, unmerged.kind)
            if unmerged.is_notebook:
                try:
                    blobs = [unmerged.files[side].blob for side in ("base", "ours", "theirs")]
                    base, mine, other = (git(project, "cat-file", "blob", each) for each in blobs)
                    content, cleared = merge_notebooks(base, mine, other)
                except NotByCells as error:
                    conflict = Conflict(unmerged.path, unmerged.kind + error.why, error.cells)
                else:
                    blob = ours.git("hash-object", "-w", "--stdin", "--no-filters", input=content).decode().strip()
                    merged[unmerged.path] = File(unmerged.mode, blob)
                    if cleared:
                        where = _cells(cleared)
                        warnings.append(f"{printable(unmerged.path)}: outputs of both sides differ; cleared{where}.")
                    continue
            wanted = prefer.get(unmerged.path) if isinstance(prefer, Mapping) else prefer
            if unmerged.is_repository:
                wanted = "ours"  # restoring leaves those as they are, and says so
            if wanted is None:
                conflicts.append(conflict)
                continue
            for name in unmerged.names | {unmerged.path}:
                merged.pop(name, None)
            # Nothing is taken where that side has a folder: what is in it is merged already.
            if unmerged.path in sides[wanted]:
                merged[unmerged.path] = sides[wanted][unmerged.path]
        if conflicts:
            raise MergeConflict(conflicts)
        return _write_tree(ours, merged), warnings


@dataclass
class _Unmerged:
    """What git could not merge at `path`: the `files` of each side, and the `names` that git gave them meanwhile."""

    path: str
    files: dict[str, File] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)

    @property
    def is_in_the_way(self) -> bool:
        return self.names != {self.path}

    @property
    def is_repository(self) -> bool:
        return any(file.mode == REPOSITORY for file in self.files.values())

    @property
    def kind(self) -> str:
        if self.is_in_the_way:
            return "a file on one side, something else on the other"
        return _KINDS.get(frozenset(self.files), "renamed differently on both sides")

    @property
    def is_notebook(self) -> bool:
        regular = all(file.mode in (REGULAR, EXECUTABLE) for file in self.files.values())
        return self.path.endswith(".ipynb") and len(self.files) == 3 and regular and not self.is_in_the_way

    @property
    def mode(self) -> int:
        base, ours, theirs = (self.files[side].mode for side in ("base", "ours", "theirs"))
        return theirs if ours == base else ours


def _merge_by_git(ours: Shadow, trees: Mapping[str, str]) -> tuple[str, list[_Unmerged]]:
    """git's merged tree, and what it could not merge; notebooks that both have changed are always among these."""
    # Of highest precedence: no driver that a project names is run.
    attributes = ours.folder / "git/info/attributes"
    attributes.parent.mkdir(exist_ok=True)
    attributes.write_text("* merge=text -text -eol -ident -filter -working-tree-encoding\n*.ipynb merge=binary\n")

    # git 2.39 knows no other way to say what the base is.
    def commit(side: str, *parents: str) -> str:
        return ours.git("commit-tree", trees[side], *parents, input=side.encode(), environment=_NOBODY).decode().strip()

    start = commit("base")
    sides = [commit(side, "-p", start) for side in ("ours", "theirs")]
    # By --stdin conflicts are no error. Renamed folders are not guessed: files stay where each side has put them.
    output = ours.git(
        "-c", "merge.directoryRenames=false", "-c", "merge.renames=true", "-c", "merge.renormalize=false",
        "merge-tree", "--write-tree", "--stdin",
        input=" ".join(sides).encode() + b"\n", environment={"GIT_CONFIG_GLOBAL": os.devnull},
    )  # fmt: skip
    is_clean, tree, *rest = output.split(b"\0")
    found: dict[str, _Unmerged] = {}
    # A name that git gives to one of two that are in each other's way.
    given = re.compile(rf"~(?:{'|'.join(sides)})(?:_\d+)?(?=/|$)")
    for entry in rest[: rest.index(b"")]:
        about, name = entry.split(b"\t", 1)
        mode, blob, stage = about.decode().split(" ")
        path = given.sub("", os.fsdecode(name))
        unmerged = found.setdefault(path, _Unmerged(path))
        unmerged.files[_STAGES[stage]] = File(int(mode, 8), blob)
        unmerged.names.add(os.fsdecode(name))
    if is_clean != b"1" and not found:
        raise ProjectError("git could not merge, and did not say what. Nothing was changed.")
    return tree.decode(), [found[path] for path in sorted(found)]


def _cells(numbers: tuple[int, ...]) -> str:
    return f" (cell{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))})" if numbers else ""


def _tree(project: Path, commit: str) -> str:
    return git(project, "rev-parse", "--verify", "--end-of-options", f"{commit}^{{tree}}").decode().strip()


def _entries(project: Path, tree: str) -> Tree:
    found = {}
    for line in git(project, "ls-tree", "-r", "-z", "--full-tree", tree).split(b"\0")[:-1]:
        about, path = line.split(b"\t", 1)
        mode, _, blob = about.decode().split(" ")
        found[os.fsdecode(path)] = File(int(mode, 8), blob)
    return found


def _write_tree(ours: Shadow, entries: Tree) -> str:
    """The tree of `entries`; of two that are in each other's way, the later one."""
    asked = b"".join(
        f"{file.mode:o} {file.blob}\t".encode() + os.fsencode(path) + b"\0" for path, file in entries.items()
    )
    ours.git("read-tree", "--empty")
    ours.git("update-index", "-z", "--index-info", input=asked)
    return ours.git("write-tree").decode().strip()
