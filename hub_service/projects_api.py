"""The REST API of projects."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import StreamingResponse

from regrow.hub_service import finding, forking, large_files, making, offers, publishing, quotas, recycle_bin, snapshots
from regrow.hub_service.auth import check_scope, needs, viewer_of
from regrow.hub_service.large_objects import ProjectsLargeObjects
from regrow.hub_service.models import (
    Base,
    Decision,
    LargeFilesWanted,
    LineageModel,
    NewFork,
    NewOffer,
    NewProject,
    NewSnapshot,
    OfferModel,
    PointerModel,
    ProjectModel,
    Publication,
    SnapshotModel,
    UserModel,
    lineage_model,
    offer_model,
    project_model,
    snapshot_model,
)
from regrow.hub_service.registry.tables import Project
from regrow.hub_service.scopes import DELETE, FORK, PUBLISH, READ, WRITE
from regrow.hub_service.service import Service
from regrow.hub_service.streamed import Say, streamed
from regrow.hub_service.viewer import Viewer, owns

router = APIRouter(prefix="/api")

Reader = Annotated[Viewer, needs(READ)]
Writer = Annotated[Viewer, needs(WRITE)]
Forker = Annotated[Viewer, needs(FORK)]
Publisher = Annotated[Viewer, needs(PUBLISH)]
Deleter = Annotated[Viewer, needs(DELETE)]
_LINES: dict[str, Any] = {"application/jsonl": {}}


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


TheService = Annotated[Service, Depends(_service)]


async def _visitor(viewer: Annotated[Viewer, Depends(viewer_of)]) -> Viewer:
    """Somebody whose token has the scope to read, or nobody at all: public projects are everybody's to see."""
    if viewer.name:
        check_scope(viewer, READ)
    return viewer


Visitor = Annotated[Viewer, Depends(_visitor)]


def _model(service: Service, project: Project, viewer: Viewer) -> ProjectModel:
    with service.session() as session:
        merged = session.merge(project, load=True)
        return project_model(merged, viewer)


@router.get("/user")
def user(viewer: Reader, service: TheService) -> UserModel:
    """Who the token belongs to, and what they use of their quota."""
    return UserModel(
        name=viewer.name,
        groups=sorted(viewer.groups),
        is_admin=viewer.is_admin,
        bytes_used=quotas.bytes_used(service, viewer.name),
        bytes_left=quotas.bytes_left(service, viewer.name),
        store_id=service.store.id,
    )


@router.get("/projects")
def list_projects(
    viewer: Visitor,
    service: TheService,
    search: Annotated[str, Query(max_length=200)] = "",
    owner: Annotated[str, Query(max_length=255)] = "",
) -> list[ProjectModel]:
    """The projects that you may see, the last changed first: those whose owner, name or description has all words."""
    with service.session() as session:
        found = finding.shown_to(session, viewer, search, owner)
        return [project_model(each, viewer) for each in found]


@router.post("/projects", status_code=201)
def create_project(new: NewProject, viewer: Writer, service: TheService) -> ProjectModel:
    """A new private project with an empty repository. A folder for it is made by whoever asks."""
    return _model(service, making.create(service, viewer, new.name, new.description), viewer)


@router.get("/projects/{owner}/{name}")
def get_project(owner: str, name: str, viewer: Visitor, service: TheService) -> ProjectModel:
    """One project."""
    with service.session() as session:
        found = finding.find(session, viewer, owner, name)
        return project_model(found, viewer)


@router.get("/projects/{owner}/{name}/lineage")
def lineage(owner: str, name: str, viewer: Visitor, service: TheService) -> list[LineageModel]:
    """The tree of forks that a project is in, parents before their forks."""
    with service.session() as session:
        project = finding.find(session, viewer, owner, name)
        return [lineage_model(each, viewer) for each in finding.lineage(session, project)]


@router.get("/projects/{owner}/{name}/snapshots")
def list_snapshots(owner: str, name: str, viewer: Reader, service: TheService) -> list[SnapshotModel]:
    """The snapshots that the hub has, the newest first; of somebody else's project, the published one."""
    with service.session() as session:
        project = finding.find(session, viewer, owner, name)
        shown = [each for each in project.snapshots if owns(viewer, project) or each.id == project.published_id]
        return [snapshot_model(each) for each in reversed(shown)]


@router.post("/projects/{owner}/{name}/snapshots", status_code=201)
def add_snapshot(owner: str, name: str, new: NewSnapshot, viewer: Writer, service: TheService) -> SnapshotModel:
    """Note a state that was pushed to `refs/regrow/states/ID` of the project's repository."""
    project = _own(service, viewer, owner, name)
    return snapshot_model(snapshots.add(service, project, new.id, new.name, new.reason, new.branch, new.environment))


@router.post("/projects/{owner}/{name}/large-files", responses={200: {"content": _LINES}})
async def keep_large_files(
    owner: str, name: str, wanted: LargeFilesWanted, viewer: Writer, service: TheService
) -> StreamingResponse:
    """Have the hub read large files out of your project's folder. Says `{"kept": ...}` of each."""
    return streamed(
        lambda say: large_files.keep(service, _own(service, viewer, owner, name), wanted.folder, wanted.paths, say)
    )


