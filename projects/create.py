"""Making a project: empty, from a template, from a folder, from a repository elsewhere. It is whole, or not there."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import shutil
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from regrow.projects.cloning import OUR_SETTINGS_ONLY, Progress, adopt, clone
from regrow.projects.copying import copy_tree
from regrow.projects.errors import BadName, Damaged, ProjectError, ProjectExists
from regrow.projects.git import GitError, git, lines
from regrow.projects.identity import identity
from regrow.projects.printable import printable
from regrow.projects.scan import LARGE_BYTES
from regrow.projects.snapshot import head

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_NEW = ".regrow-NEW-"
_TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True)
class Created:
    """A project that was just made. `warnings` are sentences on what it does not have as one might think."""

    project: Path
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Template:
    """What projects can begin with, and one line on it."""

    name: str
    description: str


def check_name(name: str) -> None:
    """Raises `BadName` where `name` can't be a project's."""
    if not _NAME.fullmatch(name) or name.lower().endswith((".git", ".lock", ".")):
        raise BadName(
            f"{printable(name[:120])!r} can't be a project's name. It is 1 to 100 of the letters A to Z and a to z, "
            "digits, dots, dashes and underscores, begins with a letter or digit, and does not end in .git, .lock or "
            "a dot."
        )


def create_empty(folder: Path) -> Created:
    """Make `folder` a project without files. Raises `ProjectError`."""
    with _building(folder) as new:
        _init(new)
        _commit(new, folder.name, [])
    return Created(folder)


def templates() -> list[Template]:
    """The templates there are, by name."""
    descriptions = tomllib.loads((_TEMPLATES / "templates.toml").read_text())
    return [Template(name, descriptions[name]) for name in sorted(descriptions)]


def create_from_template(folder: Path, template: str) -> Created:
    """Make `folder` a project with the files of that template. Raises `ProjectError`."""
    names = [each.name for each in templates()]
    if template not in names:
        raise ProjectError(f"There is no template {printable(template)!r}. There are: {', '.join(names)}.")
    with _building(folder) as new:
        _init(new)
        # Installed packages may have links in the place of files, and none that may be written.
        shutil.copytree(_TEMPLATES / template, new, copy_function=shutil.copyfile, dirs_exist_ok=True)
        readme = new / "README.md"
        readme.write_text(readme.read_text().replace("PROJECT", folder.name, 1))
        _commit(new, folder.name, _to_commit(new, []))
    return Created(folder)


def create_from_folder(folder: Path, source: Path) -> Created:
    """Make `folder` a project with the files of the folder `source`, and its history where it is a repository.

    Nothing of `source` is changed, and nothing in it is run. Raises `ProjectError`.
    """
    if not source.is_dir():
        raise ProjectError(f"{printable(str(source))} is not a folder. Nothing was created.")
    source = source.resolve()
    if folder.absolute().parent.resolve().is_relative_to(source):
        raise ProjectError(f"{folder} would be inside {source}, which it is a copy of. Nothing was created.")
    with _building(folder) as new:
        _init(new)
        warnings = copy_tree(source, new)
        if not _adopt(source, new, warnings):
            _commit(new, folder.name, _to_commit(new, warnings))
    return Created(folder, warnings)


def create_from_git(folder: Path, url: str, progress: Progress = lambda done, message: None) -> Created:
    """Make `folder` a clone of the repository at `url` (https, http, ssh or file, or `git@host:path`).

    `progress` is told how much is done, 0 to 1; an error that it raises ends the clone. Raises `ProjectError`.
    """
    with _building(folder) as new:
        clone(url, new, progress)
        if head(new) is None and not git(new, "for-each-ref", "--count=1"):
            _commit(new, folder.name, [])
    return Created(folder)


@contextlib.contextmanager
def _building(folder: Path) -> Iterator[Path]:
    """A hidden folder that becomes `folder` when all has gone well, and is gone otherwise."""
    check_name(folder.name)
    parent = folder.absolute().parent
    if not parent.is_dir():
        raise ProjectError(f"There is no folder {printable(str(parent))} to make a project in.")
    try:
        with contextlib.ExitStack() as locks:
            with _locked(parent):
                _check_free(parent, folder.name)
                _remove_leftovers(parent)
                new = parent / f"{_NEW}{secrets.token_hex(8)}"
                new.mkdir()
                # Held as long as this process lives: what nobody holds was left by one that died.
                locks.enter_context(_locked(new))
            try:
                yield new
                with _locked(parent):
                    _check_free(parent, folder.name)
                    new.rename(parent / folder.name)
            except BaseException:
                shutil.rmtree(new)
                raise
    except OSError as error:
        raise ProjectError(f"{folder} can't be made: {printable(str(error))}. Nothing was left behind.") from error


@contextlib.contextmanager
def _locked(folder: Path, wait: bool = True) -> Iterator[None]:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        yield
    finally:
        os.close(descriptor)


def _check_free(parent: Path, name: str) -> None:
    for there in (each.name for each in parent.iterdir()):
        if there == name:
            raise ProjectExists(f"There is a {name} in {parent} already. Choose another name.")
        if there.casefold() == name.casefold():
            raise ProjectExists(
                f"There is a {there} in {parent} already, and {name} would differ from it only in upper and lower "
                "case, which not every computer tells apart. Choose another name."
            )


def _remove_leftovers(parent: Path) -> None:
    for left in parent.glob(f"{_NEW}*"):
        # Somebody is at work there, or it is not ours to remove.
        with contextlib.suppress(OSError), _locked(left, wait=False):
            shutil.rmtree(left)


def _init(project: Path) -> None:
    git(
        project, "init", "--quiet", "--template=", "--object-format=sha1", "--initial-branch=main",
        settings=("init.defaultRefFormat=files",),
    )  # fmt: skip


def _commit(project: Path, name: str, paths: list[str]) -> None:
    """The first commit of the project that will have that name, with the files at `paths`."""
    who = identity(project, datetime.now(UTC))
    if paths:
        asked = b"".join(os.fsencode(path) + b"\0" for path in paths)
        git(
            project, "--literal-pathspecs", "add", "--pathspec-from-file=-", "--pathspec-file-nul",
            input=asked, environment=OUR_SETTINGS_ONLY,
        )  # fmt: skip
    git(
        project, "commit", "--quiet", "--allow-empty", "--no-verify", f"--message=Create {name}",
        environment=who | OUR_SETTINGS_ONLY,
    )  # fmt: skip


def _to_commit(project: Path, warnings: list[str]) -> list[str]:
    """The files that the first commit has. `warnings` say which it has not, of those that are not ignored."""
    listed = git(project, "ls-files", "-z", "--others", "--exclude-standard", environment=OUR_SETTINGS_ONLY)
    small, large = [], []
    for path in lines(listed):
        if path.endswith("/"):
            warnings.append(f"{printable(path)} is a repository of its own: it was copied, but is not in the history.")
        elif os.lstat(project / path).st_size > LARGE_BYTES:
            large.append(path)
        else:
            small.append(path)
    if large:
        some = ", ".join(printable(path) for path in large[:3]) + (", ..." if len(large) > 3 else "")
        warnings.append(
            f"{len(large)} files over {LARGE_BYTES // 1024**2} MiB were copied, but are not in the first commit, as "
            f"git would be slow with them. Snapshots have them: {some}"
        )
    return small


def _adopt(source: Path, project: Path, warnings: list[str]) -> bool:
    """Have the history of `source`, if there is any. Raises `Damaged`."""
    theirs = source / ".git"
    if not os.path.lexists(theirs):
        return False
    if theirs.is_symlink() or not theirs.is_dir() or (theirs / "objects").is_symlink():
        warnings.append(f"The history of {printable(str(source))} is in another place and was not copied.")
        return False
    try:
        return adopt(theirs, project)
    except GitError as error:
        raise Damaged(
            f"The history of {printable(str(source))} can't be read: {printable(str(error))}. Nothing was created. "
            "Try git fsck there, or copy the files without their .git."
        ) from None
