"""What passes between a fork and the project that it came from: news, merges, offers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from regrow.client.hub import HubClient, Model
from regrow.client.working import Working, as_now, snapshot
from regrow.projects.diff import FileDiff, diff
from regrow.projects.errors import ProjectError
from regrow.projects.git import git
from regrow.projects.merge import Merged, Side, Status, merge, status
from regrow.projects.printable import printable
from regrow.projects.states import fetch_state
from regrow.projects.variables import own_files

Progress = Callable[[str], None]
Prefer = Side | Mapping[str, Side] | None

#: In a fork: the state of its parent that it was made from, or has merged last.
BASE = "refs/regrow/upstream/base"


@dataclass(frozen=True)
class News:
    """How a fork and its parent have moved apart since `base`. `published` is the parent's state now."""

    parent: str
    base: str
    published: str
    status: Status

    @property
    def is_up_to_date(self) -> bool:
        """Whether there is nothing of the parent's to merge."""
        return self.base == self.published


def news(hub: HubClient, working: Working, progress: Progress) -> News:
    """What has changed in a fork and in its parent. Raises `ProjectError` or `HubError`."""
    model, parent = _parent(hub, working)
    theirs = fetch_state(working.folder, hub.git_url(*parent), hub.git_environment, progress=progress)
    progress("Comparing")
    base = model["base_commit"]
    with as_now(hub, working) as ours:
        return News(model["parent"], base, theirs, status(working.folder, base, ours, theirs))


def sync(hub: HubClient, working: Working, prefer: Prefer, progress: Progress) -> Merged:
    """Merge what the parent has published since into a fork's files.

    Raises `MergeConflict` and other `ProjectError`, or `HubError`; nothing is half-merged.
    """
    model, parent = _parent(hub, working)
    theirs = fetch_state(working.folder, hub.git_url(*parent), hub.git_environment, progress=progress)
    files = working.large_files(hub, parent)
    merged = merge(working.folder, files, model["base_commit"], theirs, prefer, progress=progress)
    hub.set_base(working.owner, working.name, merged.base)
    git(working.folder, "update-ref", BASE, merged.base)
    return merged


def offer(hub: HubClient, working: Working, message: str, progress: Progress) -> Model:
    """Offer a fork as it is now to its parent. Raises `ProjectError` or `HubError`."""
    _parent(hub, working)
    sent = snapshot(hub, working, progress, name=message.partition("\n")[0][:200], reason="offer")
    return hub.offer(working.owner, working.name, sent.model["id"], message)


def accept(hub: HubClient, working: Working, offer_id: str, prefer: Prefer, progress: Progress) -> Merged:
    """Merge what was offered into the project's files, and say so to who offered it.

    Raises `MergeConflict` and other `ProjectError`, or `HubError`; nothing is half-merged, and the offer stays open.
    """
    offered = find_offer(hub, working, offer_id)
    if offered["state"] != "open":
        raise ProjectError(f"That offer was {offered['state']} already. Nothing was changed.")
    theirs = _fetch_offer(hub, working, offered, progress)
    merged = merge(working.folder, working.large_files(hub), offered["base_commit"], theirs, prefer, progress=progress)
    hub.decide(offered["id"], "accepted")
    return merged


def review(hub: HubClient, working: Working, offer_id: str, progress: Progress) -> tuple[Model, list[FileDiff]]:
    """An offer to `working`, and what it would change in what the fork began with.

    Raises `ProjectError` or `HubError`.
    """
    offered = find_offer(hub, working, offer_id)
    theirs = _fetch_offer(hub, working, offered, progress)
    base, commit = (_files_of(working.folder, each) for each in (offered["base_commit"], theirs))
    return offered, diff(working.folder, base, commit, files=working.large_files(hub))


def find_offer(hub: HubClient, working: Working, offer_id: str) -> Model:
    """The offer to or of `working` whose id begins so. Raises `ProjectError` or `HubError`."""
    found = [each for each in hub.offers(working.owner, working.name) if offer_id and each["id"].startswith(offer_id)]
    if len(found) != 1:
        raise ProjectError(
            f"{working.full_name} has {'no' if not found else 'more than one'} offer {printable(offer_id)!r}."
        )
    return found[0]


def _fetch_offer(hub: HubClient, working: Working, offered: Model, progress: Progress) -> str:
    if offered["project"] != working.full_name:
        raise ProjectError(f"That offer is made to {offered['project']}: it is for its owner to look at and accept.")
    url = hub.git_url(working.owner, working.name)
    return fetch_state(working.folder, url, hub.git_environment, ref=offered["ref"], progress=progress)


def _files_of(project: Path, commit: str) -> str:
    """The tree of a state's files, without the attributes that clones get."""
    return own_files(project, git(project, "rev-parse", "--verify", f"{commit}^{{tree}}").decode().strip())


def _parent(hub: HubClient, working: Working) -> tuple[Model, tuple[str, str]]:
    """The hub's model of a fork, and its parent's owner and name."""
    model = hub.project(working.owner, working.name)
    if not model["parent"]:
        raise ProjectError(f"{working.full_name} is a fork of no project that you can see.")
    owner, name = model["parent"].split("/", 1)
    return model, (owner, name)