@router.post("/projects/{owner}/{name}/large-files/missing")
def missing_large_files(
    owner: str, name: str, wanted: list[PointerModel], viewer: Reader, service: TheService
) -> list[PointerModel]:
    """Those of the large files that the project does not have."""
    with service.session() as session:
        project = finding.find(session, viewer, owner, name)
    there = ProjectsLargeObjects(service, project).has(each.oid for each in wanted)
    return [each for each in wanted if there.get(each.oid) != each.size]


@router.put("/projects/{owner}/{name}/publication", responses={200: {"content": _LINES}})
async def publish(
    owner: str, name: str, wanted: Publication, viewer: Publisher, service: TheService
) -> StreamingResponse:
    """Decide who sees the project, and in which state: a snapshot's, or the last one's. Results in the project."""

    def work(say: Say) -> Any:
        project = _own(service, viewer, owner, name)
        published = publishing.publish(
            service, project, wanted.visibility, wanted.team, viewer.groups, wanted.snapshot, _message(say)
        )
        return _model(service, published, viewer).model_dump(mode="json")

    return streamed(work)


@router.post("/projects/{owner}/{name}/forks", responses={200: {"content": _LINES}})
async def fork(owner: str, name: str, wanted: NewFork, viewer: Forker, service: TheService) -> StreamingResponse:
    """A project of your own that is what this one is, in your projects folder. Results in project and snapshot."""

    def work(say: Say) -> Any:
        with service.session() as session:
            source = finding.find(session, viewer, owner, name)
        made, snapshot = forking.fork(service, viewer, source, wanted.name, wanted.snapshot, _message(say))
        project = _model(service, made, viewer).model_dump(mode="json")
        return {"project": project, "snapshot": snapshot_model(snapshot).model_dump(mode="json")}

    return streamed(work)


@router.put("/projects/{owner}/{name}/base", status_code=204)
def set_base(owner: str, name: str, base: Base, viewer: Writer, service: TheService) -> None:
    """Note which published state of its parent a fork has merged."""
    project = _own(service, viewer, owner, name)
    with service.session() as session, session.begin():
        session.get_one(Project, project.id).base_commit = base.commit


@router.delete("/projects/{owner}/{name}", status_code=204)
def delete_project(owner: str, name: str, viewer: Deleter, service: TheService) -> None:
    """Put a project into the recycle bin, with the files in its owner's projects folder."""
    recycle_bin.delete(service, _own(service, viewer, owner, name))


@router.get("/recycle-bin")
def list_deleted(viewer: Reader, service: TheService) -> list[ProjectModel]:
    """Your deleted projects."""
    with service.session() as session:
        found = finding.shown_to(session, viewer, deleted=True)
        return [project_model(each, viewer) for each in found]


@router.post("/recycle-bin/{project_id}/restore")
def undelete(project_id: str, viewer: Deleter, service: TheService) -> ProjectModel:
    """Take a project out of the recycle bin."""
    return _model(service, recycle_bin.undelete(service, _deleted(service, viewer, project_id)), viewer)


@router.delete("/recycle-bin/{project_id}", status_code=204)
def purge(project_id: str, viewer: Deleter, service: TheService) -> None:
    """Remove a deleted project for good."""
    recycle_bin.purge(service, _deleted(service, viewer, project_id))


@router.post("/projects/{owner}/{name}/offers", status_code=201)
def offer(owner: str, name: str, new: NewOffer, viewer: Forker, service: TheService) -> OfferModel:
    """Offer a fork's snapshot (its last, where none is named) to the project that it is a fork of."""
    made = offers.make(service, viewer, _own(service, viewer, owner, name), new.snapshot, new.message)
    return _offer_model(service, viewer, made.id)


@router.get("/projects/{owner}/{name}/offers")
def list_offers(owner: str, name: str, viewer: Reader, service: TheService) -> list[OfferModel]:
    """What was offered to a project of yours, and what it offers itself, the newest first."""
    project = _own(service, viewer, owner, name)
    with service.session() as session:
        return [_shown(each) for each in offers.of(session, project)]


@router.put("/offers/{offer_id}")
def decide(offer_id: str, decision: Decision, viewer: Writer, service: TheService) -> OfferModel:
    """Accept or decline an offer to a project of yours, or withdraw your own."""
    offers.decide(service, viewer, offer_id, decision.state)
    return _offer_model(service, viewer, offer_id)


def _offer_model(service: Service, viewer: Viewer, offer_id: str) -> OfferModel:
    with service.session() as session:
        return _shown(offers.find(session, viewer, offer_id))


def _shown(offer: Any) -> OfferModel:
    return offer_model(offer, f"{offer.fork.owner}/{offer.fork.name}")


def _own(service: Service, viewer: Viewer, owner: str, name: str) -> Project:
    with service.session() as session:
        return finding.find_own(session, viewer, owner, name)


def _deleted(service: Service, viewer: Viewer, project_id: str) -> Project:
    with service.session() as session:
        return finding.find_deleted(session, viewer, project_id)


def _message(say: Say) -> Callable[[str], None]:
    return lambda message: say({"message": message})
