"""How a project comes to be, whole or not at all: a row that is not whole, then what is on disk, then the row whole."""

from __future__ import annotations

import shutil
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.exc import IntegrityError

from regrow.hub_service import repositories, trees
from regrow.hub_service.errors import OverQuota, Refused
from regrow.hub_service.places import Places
from regrow.hub_service.registry.tables import Project
from regrow.hub_service.service import Service
from regrow.hub_service.viewer import Viewer
from regrow.projects.create import check_name
from regrow.projects.errors import ProjectError


def create(service: Service, viewer: Viewer, name: str, description: str = "") -> Project:
    """A new private project of `viewer`'s, with an empty repository. Raises `Refused`."""
    project = reserve(service, viewer, name, description)
    try:
        repositories.create(service.places.repository(project.id))
        return completed(service, project)
    except BaseException:
        undo(service, project)
        raise


def check_new_name(name: str) -> None:
    """Raise `Refused` where that can't be a project's name."""
    try:
        check_name(name)
    except ProjectError as error:
        raise Refused(str(error), 400) from error


def reserve(service: Service, viewer: Viewer, name: str, description: str = "", **values: Any) -> Project:
    """A row for a project that is being made. Raises `Refused` where `viewer` can't have one of that name."""
    check_new_name(name)
    if not viewer.id:
        raise Refused(f"{viewer.name} has no files on this hub yet. Start your server once, and try again.")
    with service.session() as session, session.begin():
        mine = select(func.count()).select_from(Project)
        mine = mine.where(Project.owner == viewer.name, Project.deleted_at.is_(None))
        most = service.limits.projects_per_user
        if most and (session.scalar(mine) or 0) >= most:
            raise OverQuota(f"You have {most} projects, which is as many as this hub allows. Delete one first.")
        project = Project(
            owner=viewer.name,
            owner_id=viewer.id,
            name=name,
            folded_name=name.casefold(),
            description=description,
            is_whole=False,
            **values,
        )
        session.add(project)
        try:
            session.flush()
        except IntegrityError as error:
            raise Refused(f"You have a project {name} already. Choose another name.") from error
    return project


def completed(service: Service, project: Project, **values: Any) -> Project:
    """The project, whole from now on, with these values."""
    with service.session() as session, session.begin():
        made = session.get_one(Project, project.id)
        for name, value in {**values, "is_whole": True}.items():
            setattr(made, name, value)
    return made


def undo(service: Service, project: Project) -> None:
    """Take back what was made of a project that is not whole. Raises `OSError`."""
    if project.tree == "overlay" or trees.is_of(service.places, project.id, project.owner, project.name):
        trees.detach(service.places, project.id, project.tree, project.owner, project.name)
    discard(service.places, project)
    with service.session() as session, session.begin():
        session.delete(session.get_one(Project, project.id))


def discard(places: Places, project: Project) -> None:
    """Remove for good what the hub has on disk of a project."""
    trees.discard(places, project.id)
    shutil.rmtree(places.repository(project.id), ignore_errors=True)
