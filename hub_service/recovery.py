"""What is done once, before the service answers: what a stop has cut off is taken back or finished."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import select

from regrow.hub_service import layers, making, recycle_bin, shared_layers, trees
from regrow.hub_service.errors import Refused
from regrow.hub_service.registry.tables import Layer, Project
from regrow.hub_service.service import Service

_log = logging.getLogger(__name__)


def recover(service: Service) -> None:
    """Take back what was cut off, and mount the working trees of forks again."""
    with service.session() as session:
        projects = list(session.scalars(select(Project).where(Project.purged_at.is_(None))))
    for project in projects:
        if not project.is_whole:
            with _logged(project):
                making.undo(service, project)
    _remove_unknown(service)
    for project in projects:
        if project.is_whole:
            with _logged(project):
                _put_in_place(service, project)


@contextmanager
def _logged(project: Project) -> Iterator[None]:
    """What can't be done for one project does not keep the others from being served."""
    try:
        yield
    except (OSError, Refused) as error:
        _log.error("The files of %s/%s are not where they belong: %s", project.owner, project.name, error)


def _put_in_place(service: Service, project: Project) -> None:
    places = service.places
    if project.deleted_at and project.tree == "overlay":
        # A power cut can bring back what was removed before the registry, on another disk, was told.
        trees.remove_left(places, project.owner, project.name, project.deleted_at)
    elif not project.deleted_at and project.tree == "overlay":
        if not trees.mount_point(places, project.id):
            recycle_bin.put_back(service, project)
    elif not project.deleted_at and (places.bin / project.id).exists():  # its deletion was cut off
        recycle_bin.put_back(service, project)


def _remove_unknown(service: Service) -> None:
    """Remove what operations that were cut off have left on disk."""
    places = service.places
    with service.session() as session:
        there = list(session.scalars(select(Project).where(Project.purged_at.is_(None))))
        known = {
            places.repositories: {places.repository(each.id).name for each in there},
            places.trees: {each.id for each in there if each.tree == "overlay"},
            places.bin: {each.id for each in there},
            places.layers: set(session.scalars(select(Layer.id))),
        }
    for place, names in known.items():
        for left in place.iterdir():
            if left.name not in names:
                try:
                    layers.discard(left)
                except OSError as error:
                    _log.error("%s is of no use, and can't be removed: %s", left, error)
    shared_layers.sweep(service)
