"""A project of the hub as a folder of this server's, where it has none: whole, or not there."""

from __future__ import annotations

import contextlib
import tempfile
from pathlib import Path

from regrow.client.hub import HubClient, Model
from regrow.client.upstream import BASE
from regrow.client.working import Progress, Working, projects_folder, settle
from regrow.projects import checkout
from regrow.projects.changes import EXECUTABLE, REPOSITORY, Change, changes, pointers_of_tree
from regrow.projects.errors import Damaged, ProjectError
from regrow.projects.git import GitError, git
from regrow.projects.large_files import LargeFiles
from regrow.projects.pointers import Pointer
from regrow.projects.printable import printable
from regrow.projects.states import REFS, NotTransferred, reason
from regrow.projects.variables import own_files


def bring(hub: HubClient, model: Model, progress: Progress) -> Working:
    """Make the folder of the project `model`, as its last snapshot has it.

    Raises `ProjectError`, `HubError` or `OSError`.
    """
    owner, name = model["owner"], model["name"]
    taken = hub.snapshots(owner, name)
    if not taken:
        raise ProjectError(
            f"The hub has no snapshot of {owner}/{name} yet, so there are no files to bring. "
            "Where its files are, `%project snapshot` sends one."
        )
    folder = projects_folder() / name
    with tempfile.TemporaryDirectory(prefix=".regrow-open-", dir=folder.parent) as scratch:
        new = Path(scratch) / name
        new.mkdir()
        _fetch(hub, model, taken[0]["branch"], new, progress)
        _fill(Working(new, owner, name).large_files(hub), new, taken[0], progress)
        settle(hub, new, model)
        if model["parent"]:
            _note_parent(hub, model, new)
        new.rename(folder)
    return Working(folder, owner, name)


def _fetch(hub: HubClient, model: Model, branch: str, new: Path, progress: Progress) -> None:
    """All that the hub has of its history: the states, which offers and merges begin with, and branches."""
    progress("Fetching its history")
    git(new, "init", "--quiet", "--template=", "--object-format=sha1", f"--initial-branch={branch}")
    try:
        git(
            new, "fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules", "--",
            hub.git_url(model["owner"], model["name"]), f"+{REFS}/*:{REFS}/*", "+refs/heads/*:refs/remotes/origin/*",
            settings=("transfer.fsckObjects=true",),
            # A user's rewritten URLs would get the hub's token.
            environment={"GIT_CONFIG_GLOBAL": "/dev/null", **hub.git_environment},
        )  # fmt: skip
    except GitError as error:
        raise NotTransferred(
            f"{model['owner']}/{model['name']} could not be fetched ({reason(error)}). Nothing was made. Try again."
        ) from error


def _fill(files: LargeFiles, new: Path, snapshot: Model, progress: Progress) -> None:
    """The files as they are in the snapshot, and the branch where its author's was."""
    commit = snapshot["commit"]
    plain = own_files(new, git(new, "rev-parse", "--verify", f"{commit}^{{tree}}").decode().strip())
    found = changes(new, checkout.NOTHING, plain)
    large = pointers_of_tree(new, plain)
    if files.missing(large.values()):
        raise ProjectError("The hub does not have the content of all its large files any more. Nothing was made.")
    for change in found:
        if change.path in large:
            progress(f"Bringing {change.path}")
            _write_large(files, large[change.path], change, new)
    progress(f"Writing {len(found)} files")
    small = [each.path for each in found if each.path not in large and each.after.mode != REPOSITORY]
    checkout.check_out(new, plain, small, [])
    checkout.settle(new, large, files.id)
    if parents := git(new, "log", "-1", "--format=%P", commit).decode().split():
        git(new, "update-ref", f"refs/heads/{snapshot['branch']}", parents[0])
        git(new, "read-tree", "HEAD")


def _write_large(files: LargeFiles, pointer: Pointer, change: Change, new: Path) -> None:
    if {".", "..", ".git"} & set(change.path.lower().split("/")):
        raise Damaged(f"The project has a file named {printable(change.path)!r}, which no project can have.")
    target = new / change.path
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("xb") as file:
        for part in files.content(pointer):
            file.write(part)
    target.chmod(0o755 if change.after.mode == EXECUTABLE else 0o644)


def _note_parent(hub: HubClient, model: Model, new: Path) -> None:
    git(new, "remote", "add", "upstream", hub.git_url(*model["parent"].split("/", 1)))
    # What it has merged since it was made, only its parent's repository has.
    with contextlib.suppress(GitError):
        git(new, "update-ref", BASE, model["base_commit"])
