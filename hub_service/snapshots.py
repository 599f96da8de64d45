"""The states of projects that their owners have sent."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from regrow.hub_service import repositories
from regrow.hub_service.errors import Refused
from regrow.hub_service.registry.tables import LargeObject, Project, Snapshot, now
from regrow.hub_service.service import Service
from regrow.projects.changes import changes, pointers, pointers_of_tree
from regrow.projects.pointers import Pointer
from regrow.projects.printable import printable

_MOST_ENVIRONMENT_BYTES = 256 * 1024


def add(
    service: Service,
    project: Project,
    snapshot_id: str,
    name: str,
    reason: str,
    branch: str,
    environment: Mapping[str, Any],
) -> Snapshot:
    """Note the state `snapshot_id` that was pushed to the project's repository. Raises `Refused`."""
    repository = service.places.repository(project.id)
    ref = f"refs/regrow/states/{snapshot_id}"
    commit = repositories.refs(repository, "refs/regrow/states/").get(ref)
    if commit is None:
        raise Refused(f"{project.owner}/{project.name} has no state {snapshot_id}: it was not pushed.", 400)
    if not repositories.is_branch(branch):
        raise Refused(f"{printable(branch)!r} can't be a branch.", 400)
    _check_environment(environment)
    repositories.note_last(repository, commit)
    with service.session() as session, session.begin():
        large = _new_large_files(session, project, repository, commit)
        there = set(session.scalars(select(LargeObject.oid).where(LargeObject.project_id == project.id)))
        missing = [path for path, pointer in large.items() if pointer.oid not in there]
        if missing:
            raise Refused(
                f"The content of {printable(missing[0])} was not sent, and neither was the snapshot taken.", 400
            )
        made = session.merge(
            Snapshot(
                project_id=project.id,
                id=snapshot_id,
                commit=commit,
                name=name,
                reason=reason,
                branch=branch,
                environment=dict(environment),
            )
        )
        session.get_one(Project, project.id).changed_at = now()
    return made


def find(service: Service, project: Project, snapshot_id: str = "") -> Snapshot:
    """A snapshot of the project, its last where none is named. Raises `Refused`."""
    with service.session() as session:
        query = select(Snapshot).where(Snapshot.project_id == project.id).order_by(Snapshot.id.desc())
        if snapshot_id:
            query = query.where(Snapshot.id == snapshot_id)
        found = session.scalars(query).first()
    if found is None:
        which = f"no snapshot {snapshot_id}" if snapshot_id else "no snapshot yet"
        raise Refused(f"The hub has {which} of {project.owner}/{project.name}. Take one: %project snapshot")
    return found


def _new_large_files(session: Session, project: Project, repository: Path, commit: str) -> dict[str, Pointer]:
    """The large files of a state, by path: those alone that the last one, whose large files are there, had not."""
    last = select(Snapshot.commit).where(Snapshot.project_id == project.id).order_by(Snapshot.id.desc())
    base = session.scalars(last).first()
    # Most snapshots change few of many files.
    return pointers(repository, changes(repository, base, commit)) if base else pointers_of_tree(repository, commit)


def _check_environment(environment: Mapping[str, Any]) -> None:
    try:
        size = len(json.dumps(environment, allow_nan=False))
    except ValueError as error:
        raise Refused(f"The description of the environment is not JSON: {error}.", 400) from error
    if size > _MOST_ENVIRONMENT_BYTES:
        raise Refused("The description of the environment is too long.", 400)
