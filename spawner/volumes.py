"""Where users' and groups' files are on the hub's machine.

The layout is drawn in docs/architecture.md. Users own what is *below* `home`, `projects` and `build`; the folders that
hold those belong to the hub alone, so no path built here can be led astray by a link that a user made.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import string
import time
from dataclasses import dataclass
from pathlib import Path

from escapism import escape

_ID = "id"
_SAFE = set(string.ascii_lowercase + string.digits)


class VolumeError(Exception):
    """A volume can't be made; the message says which and what to do."""


def safe_name(name: str) -> str:
    """`name` as a file, container and DNS label: lower-case letters and digits, `-xx` for every other byte.

    Injective, and never empty, `.`, `..` or with a separator in it for a non-empty `name`.
    """
    return str(escape(name, _SAFE, escape_char="-")).lower()


@dataclass(frozen=True)
class Owner:
    """The numeric user and group that files in a volume belong to, as the host counts them."""

    uid: int
    gid: int


@dataclass(frozen=True)
class GroupBuild:
    """A group's build volume as one member sees it."""

    group: str
    path: Path
    writable: bool


@dataclass(frozen=True)
class UserVolumes:
    """One user's folders."""

    root: Path

    @property
    def id(self) -> str:
        """What tells this user from one of the same name who was deleted before; "" where there are no folders yet."""
        try:
            return (self.root / _ID).read_text()
        except FileNotFoundError:
            return ""

    @property
    def home(self) -> Path:
        return self.root / "home"

    @property
    def projects(self) -> Path:
        return self.root / "projects"

    @property
    def build(self) -> Path:
        return self.root / "build"


def user_volumes(data_dir: Path, user: str) -> UserVolumes:
    """The folders of `user`, whether or not they exist yet."""
    return UserVolumes(data_dir / "users" / safe_name(user))


def group_build_path(data_dir: Path, group: str) -> Path:
    """The build volume of `group`, whether or not it exists yet."""
    return data_dir / "groups" / safe_name(group) / "build"


def make_user_volumes(volumes: UserVolumes, owner: Owner) -> None:
    """Make what is missing of a user's folders, owned by `owner`.

    Raises `VolumeError` when the disk is full or the hub may not hand a folder over to `owner`.
    """
    _make_private(volumes.root)
    for folder in (volumes.home, volumes.projects, volumes.build):
        _make_owned(folder, owner)
    if not volumes.id:
        try:
            (volumes.root / _ID).write_text(secrets.token_hex(16))
        except OSError as error:
            raise VolumeError(_explain(volumes.root, error)) from error


def make_group_build(path: Path, owner: Owner) -> None:
    """Make a group's build volume if it is missing. Raises `VolumeError` as `make_user_volumes` does."""
    _make_private(path.parent)
    _make_owned(path, owner)


def discard_user_volumes(volumes: UserVolumes, deleted_dir: Path) -> Path | None:
    """Take a deleted user's folders out of the way, so that nobody who takes the name later finds them.

    They are kept below `deleted_dir` (returned) until `purge_deleted`; folders in which the user never made anything
    are removed at once (None).
    """
    if not volumes.root.exists():
        return None
    if _is_untouched(volumes):
        shutil.rmtree(volumes.root)
        return None
    _make_private(deleted_dir)
    kept = deleted_dir / f"{volumes.root.name}_{time.time_ns()}"
    volumes.root.rename(kept)
    os.utime(kept)
    return kept


def purge_deleted(deleted_dir: Path, keep_s: float, now: float) -> list[Path]:
    """Remove folders of users who were deleted more than `keep_s` seconds before `now`; returns what was removed.

    A folder with something mounted in it stays: what is mounted there is not the user's.
    """
    if not deleted_dir.exists():
        return []
    expired = [kept for kept in deleted_dir.iterdir() if kept.lstat().st_mtime < now - keep_s]
    removable = [kept for kept in expired if not any(kept in point.parents for point in mount_points())]
    for kept in removable:
        shutil.rmtree(kept)
    return removable


def mount_points() -> list[Path]:
    """Every mount point that this process sees, in the order in which they were mounted (proc_pid_mountinfo(5))."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return [Path(unescaped(line.split(" ")[4])) for line in lines]


def unescaped(field: str) -> str:
    """A field of mountinfo as it was before the kernel wrote it there."""
    return re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), field)


def _is_untouched(volumes: UserVolumes) -> bool:
    """Whether every file that is there was made by JupyterLab and the kernel, not by the user."""
    if any(volumes.projects.iterdir()):
        return False
    files = (Path(folder, name) for folder, _, names in os.walk(volumes.root) for name in names)
    system = _system_folders(volumes)
    # Beside the three folders are the hub's own files: logs and process ids.
    return all(file.parent == volumes.root or any(folder in file.parents for folder in system) for file in files)


def _system_folders(volumes: UserVolumes) -> list[Path]:
    jupyter = [volumes.home / folder for folder in (".local/share/jupyter", ".jupyter", ".ipython", ".cache")]
    return [*jupyter, *volumes.build.glob("*/.regrow")]


def _make_private(folder: Path) -> None:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise VolumeError(_explain(folder, error)) from error


def _make_owned(folder: Path, owner: Owner) -> None:
    try:
        folder.mkdir(mode=0o755, exist_ok=True)
        have = folder.lstat()
        if (have.st_uid, have.st_gid) == (owner.uid, owner.gid):
            return
        if any(folder.iterdir()):
            raise VolumeError(
                f"What is in {folder} belongs to user {have.st_uid}, and the image's user is {owner.uid} here: perhaps "
                "the image has another uid than before, or userns-remap was switched. Nothing was changed. An "
                f"administrator can give it over: chown -R --from={have.st_uid} {owner.uid}:{owner.gid} {folder}"
            )
        os.chown(folder, owner.uid, owner.gid, follow_symlinks=False)
    except PermissionError as error:
        raise VolumeError(
            f"The hub may not give {folder} to user {owner.uid}, who owns the files of the image. "
            f"Run the hub as root, or build the image for the hub's own user: regrow images build --uid {os.getuid()}"
        ) from error
    except OSError as error:
        raise VolumeError(_explain(folder, error)) from error


def _explain(folder: Path, error: OSError) -> str:
    return (
        f"The folder {folder.name} of this server could not be made: {error.strerror}. Your files are as they were. "
        "An administrator can make room below the hub's data_dir and try again."
    )
