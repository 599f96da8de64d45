"""Finding projects, as far as somebody may see them."""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from regrow.hub_service.registry.tables import Project
from regrow.hub_service.viewer import Viewer, check_owns, check_sees, owns


def find(session: Session, viewer: Viewer, owner: str, name: str) -> Project:
    """The project of that name, if `viewer` may see it. Raises `NotFound`."""
    return check_sees(viewer, _live(session, owner, name), f"{owner}/{name}")


def find_own(session: Session, viewer: Viewer, owner: str, name: str) -> Project:
    """The project of that name, if it is `viewer`'s to change. Raises `NotFound` or `Forbidden`."""
    return check_owns(viewer, _live(session, owner, name), f"{owner}/{name}")


def find_deleted(session: Session, viewer: Viewer, project_id: str) -> Project:
    """A project in the recycle bin, if it is `viewer`'s to change. Raises `NotFound` or `Forbidden`."""
    query = select(Project).where(
        Project.id == project_id, Project.deleted_at.is_not(None), Project.purged_at.is_(None)
    )
    return check_owns(viewer, session.scalars(query).first(), project_id)


def shown_to(
    session: Session, viewer: Viewer, search: str = "", owner: str = "", deleted: bool = False
) -> list[Project]:
    """The projects that `viewer` may see, the last changed first; those in the recycle bin only if asked for."""
    query = select(Project).where(Project.is_whole, Project.purged_at.is_(None)).order_by(Project.changed_at.desc())
    query = query.where(Project.deleted_at.is_not(None) if deleted else Project.deleted_at.is_(None))
    if owner:
        query = query.where(Project.owner == owner)
    for word in search.split():
        text = func.lower(Project.owner + "/" + Project.name + " " + Project.description)
        query = query.where(text.contains(word.lower(), autoescape=True))
    if not viewer.is_admin:
        query = query.where(
            ((Project.owner == viewer.name) & (Project.owner_id == viewer.id))
            | (Project.visibility == "public")
            | ((Project.visibility == "hub") & bool(viewer.name))
            | ((Project.visibility == "team") & Project.team.in_(viewer.groups))
        )
    found = session.scalars(query)
    return [project for project in found if not deleted or owns(viewer, project)]


def lineage(session: Session, project: Project) -> list[Project]:
    """All projects of the tree of forks that `project` is in, parents before their forks.

    Those that somebody may not see are among them where they connect others: their names must not be shown.
    """
    root = project
    while root.parent is not None:
        root = root.parent
    found, level = [root], [root]
    while level:
        below = session.scalars(select(Project).where(Project.parent_id.in_([each.id for each in level])))
        level = [each for each in below.unique() if each.is_whole]
        found += level
    return found


def _live(session: Session, owner: str, name: str) -> Project | None:
    query = select(Project).where(
        Project.owner == owner,
        Project.folded_name == name.casefold(),
        Project.deleted_at.is_(None),
        Project.is_whole,
    )
    return session.scalars(query).first()
