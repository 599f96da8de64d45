"""Who sees a project, and in which state."""

from __future__ import annotations

from regrow.hub_service import repositories, shared_layers, snapshots
from regrow.hub_service.errors import Refused
from regrow.hub_service.registry.tables import VISIBILITIES, Project, now
from regrow.hub_service.service import Progress, Service


def publish(
    service: Service,
    project: Project,
    visibility: str,
    team: str,
    groups: frozenset[str],
    snapshot_id: str,
    progress: Progress,
) -> Project:
    """Let others see the project as it is in a snapshot (its last, where none is named). Raises `Refused`."""
    if visibility not in VISIBILITIES:
        raise Refused(f"A project can be {', '.join(VISIBILITIES)}, not {visibility!r}.", 400)
    if visibility == "team" and team not in groups:
        raise Refused(f"You are in no group {team!r} of this hub." if team else "Name the group to share it with.", 400)
    snapshot = snapshots.find(service, project, snapshot_id) if visibility != "private" else None
    with shared_layers.in_use(service):
        if snapshot:
            shared_layers.of(service, project, snapshot, progress)
            repository = service.places.repository(project.id)
            before = repositories.refs(repository, repositories.PUBLISHED).get(repositories.PUBLISHED)
            repositories.set_ref(repository, repositories.PUBLISHED, snapshot.commit, before)
        with service.session() as session, session.begin():
            changed = session.get_one(Project, project.id)
            changed.visibility, changed.team = visibility, team if visibility == "team" else ""
            changed.changed_at = now()
            if snapshot:
                changed.published_id = snapshot.id
    shared_layers.sweep(service)
    return changed
