"""Who asks, and what of a project is theirs to see and to do."""

from __future__ import annotations

from dataclasses import dataclass

from regrow.hub_service.errors import Forbidden, NotFound
from regrow.hub_service.registry.tables import Project


@dataclass(frozen=True)
class Viewer:
    """A person of the hub with the scopes of their token, or nobody (`name` "").

    `id` tells them from somebody of the same name who was deleted before; it is "" before their first server.
    """

    name: str = ""
    id: str = ""
    groups: frozenset[str] = frozenset()
    is_admin: bool = False
    scopes: frozenset[str] = frozenset()


NOBODY = Viewer()


def owns(viewer: Viewer, project: Project) -> bool:
    """Whether `viewer` may do all with `project`."""
    is_theirs = bool(viewer.id) and (viewer.name, viewer.id) == (project.owner, project.owner_id)
    return is_theirs or (bool(viewer.name) and viewer.is_admin)


def sees(viewer: Viewer, project: Project) -> bool:
    """Whether `viewer` may see what of `project` is published."""
    shared_with = {
        "private": False,
        "team": project.team in viewer.groups,
        "hub": bool(viewer.name),
        "public": True,
    }
    return owns(viewer, project) or (not project.deleted_at and shared_with[project.visibility])


def check_sees(viewer: Viewer, project: Project | None, wanted: str) -> Project:
    """`project`, if `viewer` may see it. What they may not see is not there: raises `NotFound`."""
    if project is None or not sees(viewer, project):
        raise NotFound(f"There is no project {wanted} that you can see.")
    return project


def check_owns(viewer: Viewer, project: Project | None, wanted: str) -> Project:
    """`project`, if it is `viewer`'s. Raises `NotFound` or `Forbidden`."""
    found = check_sees(viewer, project, wanted)
    if not owns(viewer, found):
        raise Forbidden(f"{wanted} is {found.owner}'s: fork it to change it (%fork {wanted}).")
    return found
