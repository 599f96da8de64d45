"""What the REST API takes and gives, as its OpenAPI description says it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from regrow.hub_service.registry.tables import Offer, Project, Snapshot
from regrow.hub_service.viewer import Viewer, owns, sees

Visibility = Literal["private", "team", "hub", "public"]
# What would steer a terminal, or can't be in PostgreSQL (NUL), is no text.
Line = Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]*$")]
Text = Annotated[str, Field(pattern=r"^[^\x00-\x08\x0b\x0c\x0e-\x1f\x7f]*$")]


class Model(BaseModel):
    """The common part: unknown fields are a mistake."""

    model_config = ConfigDict(extra="forbid")


class NewProject(Model):
    name: str
    description: Text = Field("", max_length=2000)


class SnapshotModel(Model):
    """A state of a project that the hub has. `commit` is git's name of it."""

    id: str
    commit: str
    name: str
    reason: str
    branch: str
    taken_at: datetime
    environment: dict[str, Any]


class ProjectModel(Model):
    """A project. `parent` is the project that it is a fork of, as OWNER/NAME, or "" where there is none to see."""

    id: str
    owner: str
    name: str
    description: str
    visibility: Visibility
    team: str
    created_at: datetime
    changed_at: datetime
    deleted_at: datetime | None
    is_own: bool
    tree: str
    parent: str
    base_commit: str
    published: SnapshotModel | None


class LineageModel(Model):
    """One project of a tree of forks. `name` is "" where the viewer may not see it."""

    id: str
    parent_id: str | None
    name: str
    owner: str
    created_at: datetime
    deleted: bool


class NewSnapshot(Model):
    id: str = Field(pattern=r"^[0-9]{8}T[0-9]{6}\.[0-9]{6}Z-[0-9a-f]{8}$")
    name: Line = Field("", max_length=200)
    reason: str = Field("hand", pattern=r"^[a-z]{1,16}$")
    branch: Line = Field("main", max_length=255)
    environment: dict[str, Any] = {}


class LargeFilesWanted(Model):
    """Paths of large files in the owner's project folder `folder`, to be read and kept by the hub."""

    folder: str = Field(max_length=255)
    paths: list[str] = Field(max_length=100_000)


class PointerModel(Model):
    oid: str = Field(pattern=r"^[0-9a-f]{64}$")
    size: int = Field(ge=0)


class Publication(Model):
    visibility: Visibility
    team: Line = ""
    snapshot: Line = ""


class NewFork(Model):
    name: str
    snapshot: Line = ""


class Base(Model):
    commit: str = Field(pattern=r"^[0-9a-f]{40}$")


class NewOffer(Model):
    snapshot: Line = ""
    message: Text = Field("", max_length=2000)


class Decision(Model):
    state: Literal["accepted", "declined", "withdrawn"]


class OfferModel(Model):
    """What a fork offers to its parent: fetch `ref` from the parent's repository, and merge it from `base_commit`."""

    id: str
    project: str
    fork: str
    commit: str
    base_commit: str
    ref: str
    message: str
    state: str
    created_at: datetime
    decided_at: datetime | None


class UserModel(Model):
    """Who asks, their quota in bytes (None: no limit), and which store has the large files."""

    name: str
    groups: list[str]
    is_admin: bool
    bytes_used: int
    bytes_left: int | None
    store_id: str


def snapshot_model(snapshot: Snapshot) -> SnapshotModel:
    """A snapshot as the API shows it."""
    fields = ("id", "commit", "name", "reason", "branch", "taken_at", "environment")
    return SnapshotModel(**{name: getattr(snapshot, name) for name in fields})


def project_model(project: Project, viewer: Viewer) -> ProjectModel:
    """A project as the API shows it to `viewer`."""
    published = next((each for each in project.snapshots if each.id == project.published_id), None)
    parent = project.parent
    fields = ("id", "owner", "name", "description", "visibility", "team", "created_at", "changed_at", "deleted_at")
    return ProjectModel(
        **{name: getattr(project, name) for name in fields},
        is_own=owns(viewer, project),
        tree=project.tree,
        parent=f"{parent.owner}/{parent.name}" if parent and sees(viewer, parent) else "",
        base_commit=project.base_commit,
        published=snapshot_model(published) if published and project.visibility != "private" else None,
    )


def lineage_model(project: Project, viewer: Viewer) -> LineageModel:
    """A project as a part of a lineage: without its name, where `viewer` may not see it."""
    shown = sees(viewer, project)
    return LineageModel(
        id=project.id,
        parent_id=project.parent_id,
        name=project.name if shown else "",
        owner=project.owner if shown else "",
        created_at=project.created_at,
        deleted=project.deleted_at is not None,
    )


def offer_model(offer: Offer, fork: str) -> OfferModel:
    """An offer as the API shows it."""
    fields = ("id", "commit", "base_commit", "message", "state", "created_at", "decided_at")
    return OfferModel(
        **{name: getattr(offer, name) for name in fields},
        project=f"{offer.project.owner}/{offer.project.name}",
        fork=fork,
        ref=f"refs/regrow/offers/{offer.id}",
    )
