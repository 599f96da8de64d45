"""Overlay mounts, made through open folders so that no link in a user's folder can lead them elsewhere."""

from __future__ import annotations

import ctypes
import errno
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

_libc = ctypes.CDLL(None, use_errno=True)
# mount(2), umount(2)
_MS_NODEV = 4
_MNT_DETACH = 2
_UMOUNT_NOFOLLOW = 8

#: The name of a folder where an overlay is mounted for a moment: what is left of one is unmounted before it is removed.
MERGED = "merged"


def mount_overlay(lower: Sequence[Path], upper: Path, work: Path, target: int, index: str = "off") -> None:
    """Show `lower` (the topmost first) with the changes in `upper` on the open folder `target`. Raises `OSError`.

    All folders but `target` are the hub's own, on one filesystem; `work` is empty.
    """
    # redirect_dir: a folder of a lower layer can be renamed, which git and people do.
    options = f"lowerdir={':'.join(map(str, lower))},upperdir={upper},workdir={work},redirect_dir=on,index={index}"
    if any(character in str(path) for path in (*lower, upper, work) for character in ":,\\"):
        raise ValueError(f"overlayfs can't be told of these folders: {options}")
    folder = Path(f"/proc/self/fd/{target}")
    if _libc.mount(b"regrow", os.fsencode(folder), b"overlay", _MS_NODEV, os.fsencode(options)):
        _raise(str(folder.readlink()))


def unmount(target: Path) -> None:
    """Take the mount at `target` away; programs that still use it keep it until they end. Raises `OSError`."""
    if _libc.umount2(os.fsencode(target), _MNT_DETACH | _UMOUNT_NOFOLLOW):
        _raise(str(target))


def overlays_work(folder: Path) -> bool:
    """Whether this process can mount overlays whose layers are in `folder`, by mounting one."""
    with tempfile.TemporaryDirectory(dir=folder, prefix=".regrow-try-") as place:
        lower = Path(place, "lower")
        lower.mkdir()
        return _try(lower, Path(place), "off") == 0


def is_used(upper: Path, folder: Path) -> bool:
    """Whether a mount that was taken away still writes to `upper`, for programs that had it open.

    Two at once would damage each other's files, and Linux tells only with an index. What is needed to ask is in
    `folder` meanwhile.
    """
    with tempfile.TemporaryDirectory(dir=folder, prefix=".regrow-try-") as place:
        return _try(upper, Path(place), "on") == errno.EBUSY


def _try(lower: Path, place: Path, index: str) -> int:
    """The error number of an overlay on `lower`, 0 where it could be mounted."""
    upper, work, target = (place / name for name in ("upper", "work", MERGED))
    for each in (upper, work, target):
        each.mkdir()
    descriptor = os.open(target, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        mount_overlay([lower], upper, work, descriptor, index)
    except OSError as error:
        return error.errno or errno.EINVAL
    finally:
        os.close(descriptor)
    unmount(target)
    return 0


def _raise(what: str) -> None:
    number = ctypes.get_errno()
    raise OSError(number, os.strerror(number), what)
