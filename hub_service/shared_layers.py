"""Which layers there are: made when one is needed first, and removed when nothing stands on it any more."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from regrow.hub_service import layers, trees
from regrow.hub_service.registry.tables import Layer, Project, Snapshot, new_id
from regrow.hub_service.service import Progress, Service
from regrow.hub_service.users_files import system_user


def of(service: Service, project: Project, snapshot: Snapshot, progress: Progress) -> Layer:
    """The layer of a snapshot, made if it is missing. It is there as long as layers are `in_use`."""
    owner = system_user(service.places, project.owner)
    kind = trees.kind_for(service.places.trees)
    with service.layer_locks.making[snapshot.commit]:
        with service.session() as session:
            same = (Layer.commit == snapshot.commit, Layer.uid == owner)
            if (found := session.scalars(select(Layer).where(*same)).first()) is not None:
                return found
            base = _base(service, session, project, snapshot, owner) if kind == "overlay" else None
        made = Layer(id=new_id(), commit=snapshot.commit, uid=owner, base_id=base.id if base else None)
        state = layers.State(service.places.repository(project.id), snapshot.commit, snapshot.branch)
        under = (base.id, base.commit) if base else None
        # It takes minutes, in which no connection to the registry is held.
        layers.build(service.places, service.store, made.id, state, owner, under, progress)
        with service.session() as session, session.begin():
            session.add(made)
        return made


def chain(layer: Layer) -> list[str]:
    """The ids of the layers that a fork of `layer` stands on, the topmost first."""
    return [layer.id, *([layer.base_id] if layer.base_id else [])]


@contextmanager
def in_use(service: Service) -> Iterator[None]:
    """While this lasts, layers stay that nothing in the registry stands on yet."""
    locks = service.layer_locks
    with locks.sweeping:
        locks.users += 1
    try:
        yield
    finally:
        with locks.sweeping:
            locks.users -= 1


def sweep(service: Service) -> None:
    """Remove the layers that no fork stands on and that nobody is about to fork.

    While forks are being made nothing is done: there is a next time.
    """
    with service.layer_locks.sweeping:
        if service.layer_locks.users:
            return
        gone = [_set_aside(service, layer) for layer in _forget_unused(service)]
    for folder in gone:
        layers.discard(folder)
    layers.sweep_large(service.places)


def _base(service: Service, session: Session, project: Project, snapshot: Snapshot, owner: int) -> Layer | None:
    """The layer that the one of `snapshot` is best made on: of the project itself, or that it is a fork by."""
    own = select(Snapshot.commit).where(Snapshot.project_id == project.id)
    query = select(Layer).where(Layer.base_id.is_(None), Layer.uid == owner).order_by(Layer.created_at.desc())
    candidates = list(session.scalars(query.where(Layer.commit.in_(own))))
    if project.layer_id:
        under = session.get_one(Layer, project.layer_id)
        candidates.append(under.base or under)
    repository = service.places.repository(project.id)
    for candidate in candidates:
        if candidate.uid == owner and layers.is_small_change(repository, candidate.commit, snapshot.commit):
            return candidate
    return None


def _forget_unused(service: Service) -> list[Layer]:
    with service.session() as session, session.begin():
        used = set(session.scalars(select(Project.layer_id).where(Project.layer_id.is_not(None))))
        published = (
            select(Snapshot.commit)
            .join(Project)
            .where(Project.published_id == Snapshot.id, Project.visibility != "private", Project.deleted_at.is_(None))
        )
        used |= set(session.scalars(select(Layer.id).where(Layer.commit.in_(published))))
        there = list(session.scalars(select(Layer)))
        used |= {layer.base_id for layer in there if layer.id in used}
        unused = [layer for layer in there if layer.id not in used]
        for layer in sorted(unused, key=lambda each: each.base_id is None):
            session.delete(layer)
            session.flush()
    return unused


def _set_aside(service: Service, layer: Layer) -> Path:
    folder = service.places.layers / layer.id
    return folder.rename(folder.with_suffix(".gone"))
