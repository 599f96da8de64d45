"""A project as a folder of this server's: which one it is, and what is done with it and the hub together."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from regrow.client.environment import environment, lacking
from regrow.client.hub import HubClient, Model
from regrow.client.large_files import HubLargeFiles
from regrow.projects import create as creating
from regrow.projects.errors import NotAProject, ProjectError
from regrow.projects.git import GitError, git
from regrow.projects.pointers import Pointer
from regrow.projects.snapshot import REFS, Taken, take
from regrow.projects.states import make_state, push_state

Progress = Callable[[str], None]

#: Below the project's .git: which project of the hub it is.
_ABOUT = Path(".git/regrow/project.json")
#: Below the project's .git: the packages that were there where it was forked from (`regrow packages --list-file`).
PACKAGES = Path(".git/regrow/packages.json")


class NotRegistered(ProjectError):
    """The folder is a repository that the hub does not know as a project."""


@dataclass(frozen=True)
class Working:
    """A project of the hub with its folder here."""

    folder: Path
    owner: str
    name: str

    @property
    def full_name(self) -> str:
        """OWNER/NAME."""
        return f"{self.owner}/{self.name}"

    def large_files(self, hub: HubClient, *others: tuple[str, str]) -> HubLargeFiles:
        """Where its large files are; `others` are further projects that have some."""
        return HubLargeFiles(hub, self.owner, self.name, others)


@dataclass(frozen=True)
class Sent:
    """A snapshot that the hub has, too: what was taken here, and the hub's model of it.

    `warnings` are sentences on what it, or a clone of it, does not have as one might think.
    """

    taken: Taken
    model: Model
    warnings: list[str]


@dataclass(frozen=True)
class Published:
    """A project after a decision on who sees it, and the snapshot that they see; None if nobody does."""

    model: Model
    sent: Sent | None


def projects_folder() -> Path:
    """Where this server's projects are."""
    return Path(os.environ.get("REGROW_PROJECTS") or Path.home() / "projects").resolve()


def here(folder: Path | None = None) -> Working:
    """The project that `folder` (the working directory, if None) is in. Raises `NotAProject` or `NotRegistered`."""
    return of_folder(repository(folder))


def repository(folder: Path | None = None) -> Path:
    """The repository that `folder` (the working directory, if None) is in. Raises `NotAProject`."""
    try:
        start = (folder or Path.cwd()).resolve()
    except FileNotFoundError:
        raise NotAProject("The folder that this runs in is gone. Go to another one with `cd`.") from None
    for each in (start, *start.parents):
        if (each / ".git").is_dir():
            return each
    raise NotAProject(f"{start} is in no project. `%project create NAME` makes one; `%project list` lists yours.")


def of_folder(folder: Path) -> Working:
    """The project whose folder this is. Raises `NotRegistered`."""
    try:
        about = json.loads((folder / _ABOUT).read_text())
        return Working(folder, str(about["owner"]), str(about["name"]))
    except (OSError, ValueError, KeyError, TypeError):
        raise NotRegistered(
            f"{folder} is a git repository, but not yet a project of this hub. `%project create {folder.name} --here` "
            "makes it one, files and history as they are."
        ) from None


def all_here() -> list[Working]:
    """The projects whose folders this server has, by name."""
    found = []
    for folder in sorted(projects_folder().iterdir()) if projects_folder().is_dir() else ():
        with contextlib.suppress(NotRegistered):
            found.append(of_folder(folder))
    return found


def create(
    hub: HubClient, name: str, make: Callable[[Path], creating.Created], description: str = ""
) -> tuple[Working, list[str]]:
    """A new project: its folder by `make`, and the hub's part. Returns warnings too. Both, or neither.

    Raises `ProjectError` or `HubError`.
    """
    creating.check_name(name)
    folder = projects_folder() / name
    if folder.exists():
        raise ProjectError(f"There is something named {name} in {folder.parent} already. Choose another name.")
    with _registered(hub, name, description) as model:
        made = make(folder)
        working = settle(hub, folder, model)
    return working, made.warnings


def register(hub: HubClient, folder: Path, description: str = "") -> Working:
    """Make the repository in `folder` a project of the hub, as it is. Raises `ProjectError` or `HubError`."""
    if folder.parent.resolve() != projects_folder():
        raise ProjectError(f"{folder} is not in {projects_folder()}, where projects are. Move it there first.")
    if not (folder / ".git").is_dir():
        raise NotAProject(
            f"{folder} is no git repository. `%project create NAME --folder {folder}` makes a project of a copy of it."
        )
    if (folder / _ABOUT).exists():
        raise ProjectError(f"{folder.name} is a project already: {of_folder(folder).full_name}.")
    with _registered(hub, folder.name, description) as model:
        return settle(hub, folder, model)


@contextlib.contextmanager
def _registered(hub: HubClient, name: str, description: str) -> Iterator[Model]:
    model = hub.create(name, description)
    try:
        yield model
    except BaseException:
        hub.delete(model["owner"], model["name"])
        hub.purge(model["id"])
        raise


