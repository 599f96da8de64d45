"""Offers: a fork's state, handed to the project that it came from, for its owner to merge or not."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from regrow.hub_service import large_objects, snapshots
from regrow.hub_service.errors import Forbidden, NotFound, Refused
from regrow.hub_service.registry.tables import Offer, Project, new_id, now
from regrow.hub_service.service import Service
from regrow.hub_service.viewer import Viewer, owns, sees
from regrow.projects.changes import pointers_of_tree
from regrow.projects.git import git


def make(service: Service, viewer: Viewer, fork: Project, snapshot_id: str, message: str) -> Offer:
    """Offer a snapshot of `fork` (its last, where none is named) to its parent. Raises `Refused`."""
    snapshot = snapshots.find(service, fork, snapshot_id)
    with service.session() as session:
        parent = session.get_one(Project, fork.id).parent
    if parent is None or parent.deleted_at or not sees(viewer, parent):
        raise Refused(
            f"{fork.owner}/{fork.name} is a fork of no project that you can see: there is nobody to offer to."
        )
    made = Offer(
        id=new_id(),
        project_id=parent.id,
        fork_id=fork.id,
        commit=snapshot.commit,
        base_commit=fork.base_commit,
        message=message,
    )
    repository, source = (service.places.repository(each.id) for each in (parent, fork))
    ref = f"refs/regrow/offers/{made.id}"
    # Ids of ours and hashes: nothing in the command is anybody's text.
    git(
        repository,
        "fetch",
        "--quiet",
        "--no-tags",
        str(source),
        f"refs/regrow/states/{snapshot.id}:{ref}",
        settings=("transfer.fsckObjects=true", "fetch.unpackLimit=1"),
    )
    # What the owner needs of the fork's large files is theirs to fetch from now on.
    large_objects.add(service, parent, pointers_of_tree(repository, snapshot.commit).values(), inherited=True)
    with service.session() as session, session.begin():
        session.add(made)
    return made


def of(session: Session, project: Project) -> list[Offer]:
    """What was offered to `project` and what it offers, the newest first."""
    query = select(Offer).where((Offer.project_id == project.id) | (Offer.fork_id == project.id))
    return list(session.scalars(query.order_by(Offer.created_at.desc())))


def find(session: Session, viewer: Viewer, offer_id: str) -> Offer:
    """An offer to or from a project of `viewer`'s. Raises `NotFound`."""
    found = session.get(Offer, offer_id)
    if found is None or not (owns(viewer, found.project) or owns(viewer, found.fork)):
        raise NotFound(f"There is no offer {offer_id} to you or of yours.")
    return found


def decide(service: Service, viewer: Viewer, offer_id: str, state: str) -> None:
    """Set an open offer's state. Raises `Refused`."""
    with service.session() as session, session.begin():
        found = find(session, viewer, offer_id)
        decides = found.fork if state == "withdrawn" else found.project
        if not owns(viewer, decides):
            raise Forbidden(f"Only {decides.owner} can say that this offer is {state}.")
        if found.state != "open":
            raise Refused(f"That offer was {found.state} already.")
        found.state, found.decided_at = state, now()
