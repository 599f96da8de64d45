"""Bringing files back as a snapshot has them. What was there before is in a snapshot too."""

from __future__ import annotations

import contextlib
import io
import os
import secrets
import stat
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from regrow.projects.changes import EXECUTABLE, REPOSITORY, SYMLINK, Blobs, Change, blobs, changes
from regrow.projects.errors import NoSuchSnapshot, ProjectError
from regrow.projects.git import git
from regrow.projects.pointers import Pointer
from regrow.projects.snapshot import Snapshot, snapshots, take
from regrow.store import NotKept, Recipe, Store


@dataclass
class Restored:
    """What a restore did. `before` is the snapshot of what was there; `warnings` are sentences."""

    before: Snapshot
    written: list[str] = field(default_factory=list)
    removed: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def restore(
    project: Path,
    store: Store,
    snapshot: Snapshot,
    paths: tuple[str, ...] = (),
    now: Callable[[], float] = time.time,
    progress: Callable[[int, int], None] = lambda done, of: None,
) -> Restored:
    """Make the files of `project` (all, or those at or below `paths`) what they are in `snapshot`.

    Files that snapshots leave out are left alone, or moved aside where one is in the way. Raises `ProjectError` before
    anything is changed where a path is not in the snapshot or a large file's content is not in `store`. `progress` is
    told how many files of how many are done.
    """
    taken = take(project, store, reason="restore", now=now)
    done = Restored(taken.snapshot, warnings=list(taken.warnings))
    wanted = changes(project, taken.snapshot.commit, snapshot.commit, paths)
    with blobs(project) as reader:
        _check_paths(project, snapshot, paths, wanted)
        large = _recipes(wanted, reader, store)
        # Removed first: a file may have become a folder.
        wanted.sort(key=lambda change: change.after.mode != 0)
        for number, change in enumerate(wanted):
            progress(number, len(wanted))
            _apply(project, store, change, reader, large, done)
    progress(len(wanted), len(wanted))
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
    raise NoSuchSnapshot(f"{many} in {project}. `%project history` lists them.")


def _check_paths(project: Path, snapshot: Snapshot, paths: tuple[str, ...], wanted: list[Change]) -> None:
    for path in paths:
        if any(change.path == path or change.path.startswith(f"{path.rstrip('/')}/") for change in wanted):
            continue
        if not git(project, "--literal-pathspecs", "ls-tree", "-z", snapshot.commit, "--", path.rstrip("/")):
            raise NoSuchSnapshot(f"The snapshot {snapshot.id} has no {path}. Nothing was changed.")


def _recipes(wanted: list[Change], reader: Blobs, store: Store) -> dict[str, tuple[Pointer, Recipe]]:
    found = {}
    for change in wanted:
        pointer = reader.pointer(change.after)
        if pointer:
            try:
                found[change.path] = (pointer, store.recipe(pointer.name))
            except NotKept as error:
                raise ProjectError(
                    f"The content of {change.path} ({pointer.size} bytes) is not in the store. Nothing was changed. "
                    "Restore the other files by name."
                ) from error
    return found


def _apply(
    project: Path,
    store: Store,
    change: Change,
    reader: Blobs,
    large: dict[str, tuple[Pointer, Recipe]],
    done: Restored,
) -> None:
    path, after = change.path, change.after
    if REPOSITORY in (after.mode, change.before.mode):
        done.warnings.append(f"{path} is a repository of its own and was left as it is.")
        return
    with _folder_of(project, path, make=bool(after.mode)) as (folder, name):
        if folder is None:
            return
        if not after.mode:
            with contextlib.suppress(FileNotFoundError, IsADirectoryError):
                os.unlink(name, dir_fd=folder)
                done.removed.append(path)
            _remove_empty_folders(project, path)
            return
        if not change.before.mode:
            _move_aside(folder, name, path, done)
        new = f".regrow-{secrets.token_hex(8)}"
        try:
            if after.mode == SYMLINK:
                os.symlink(reader.read(after.blob), new, dir_fd=folder)
            else:
                _write(folder, new, after.mode, _content(store, change, reader, large))
            os.rename(new, name, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(new, dir_fd=folder)
            raise
        done.written.append(path)


def _content(
    store: Store, change: Change, reader: Blobs, large: dict[str, tuple[Pointer, Recipe]]
) -> Iterator[bytes | memoryview]:
    if change.path in large:
        yield from store.chunks(large[change.path][1])
    else:
        yield reader.read(change.after.blob)


def _write(folder: int, name: str, mode: int, content: Iterator[bytes | memoryview]) -> None:
    permissions = 0o777 if mode == EXECUTABLE else 0o666
    descriptor = os.open(
        name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, permissions, dir_fd=folder
    )
    with io.FileIO(descriptor, "w") as file:
        for part in content:
            view = memoryview(part)
            while view:
                view = view[file.write(view) :]


def _move_aside(folder: int, name: str, path: str, done: Restored) -> None:
    """What is there and in no snapshot (ignored, a folder, a pipe) is kept under another name."""
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return
    aside = f"{name}.before-{done.before.id[:15]}"
    os.rename(name, aside, src_dir_fd=folder, dst_dir_fd=folder)
    done.warnings.append(f"{path} was in no snapshot; what was there is now {Path(path).with_name(aside)}.")


def _remove_empty_folders(project: Path, path: str) -> None:
    for above in Path(path).parents:
        if above == Path():
            return
        try:
            (project / above).rmdir()
        except OSError:
            return


@contextlib.contextmanager
def _folder_of(project: Path, path: str, make: bool) -> Iterator[tuple[int | None, str]]:
    """The folder that `path` is in, opened without following any link: nothing outside the project is ever written."""
    *folders, name = path.split("/")
    descriptor = os.open(project, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for folder in folders:
            try:
                below = _open_folder(descriptor, folder)
            except FileNotFoundError:
                if not make:
                    yield None, name
                    return
                os.mkdir(folder, dir_fd=descriptor)
                below = _open_folder(descriptor, folder)
            except NotADirectoryError as error:
                if not make:
                    yield None, name
                    return
                raise ProjectError(
                    f"{path} can't be restored: {folder} is a link or a file that no snapshot has. Move it away."
                ) from error
            os.close(descriptor)
            descriptor = below
        yield descriptor, name
    finally:
        os.close(descriptor)


def _open_folder(above: int, name: str) -> int:
    status = os.stat(name, dir_fd=above, follow_symlinks=False)
    if not stat.S_ISDIR(status.st_mode):
        raise NotADirectoryError(name)
    return os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=above)