def settle(hub: HubClient, folder: Path, model: Model) -> Working:
    """Note in a repository which project of the hub it is."""
    about = folder / _ABOUT
    about.parent.mkdir(exist_ok=True)
    about.write_text(json.dumps({"id": model["id"], "owner": model["owner"], "name": model["name"]}))
    with contextlib.suppress(GitError):  # it has an origin: where it was cloned from
        git(folder, "remote", "add", "origin", hub.git_url(model["owner"], model["name"]))
    return Working(folder, model["owner"], model["name"])


def snapshot(
    hub: HubClient,
    working: Working,
    progress: Progress,
    name: str = "",
    reason: str = "hand",
    variables: Mapping[str, Pointer] | None = None,
) -> Sent:
    """Take a snapshot and send it to the hub, with `variables` by notebook, which the hub has.

    Raises `ProjectError` or `HubError`; what was taken here is kept.
    """
    return _send(hub, working, _take(hub, working, progress, name, reason), progress, variables)


def _take(hub: HubClient, working: Working, progress: Progress, name: str, reason: str) -> Taken:
    progress("Taking a snapshot")
    files = working.large_files(hub)
    return take(working.folder, files, reason, name, progress=lambda path, size: progress(f"Keeping {path}"))


def _send(
    hub: HubClient,
    working: Working,
    taken: Taken,
    progress: Progress,
    variables: Mapping[str, Pointer] | None = None,
) -> Sent:
    state = make_state(working.folder, taken.snapshot, variables)
    progress("Sending it to the hub")
    push_state(working.folder, hub.git_url(working.owner, working.name), state, hub.git_environment)
    about = {
        "id": state.id,
        "name": taken.snapshot.name,
        "reason": taken.snapshot.reason,
        "branch": _branch(working.folder),
        "environment": environment(),
    }
    model = hub.add_snapshot(working.owner, working.name, about)
    return Sent(taken, model, [*taken.warnings, *state.warnings])


@contextlib.contextmanager
def as_now(hub: HubClient, working: Working) -> Iterator[str]:
    """The commit of a snapshot of the files as they are, to compare with; it is in no history afterwards.

    Raises `ProjectError` or `HubError`.
    """
    taken = take(working.folder, working.large_files(hub), reason="diff")
    try:
        yield taken.snapshot.commit
    finally:
        if taken.is_new:
            git(working.folder, "update-ref", "-d", f"{REFS}/{taken.snapshot.id}", taken.snapshot.commit)


def publish(
    hub: HubClient,
    working: Working,
    visibility: str,
    team: str,
    progress: Progress,
    variables: Mapping[str, Pointer] | None = None,
) -> Published:
    """Let others see the project as it is now, with `variables` by notebook; `private`: nobody any more.

    Raises `ProjectError` or `HubError`.
    """
    seen = visibility != "private"
    sent = snapshot(hub, working, progress, reason="publish", variables=variables) if seen else None
    wanted = {"visibility": visibility, "team": team, "snapshot": sent.model["id"] if sent else ""}
    return Published(hub.publish(working.owner, working.name, wanted, progress), sent)


@dataclass(frozen=True)
class Forked:
    """A fork that was made: the hub's model of it, of which snapshot, and the packages that this server lacks for it.

    Those are what its parent had, by tool.
    """

    working: Working
    model: Model
    snapshot: Model
    lacking: dict[str, list[str]]


def fork(
    hub: HubClient,
    owner: str,
    name: str,
    new_name: str,
    progress: Progress,
    variables: Mapping[str, Pointer] | None = None,
) -> Forked:
    """Fork a project into a folder of this server's: one's own as it is now, another's as it is published.

    `variables`, by notebook, go with one's own. Raises `ProjectError` or `HubError`.
    """
    source = hub.project(owner, name)
    folder = projects_folder() / name
    wanted = ""
    if source["is_own"] and (folder / _ABOUT).exists():
        wanted = _sent_now(hub, of_folder(folder), source["published"], progress, variables)
    made = hub.fork(owner, name, new_name, wanted, progress)
    forked = projects_folder() / made["project"]["name"]
    missing = lacking(made["snapshot"]["environment"])
    if any(missing.values()):
        (forked / PACKAGES).write_text(json.dumps({"reason": f"{owner}/{name} has them", **missing}))
    return Forked(of_folder(forked), made["project"], made["snapshot"], missing)


def _sent_now(
    hub: HubClient,
    working: Working,
    published: Model | None,
    progress: Progress,
    variables: Mapping[str, Pointer] | None,
) -> str:
    """The id of a snapshot of the project as it is now, which the hub has."""
    taken = _take(hub, working, progress, "", "fork")
    is_sent = published and not variables and not taken.is_new and published["id"] == taken.snapshot.id
    if is_sent and published and published["environment"] == environment():
        return taken.snapshot.id  # to send it again would take longer than the fork
    return str(_send(hub, working, taken, progress, variables).model["id"])


def _branch(folder: Path) -> str:
    try:
        return git(folder, "symbolic-ref", "--quiet", "--short", "HEAD").decode().strip()
    except GitError:
        return "main"  # no branch: at a commit by its name
