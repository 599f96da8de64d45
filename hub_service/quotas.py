"""What a user takes of what an administrator allows each."""

from __future__ import annotations

from sqlalchemy import Select, select

from regrow.hub_service import repositories
from regrow.hub_service.registry.tables import LargeObject, Project
from regrow.hub_service.service import Service


def bytes_used(service: Service, user: str) -> int:
    """What counts for a user's quota: their repositories, and large files that they brought, each once."""
    with service.session() as session:
        mine = list(session.scalars(_counted(user)))
    large = sum(brought(service, user).values())
    return large + sum(repositories.size_bytes(service.places.repository(project)) for project in mine)


def brought(service: Service, user: str) -> dict[str, int]:
    """The large files that count for a user's quota: oid and bytes."""
    query = select(LargeObject.oid, LargeObject.size)
    query = query.where(LargeObject.project_id.in_(_counted(user)), ~LargeObject.inherited)
    with service.session() as session:
        return {row.oid: row.size for row in session.execute(query)}


def bytes_left(service: Service, user: str) -> int | None:
    """How much more a user may bring, in bytes; None: as much as there is disk."""
    most = service.limits.bytes_per_user
    return max(0, most - bytes_used(service, user)) if most else None


def _counted(user: str) -> Select[str]:
    return select(Project.id).where(Project.owner == user, Project.purged_at.is_(None))
