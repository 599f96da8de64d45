"""What becomes of the projects of users whom the hub has deleted: nobody who is given their name later has them."""

from __future__ import annotations

from sqlalchemy import select

from regrow.hub_service import trees
from regrow.hub_service.registry.tables import Project, now
from regrow.hub_service.service import Service


def retire(service: Service, user: str) -> str:
    """Put what belonged to a deleted user of the same name into the recycle bin, under no name.

    Returns what tells `user` from that one: "" where they have no files yet, and nothing is done.
    """
    own = service.places.user_id(user)
    if not own:
        return ""
    with service.session() as session, session.begin():
        query = select(Project).where(Project.owner == user, Project.owner_id != own, Project.purged_at.is_(None))
        for project in session.scalars(query):
            if project.tree == "overlay":
                trees.detach(service.places, project.id, project.tree, user, project.name)
            project.owner = f"{user} (deleted {project.owner_id[:8]})"
            project.deleted_at = project.deleted_at or now()
    return own


def retire_all(service: Service) -> None:
    """Do so for everybody who was deleted."""
    with service.session() as session:
        owners = set(session.scalars(select(Project.owner).where(Project.deleted_at.is_(None))))
    for owner in owners:
        retire(service, owner)
