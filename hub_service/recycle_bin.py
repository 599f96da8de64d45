"""Deleted projects: kept for a while with their working trees, put back, or removed for good."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime, timedelta

from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError

from regrow.hub_service import large_objects, making, shared_layers, trees
from regrow.hub_service.errors import Refused
from regrow.hub_service.registry.tables import Layer, Project, now
from regrow.hub_service.service import Service
from regrow.hub_service.users_files import system_user


def delete(service: Service, project: Project) -> None:
    """Put a project into the recycle bin, with its working tree. Raises `OSError`."""
    trees.detach(service.places, project.id, project.tree, project.owner, project.name)
    _set_deleted(service, project, now())


def undelete(service: Service, project: Project) -> Project:
    """Take a project out of the recycle bin. Raises `Refused`."""
    _set_deleted(service, project, None)
    try:
        put_back(service, project)
    except BaseException as error:
        _set_deleted(service, project, project.deleted_at)
        if isinstance(error, trees.InUse):
            raise Refused(f"{project.name} can't be put back: {error.strerror}.") from error
        raise
    with service.session() as session:
        return session.get_one(Project, project.id)


def put_back(service: Service, project: Project) -> None:
    """Put a project's working tree, where the hub has it, into its owner's projects. Raises `Refused` or `OSError`."""
    if project.tree == "overlay":
        with service.session() as session:
            chain = shared_layers.chain(session.get_one(Layer, project.layer_id))
        owner = system_user(service.places, project.owner)
        trees.attach(service.places, project.id, project.tree, chain, project.owner, project.name, owner)
    else:
        with suppress(FileNotFoundError):  # it had no working tree on this hub
            trees.put_back(service.places, project.id, project.owner, project.name)


def purge(service: Service, project: Project) -> None:
    """Remove for good a project that is in the recycle bin; one that was put back meanwhile stays.

    Its forks are not touched.
    """
    with service.large_lock:
        with service.session() as session, session.begin():
            # At once, so that nobody puts it back in between.
            in_bin = update(Project).where(Project.id == project.id, Project.deleted_at.is_not(None))
            if session.execute(in_bin.values(purged_at=now()).returning(Project.id)).first() is None:
                return
            gone = session.get_one(Project, project.id)
            gone.layer_id, gone.description = None, ""
            gone.visibility, gone.published_id, gone.snapshots = "private", "", []
            lost = large_objects.forget(session, gone)
        large_objects.drop(service, lost)
    # Nobody sees it any more: what a stop leaves of it is removed at the next start.
    making.discard(service.places, project)
    shared_layers.sweep(service)


def purge_expired(service: Service) -> None:
    """Remove for good what has been in the recycle bin for `Limits.bin_s`."""
    with service.session() as session:
        before = now() - timedelta(seconds=service.limits.bin_s)
        query = select(Project).where(Project.deleted_at < before, Project.purged_at.is_(None))
        expired = list(session.scalars(query))
    for project in expired:
        purge(service, project)


def _set_deleted(service: Service, project: Project, at: datetime | None) -> None:
    with service.session() as session, session.begin():
        there = update(Project).where(Project.id == project.id, Project.purged_at.is_(None))
        try:
            changed = session.execute(there.values(deleted_at=at).returning(Project.id)).first()
        except IntegrityError as error:
            raise Refused(f"You have another project {project.name} now. Delete or rename that one first.") from error
        if changed is None:
            raise Refused(f"{project.name} was removed for good a moment ago.")
