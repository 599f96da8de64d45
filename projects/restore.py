"""Bringing files back as a snapshot has them. What was there before is in a snapshot too."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import secrets
import stat
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from regrow.projects.changes import EXECUTABLE, REPOSITORY, Change, changes, pointers_of_tree
from regrow.projects.errors import NoSuchSnapshot, ProjectError
from regrow.projects.git import git
from regrow.projects.large_files import LargeFiles, write
from regrow.projects.pointers import Pointer
from regrow.projects.shadow import git_folder, shadow
from regrow.projects.snapshot import Snapshot, snapshots, take

# With as many processes as there are processors, each of which maps little of the packs.
_CHECKOUT = (
    "-c", "checkout.workers=0", "-c", "core.packedGitLimit=64m", "-c", "core.packedGitWindowSize=4m",
)  # fmt: skip
_INCOMING = ".regrow-incoming-"
# What was last written to so many seconds ago is of a process that was killed.
_LEFT_S = 3600


@dataclass
class Restored:
    """What a restore did. `before` is the snapshot of what was there; `warnings` are sentences."""

    before: Snapshot
    written: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def restore(
    project: Path,
    files: LargeFiles,
    snapshot: Snapshot,
    paths: tuple[str, ...] = (),
    now: Callable[[], float] = time.time,
    progress: Callable[[str], None] = lambda message: None,
) -> Restored:
    """Make the files of `project` (all, or those at or below `paths`) what they are in `snapshot`.

    Files that snapshots leave out are left alone, or moved aside where one is in the way. Raises `ProjectError` before
    anything is changed where a path is not in the snapshot or a large file's content is not in `files`. One that was
    killed is completed by another; what was there before is in the snapshot that the first one took.
    """
    progress("Taking a snapshot of what is there")
    with ThreadPoolExecutor(1, "regrow-restore") as beside:
        pointers = beside.submit(pointers_of_tree, project, snapshot.commit, paths)
        taken = take(project, files, reason="restore", now=now)
    done = Restored(taken.snapshot, warnings=list(taken.warnings))
    found = changes(project, taken.snapshot.commit, snapshot.commit, paths)
    _check_paths(project, snapshot, paths, found)
    nested = [change.path for change in found if REPOSITORY in (change.before.mode, change.after.mode)]
    done.warnings += [f"{path} is a repository of its own and was left as it is." for path in nested]
    wanted = [change for change in found if REPOSITORY not in (change.before.mode, change.after.mode)]
    coming = [change for change in wanted if change.after.mode]
    paths_coming = {change.path for change in coming}
    large = {path: pointer for path, pointer in pointers.result().items() if path in paths_coming}
    _check_content(large, files)
    in_the_way, folders = _check_folders(project, taken.snapshot, coming)
    progress(f"Bringing {len(coming)} files back")
    # Removed first: a file may have become a folder.
    done.removed = remove_files(project, [c.path for c in wanted if not c.after.mode] + in_the_way)
    for change in coming:
        # Where there was no folder nothing is in the way.
        if not change.before.mode and change.path.rpartition("/")[0] in folders:
            _move_aside(project, change.path, done)
    for path in large:
        # Now: git takes a folder that appears while it works for something that is in its way.
        (project / path).parent.mkdir(parents=True, exist_ok=True)
    # Both wait for the disk and for the processor in turn.
    with ThreadPoolExecutor(1, "regrow-restore") as beside:
        small = beside.submit(_write_small, project, snapshot, [c.path for c in coming if c.path not in large])
        for change in coming:
            if change.path in large:
                progress(f"Bringing {change.path} back")
                _write_large(project, change, files, large[change.path])
        small.result()
    done.written = [change.path for change in coming]
    return done


def find(project: Path, wanted: str) -> Snapshot:
    """The snapshot whose id begins with `wanted`, or whose name it is, the newest of those. Raises `NoSuchSnapshot`."""
    there = snapshots(project)
    for one in there:
        if wanted and wanted in (one.id, one.name, one.commit):
            return one
    found = [one for one in there if wanted and (one.id.startswith(wanted) or one.commit.startswith(wanted))]
    if len(found) == 1:
        return found[0]
    many = f"{len(found)} snapshots begin with {wanted!r}" if found else f"There is no snapshot {wanted!r}"
    raise NoSuchSnapshot(f"{many} in {project}.")


def _check_paths(project: Path, snapshot: Snapshot, paths: tuple[str, ...], found: list[Change]) -> None:
    for path in paths:
        if any(change.path == path or change.path.startswith(f"{path.rstrip('/')}/") for change in found):
            continue
        if not git(project, "--literal-pathspecs", "ls-tree", "-z", snapshot.commit, "--", path.rstrip("/")):
            raise NoSuchSnapshot(f"The snapshot {snapshot.id} has no {path}. Nothing was changed.")


def _check_content(wanted: dict[str, Pointer], files: LargeFiles) -> None:
    missing = files.missing(wanted.values())
    for path, pointer in wanted.items():
        if pointer in missing:
            raise ProjectError(
                f"The content of {path} ({pointer.size} bytes) is not in the store. Nothing was changed. "
                "Restore the other files by name."
            )


def _check_folders(project: Path, before: Snapshot, coming: list[Change]) -> tuple[list[str], set[str]]:
    """The files and links that are in the place of folders, to be removed: nothing outside the project is written.
    And the folders that are there.

    One that no snapshot has is not removed either: raises `ProjectError`.
    """
    wanted: set[str] = set()
    for folder in {change.path.rpartition("/")[0] for change in coming}:
        while folder and folder not in wanted:
            wanted.add(folder)
            folder = folder.rpartition("/")[0]
    in_the_way: list[str] = []
    there = {""}
    # Each after the one that it is in.
    for folder in sorted(wanted):
        if folder.rpartition("/")[0] not in there:
            continue
        try:
            status = os.lstat(f"{project}/{folder}")
        except FileNotFoundError:
            continue
        if stat.S_ISDIR(status.st_mode):
            there.add(folder)
            continue
        if not git(project, "--literal-pathspecs", "ls-tree", "-z", before.commit, "--", folder):
            raise ProjectError(
                f"{folder} is a link or a file that no snapshot has, and a folder in this one. Nothing was changed. "
                "Move it away, and restore again."
            )
        in_the_way.append(folder)
    return in_the_way, there


def remove_files(project: Path, paths: list[str]) -> list[str]:
    """Remove files, and the folders that are empty then; what is no file any more is left. Returns those removed."""
    above: set[str] = set()
    removed = []
    for path in paths:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError, IsADirectoryError):
            Path(f"{project}/{path}").unlink()
            removed.append(path)
        folder = path.rpartition("/")[0]
        while folder and folder not in above:
            above.add(folder)
            folder = folder.rpartition("/")[0]
    # Each before the one that it is in.
    for folder in sorted(above, reverse=True):
        with contextlib.suppress(OSError):  # not empty
            Path(f"{project}/{folder}").rmdir()
    return removed


def _move_aside(project: Path, path: str, done: Restored) -> None:
    """What is there and in no snapshot (ignored, a folder, a pipe) is kept under another name."""
    if not os.path.lexists(f"{project}/{path}"):
        return
    aside = f"{path}.before-{done.before.id[:15]}"
    (project / path).rename(project / aside)
    done.warnings.append(f"{path} was in no snapshot; what was there is now {aside}.")


def _write_small(project: Path, snapshot: Snapshot, paths: list[str]) -> None:
    """Have git write what it has the content of: with several processes where there are many."""
    if not paths:
        return
    with shadow(project) as ours:
        index = {"GIT_INDEX_FILE": str(ours.folder / "restore-index")}
        asked = b"".join(os.fsencode(path) + b"\0" for path in paths)
        try:
            ours.git("read-tree", snapshot.commit, environment=index)
            ours.git(*_CHECKOUT, "checkout-index", "--force", "-z", "--stdin", input=asked, environment=index)
        finally:
            (ours.folder / "restore-index").unlink(missing_ok=True)


def _write_large(project: Path, change: Change, files: LargeFiles, pointer: Pointer) -> None:
    """Write it under another name, and rename it. What a kill leaves in our folder is no file of the project's."""
    file = project / change.path
    _remove_left_over(project)
    try:
        _write_by_way_of(git_folder(project) / "regrow", file, change, files, pointer)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        # Something else is mounted in the project.
        _write_by_way_of(file.parent, file, change, files, pointer)


def _write_by_way_of(folder: Path, file: Path, change: Change, files: LargeFiles, pointer: Pointer) -> None:
    new = folder / f"{_INCOMING}{secrets.token_hex(8)}"
    permissions = 0o777 if change.after.mode == EXECUTABLE else 0o666
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, permissions)
    try:
        with io.FileIO(descriptor, "w") as target:
            write(files, pointer, target)
        new.replace(file)
    except BaseException:
        new.unlink(missing_ok=True)
        raise


def _remove_left_over(project: Path) -> None:
    for left in (git_folder(project) / "regrow").glob(f"{_INCOMING}*"):
        with contextlib.suppress(FileNotFoundError):
            if time.time() - left.stat().st_mtime > _LEFT_S:
                left.unlink()
