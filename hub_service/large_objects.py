"""Which project refers to which large files: by that the store knows what to keep, and LFS who may have it."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from regrow.hub_service.errors import Refused
from regrow.hub_service.registry.tables import LargeObject, Project, StoredObject, now
from regrow.hub_service.service import Service
from regrow.projects.pointers import Pointer
from regrow.store import NotKept

#: Whoever puts large files into the store notes them in less, in s.
UNNOTED_S = 3600.0


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

    def begin(self, oid: str, size: int) -> None:
        """As `LargeObjects.begin`."""
        begin(self.service, [Pointer(oid, size)])

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


def begin(service: Service, pointers: Iterable[Pointer]) -> None:
    """Note that these large files are about to be put into the store. Called before they are there.

    Those that somebody else keeps there, such as another hub, stay theirs.
    """
    by_oid = {each.oid: each for each in pointers}
    with service.session() as session:
        mine = {oid for oid in session.scalars(select(StoredObject.oid)) if oid in by_oid}
    others = {oid for oid, pointer in by_oid.items() if oid not in mine and _is_kept(service, pointer)}
    with service.large_lock, service.session() as session, session.begin():
        for oid in by_oid:
            if row := session.get(StoredObject, oid):
                row.begun_at = now()
            elif oid not in others:
                session.add(StoredObject(oid=oid))


def forget(session: Session, project: Project) -> list[str]:
    """Have the project refer to none any more. Returns those that nobody refers to then."""
    mine = select(LargeObject).where(LargeObject.project_id == project.id)
    oids = []
    for row in session.scalars(mine):
        oids.append(row.oid)
        session.delete(row)
    session.flush()
    return [oid for oid in oids if session.scalars(select(LargeObject).where(LargeObject.oid == oid)).first() is None]


def drop_unnoted(service: Service, before: datetime) -> None:
    """Remove from the store what was begun to be put there `before`, and that no project refers to."""
    with service.large_lock:
        with service.session() as session:
            unnoted = select(StoredObject.oid).where(
                StoredObject.begun_at < before, StoredObject.oid.not_in(select(LargeObject.oid))
            )
            left = list(session.scalars(unnoted))
        drop(service, left, before)


def drop(service: Service, oids: Iterable[str], before: datetime | None = None) -> None:
    """Remove those of these large files from the store that this hub put there. The caller holds `large_lock`.

    What was not begun `before` (an hour ago, if None) may be on its way there again, and stays noted.
    """
    before = before or now() - timedelta(seconds=UNNOTED_S)
    wanted = set(oids)
    with service.session() as session:
        mine = {oid for oid in session.scalars(select(StoredObject.oid)) if oid in wanted} if wanted else set()
    for oid in mine:
        with suppress(NotKept):
            service.store.drop(Pointer(oid, 0).name)
        # Not before: what a stop cuts off is dropped the next time.
        with service.session() as session, session.begin():
            session.execute(delete(StoredObject).where(StoredObject.oid == oid, StoredObject.begun_at < before))


def _is_kept(service: Service, pointer: Pointer) -> bool:
    try:
        service.store.recipe(pointer.name)
    except NotKept:
        return False
    return True


def _check_kept(service: Service, pointer: Pointer) -> None:
    if not _is_kept(service, pointer):
        # Whoever had it alone until now has deleted it for good, just before.
        raise Refused(f"The large file {pointer.oid[:16]}… was removed a moment ago. Try again.")
