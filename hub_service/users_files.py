"""Reaching into users' folders, where every name may have become a link to somewhere else a moment ago."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from regrow.hub_service.errors import Refused
from regrow.hub_service.places import Places

_FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class OutsideError(OSError):
    """That path leads out of the folder, or to something that is not a file."""


def system_user(places: Places, user: str) -> int:
    """The system's user id of a user's files. Raises `Refused` where there are none yet."""
    try:
        return places.projects_of(user).stat().st_uid
    except FileNotFoundError:
        raise Refused(f"{user} has no files on this hub yet. Start your server once, and try again.") from None


@contextmanager
def opened_folder(root: Path) -> Iterator[int]:
    """A folder of the hub's own naming, open. Raises `OSError`."""
    descriptor = os.open(root, _FOLDER)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def folder_below(root: int, path: str) -> Iterator[int]:
    """The folder at `path` below the open folder `root`, reached through no link and no other filesystem.

    Raises `OSError`, and `OutsideError` of it.
    """
    current = os.dup(root)
    try:
        for part in _parts(path):
            below = os.open(part, _FOLDER, dir_fd=current)
            os.close(current)
            current = below
        yield current
    finally:
        os.close(current)


def open_file_below(root: int, path: str) -> int:
    """A descriptor of the regular file at `path` below the open folder `root`, to be read.

    Raises `OSError`, and `OutsideError` of it.
    """
    *folders, name = _parts(path) or [os.curdir]
    with folder_below(root, "/".join(folders)) as folder:
        # Opening a pipe waits for somebody who writes, and opening a device may do something already.
        place = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    try:
        status = os.fstat(place)
        if not stat.S_ISREG(status.st_mode) or status.st_dev != os.fstat(root).st_dev:
            raise OutsideError(errno.EINVAL, "it is not a file of the project")
        return os.open(f"/proc/self/fd/{place}", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(place)


def _parts(path: str) -> list[str]:
    parts = list(PurePosixPath(path).parts)
    if path.startswith("/") or ".." in parts or "\0" in path:
        raise OutsideError(errno.EINVAL, "it leads out of the project")
    return parts
