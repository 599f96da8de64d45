"""Copying somebody's folder: what is in it, and nothing of what it points to."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from pathlib import Path

from regrow.projects.printable import printable

_AT_ONCE = 1 << 30
# The filesystems have no common way, or the kernel none at all.
_NO_RANGES = {errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP}


def copy_tree(source: Path, target: Path) -> list[str]:
    """Copy what is in the folder `source`, but for its `.git`, into the folder `target`, which has none of it.

    Links are copied as links. The sentences returned name what was left out: what is neither file, folder nor link,
    and what can't be read. Raises `OSError` where it can't be written.
    """
    warnings = []
    waiting = [Path()]
    while waiting:
        folder = waiting.pop()
        try:
            with os.scandir(source / folder) as listed:
                entries = sorted(listed, key=lambda entry: entry.name)
        except PermissionError as error:
            warnings.append(f"{printable(str(folder))} can't be read ({error.strerror}) and was left out.")
            continue
        for entry in entries:
            path = folder / entry.name
            if entry.is_symlink():
                (target / path).symlink_to(Path(entry.path).readlink())
            elif entry.is_dir():
                if path != Path(".git"):
                    # Ours to write whatever it was: it could not be filled, or removed, otherwise.
                    (target / path).mkdir()
                    (target / path).chmod(stat.S_IMODE(entry.stat().st_mode) & 0o777 | 0o700)
                    waiting.append(path)
            elif path == Path(".git"):
                continue
            elif why := _copy_file(Path(entry.path), target / path):
                warnings.append(f"{printable(str(path))} {why} and was left out.")
    return warnings


def _copy_file(source: Path, target: Path) -> str:
    """Copy a file with its permissions and time, or say why not."""
    if not stat.S_ISREG(os.lstat(source).st_mode):  # opening a device may do something already
        return "is a device, socket or pipe"
    try:
        descriptor = os.open(source, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except PermissionError as error:
        return f"can't be read ({error.strerror})"
    with os.fdopen(descriptor, "rb") as reading, target.open("xb") as writing:
        status = os.fstat(descriptor)
        try:
            # Shares the blocks where the filesystem can.
            while os.copy_file_range(descriptor, writing.fileno(), _AT_ONCE):
                pass
        except OSError as error:
            if error.errno not in _NO_RANGES:
                raise
            shutil.copyfileobj(reading, writing)
        writing.flush()
        os.fchmod(writing.fileno(), stat.S_IMODE(status.st_mode) & 0o777)
        os.utime(writing.fileno(), ns=(status.st_atime_ns, status.st_mtime_ns))
    return ""
