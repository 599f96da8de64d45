"""Which project refers to which large files: by that the store knows what to keep, and LFS who may have it."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from regrow.hub_service.errors import Refused
from regrow.hub_service.registry.tables import LargeObject, Project
from regrow.hub_service.service import Service
from regrow.projects.pointers import FOLDER, Pointer
from regrow.store import NotKept


@dataclass(frozen=True)
class ProjectsLargeObjects:
    """Which large files a project has: `access.LargeObjects` in the registry."""

    service: Service
    project: Project

    def has(self, oids: Iterable[str]) -> dict[str, int]:
        """As `LargeObjects.has`."""
        wanted = set(oids)
        with self.service.session() as session:
            mine = select(LargeObject.oid, LargeObject.size).where(LargeObject.project_id == self.project.id)
            return {row.oid: row.size for row in session.execute(mine) if row.oid in wanted}

    def record(self, oid: str, size: int) -> None:
        """As `LargeObjects.record`."""
        add(self.service, self.project, [Pointer(oid, size)])


def add(service: Service, project: Project, pointers: Iterable[Pointer], inherited: bool = False) -> None:
    """Note that the project refers to large files that are in the store. Raises `Refused`."""
    with service.large_lock, service.session() as session, session.begin():
        there = set(session.scalars(select(LargeObject.oid).where(LargeObject.project_id == project.id)))
        for oid, pointer in {each.oid: each for each in pointers}.items():
            if oid not in there:
                _check_kept(service, pointer)
                row = LargeObject(project_id=project.id, oid=oid, size=pointer.size, inherited=inherited)
                session.add(row)


def forget(session: Session, project: Project) -> list[str]:
    """Have the project refer to none any more. Returns those that nobody refers to then."""
    mine = select(LargeObject).where(LargeObject.project_id == project.id)
    oids = []
    for row in session.scalars(mine):
        oids.append(row.oid)
        session.delete(row)
    session.flush()
    return [oid for oid in oids if session.scalars(select(LargeObject).where(LargeObject.oid == oid)).first() is None]


def unnoted(service: Service) -> set[str]:
    """The names of the large files in the store that no project refers to (yet)."""
    # In this order: one that is noted meanwhile is none of them.
    there = set(service.store.names(FOLDER))
    return there - _noted(service)


def drop(service: Service, names: set[str]) -> None:
    """Remove those of these large files from the store that no project refers to."""
    if not names:
        return
    with service.large_lock:
        for name in names - _noted(service):
            with suppress(NotKept):
                service.store.drop(name)


def _noted(service: Service) -> set[str]:
    with service.session() as session:
        return {Pointer(oid, 0).name for oid in session.scalars(select(LargeObject.oid).distinct())}


def _check_kept(service: Service, pointer: Pointer) -> None:
    try:
        service.store.recipe(pointer.name)
    except NotKept as error:
        # Whoever had it alone until now has deleted it for good, just before.
        raise Refused(f"The large file {pointer.oid[:16]}… was removed a moment ago. Try again.") from error
