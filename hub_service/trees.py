"""The working trees of forks: how one is made of a layer, put into its owner's `~/projects`, and taken away."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from functools import cache
from pathlib import Path

from regrow.hub_service.layers import give
from regrow.hub_service.mounts import is_used, mount_overlay, overlays_work, unmount
from regrow.hub_service.places import Places
from regrow.hub_service.users_files import open_file_below, opened_folder
from regrow.spawner.volumes import unescaped

#: Which project a working tree is of.
ABOUT = ".git/regrow/project.json"

# ioctl_ficlone(2)
_FICLONE = 0x40049409

KINDS = {
    "reflink": "reflinks: a fork shares the blocks of its files with what it was made of",
    "overlay": "overlays: a fork costs what it changes",
    "copy": "copies: this filesystem has no reflinks, and overlays need a hub that runs as root",
}


class InUse(OSError):
    """Something is at that place, or programs still use what was there."""


@cache
def kind_for(folder: Path) -> str:
    """How working trees are made below `folder`: the first of `KINDS` that works there."""
    if _reflinks_work(folder):
        return "reflink"
    return "overlay" if os.geteuid() == 0 and overlays_work(folder) else "copy"


def make(places: Places, project_id: str, kind: str, layers: Sequence[str], files: dict[str, str], owner: int) -> None:
    """Make the working tree of a fork of `layers` (the topmost first), beside what only this one has: text `files`.

    It is not in its owner's folder yet. All or nothing. Raises `OSError`.
    """
    place = places.tree(project_id)
    discard(places, project_id)
    new = place.with_name(f"{project_id}.new")
    if new.exists():
        shutil.rmtree(new)
    tree = new / "tree"
    try:
        if kind == "overlay":
            (new / "work").mkdir(parents=True)
            tree.mkdir()
        else:
            (layer,) = layers
            new.mkdir()
            _copy(places.layer_tree(layer), tree, reflink=kind == "reflink")
        for path, text in files.items():
            file = tree / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        give(tree, owner)
        new.rename(place)
    except BaseException:
        shutil.rmtree(new, ignore_errors=True)
        raise


def attach(places: Places, project_id: str, kind: str, layers: Sequence[str], user: str, name: str, owner: int) -> None:
    """Put a working tree into `user`'s projects as `name`. Raises `InUse`, or `OSError`."""
    tree = places.tree(project_id) / "tree"
    with opened_folder(places.projects_of(user)) as projects:
        if kind != "overlay":
            _rename(tree, name, projects)
            tree.parent.rmdir()
            return
        with suppress(FileExistsError):
            os.mkdir(name, 0o755, dir_fd=projects)
            os.chown(name, owner, owner, dir_fd=projects, follow_symlinks=False)
        try:
            target = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=projects)
        except NotADirectoryError as error:
            raise _taken(name) from error
        try:
            if any(Path(f"/proc/self/fd/{target}").iterdir()):
                raise _taken(name)
            if is_used(tree, places.trees):
                raise InUse(errno.EBUSY, "Programs of a running server still use it")
            lower = [places.layer_tree(layer) for layer in layers]
            mount_overlay(lower, tree, places.tree(project_id) / "work", target)
        except OSError:
            with suppress(OSError):  # it has something in it
                os.rmdir(name, dir_fd=projects)
            raise
        finally:
            os.close(target)


def detach(places: Places, project_id: str, kind: str, user: str, name: str) -> None:
    """Take a working tree out of `user`'s projects; it is kept. Where it is not there, nothing is done.

    Raises `OSError`.
    """
    if kind == "overlay":
        if point := mount_point(places, project_id):
            unmount(point)
            _remove_empty(point.parent, point.name)
        else:  # a stop came before the mount, or after it was taken away
            _remove_empty(places.projects_of(user), name)
        return
    with suppress(FileNotFoundError), opened_folder(places.projects_of(user)) as projects:
        os.rename(name, places.bin / project_id, src_dir_fd=projects)


def remove_left(places: Places, user: str, name: str, before: datetime) -> None:
    """Remove what an overlay of `user`'s was mounted on, where it is there still. Raises `OSError`.

    A folder that was made after `before` is the user's own.
    """
    with suppress(FileNotFoundError):
        status = (places.projects_of(user) / name).lstat()
        # Not the time of the last change of what is in it, which its owner can set.
        if stat.S_ISDIR(status.st_mode) and status.st_ctime < before.timestamp():
            _remove_empty(places.projects_of(user), name)


def is_of(places: Places, project_id: str, user: str, name: str) -> bool:
    """Whether what `user` has as `name` is the working tree of that project."""
    try:
        with opened_folder(places.projects_of(user)) as projects:
            about = os.fdopen(open_file_below(projects, f"{name}/{ABOUT}"))
        with about:
            return bool(json.load(about)["id"] == project_id)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def mount_point(places: Places, project_id: str) -> Path | None:
    """Where the overlay of a fork is mounted, as this process sees it."""
    upper = f"upperdir={places.tree(project_id) / 'tree'},"
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        if upper in line:
            return Path(unescaped(line.split(" ")[4]))
    return None


def put_back(places: Places, project_id: str, user: str, name: str) -> None:
    """Put what `detach` has kept back into `user`'s projects. Raises `InUse`, or `OSError`."""
    with opened_folder(places.projects_of(user)) as projects:
        _rename(places.bin / project_id, name, projects)


def discard(places: Places, project_id: str) -> None:
    """Remove for good what is kept of a working tree that is in nobody's projects."""
    for folder in (places.tree(project_id), places.bin / project_id):
        # Users can put anything in the place of a project's folder.
        if folder.is_dir() and not folder.is_symlink():
            shutil.rmtree(folder)
        else:
            folder.unlink(missing_ok=True)


def _remove_empty(folder: Path, name: str) -> None:
    """Remove a folder in somebody's `folder`. What its owner has put there, or in its place, stays."""
    try:
        with opened_folder(folder) as projects:
            os.rmdir(name, dir_fd=projects)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ENOTEMPTY, errno.ENOTDIR):
            raise


def _rename(source: Path, name: str, projects: int) -> None:
    try:
        os.rename(source, name, dst_dir_fd=projects)
    except OSError as error:
        if error.errno in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
            raise _taken(name) from error
        raise


def _taken(name: str) -> InUse:
    return InUse(errno.EEXIST, f"There is something named {name} already")


def _reflinks_work(folder: Path) -> bool:
    with tempfile.TemporaryFile(dir=folder) as source, tempfile.TemporaryFile(dir=folder) as target:
        source.write(b"x")
        source.flush()
        try:
            fcntl.ioctl(target.fileno(), _FICLONE, source.fileno())
        except OSError:
            return False
        return True


def _copy(source: Path, target: Path, reflink: bool) -> None:
    how = "always" if reflink else "auto"
    done = subprocess.run(
        ["cp", "--archive", f"--reflink={how}", "--no-target-directory", "--", str(source), str(target)],
        stderr=subprocess.PIPE,
        text=True,
    )
    if done.returncode:
        raise OSError(errno.EIO, done.stderr.strip().splitlines()[-1], str(target))
