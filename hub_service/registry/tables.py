"""The tables of the registry."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, DateTime, ForeignKey, Index, String, Text, TypeDecorator, text
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

VISIBILITIES = ("private", "team", "hub", "public")

_LIVE = text("deleted_at IS NULL")


class UTCDateTime(TypeDecorator[datetime]):
    """A moment, in UTC in every database: SQLite keeps no time zones."""

    impl = DateTime
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value.astimezone(UTC).replace(tzinfo=None) if value else None

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value.replace(tzinfo=UTC) if value else None


def new_id() -> str:
    """A name for something new, fit to be a file's."""
    return secrets.token_hex(8)


def now() -> datetime:
    """This moment."""
    return datetime.now(UTC)


class Base(DeclarativeBase):
    """All tables."""

    type_annotation_map = {datetime: UTCDateTime, dict[str, Any]: JSON}


class Project(Base):
    """A project. `is_whole` is false while it is being made: one that is found so at a start was cut off, and goes.

    `owner_id` tells its owner from a user of the same name who was deleted before. `tree` is how its working tree was
    made: `plain` (by its owner), `reflink`, `overlay` or `copy` (by a fork).
    `base_commit` is the state of the parent that a fork was made from, or has merged since. `deleted_at` puts it into
    the recycle bin; with `purged_at` only this row is left, for the lineage of its forks.
    """

    __tablename__ = "project"
    __table_args__ = (
        # A name is free again when its project is in the recycle bin. `faces` and `Faces` are one file on some disks.
        Index("project_name", "owner", "folded_name", unique=True, sqlite_where=_LIVE, postgresql_where=_LIVE),
    )

    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=new_id)
    owner: Mapped[str] = mapped_column(String(255), index=True)
    owner_id: Mapped[str] = mapped_column(String(64), default="")
    name: Mapped[str] = mapped_column(String(100))
    folded_name: Mapped[str] = mapped_column(String(100))
    description: Mapped[str] = mapped_column(Text, default="")
    visibility: Mapped[str] = mapped_column(String(16), default="private")
    team: Mapped[str] = mapped_column(String(255), default="")
    created_at: Mapped[datetime] = mapped_column(default=now)
    changed_at: Mapped[datetime] = mapped_column(default=now)
    deleted_at: Mapped[datetime | None] = mapped_column(default=None)
    purged_at: Mapped[datetime | None] = mapped_column(default=None)
    is_whole: Mapped[bool] = mapped_column(default=True)
    tree: Mapped[str] = mapped_column(String(16), default="plain")
    layer_id: Mapped[str | None] = mapped_column(ForeignKey("layer.id"), default=None)
    parent_id: Mapped[str | None] = mapped_column(ForeignKey("project.id"), default=None, index=True)
    base_commit: Mapped[str] = mapped_column(String(64), default="")
    published_id: Mapped[str] = mapped_column(String(64), default="")

    parent: Mapped[Project | None] = relationship(remote_side=[id])
    snapshots: Mapped[list[Snapshot]] = relationship(
        back_populates="project", order_by="Snapshot.id", cascade="all, delete-orphan"
    )


class Snapshot(Base):
    """A state of a project that its owner sent to the hub. `commit` is on `refs/regrow/states/ID` of its repository.

    `branch` is the one that the owner was on; `environment` is what a fork needs to be told (docs/projects.md).
    """

    __tablename__ = "snapshot"

    project_id: Mapped[str] = mapped_column(ForeignKey("project.id", ondelete="CASCADE"), primary_key=True)
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    commit: Mapped[str] = mapped_column(String(64))
    name: Mapped[str] = mapped_column(String(200), default="")
    reason: Mapped[str] = mapped_column(String(16), default="hand")
    branch: Mapped[str] = mapped_column(String(255), default="main")
    taken_at: Mapped[datetime] = mapped_column(default=now)
    environment: Mapped[dict[str, Any]] = mapped_column(default=dict)

    project: Mapped[Project] = relationship(back_populates="snapshots")


class LargeObject(Base):
    """A large file that a project refers to: by these rows the store knows what to keep, and LFS who may have it.

    One that was `inherited` from the project that this is a fork of does not count for its owner's quota.
    """

    __tablename__ = "large_object"

    project_id: Mapped[str] = mapped_column(ForeignKey("project.id", ondelete="CASCADE"), primary_key=True)
    oid: Mapped[str] = mapped_column(String(64), primary_key=True, index=True)
    size: Mapped[int] = mapped_column(BigInteger)
    inherited: Mapped[bool] = mapped_column(default=False)


class StoredObject(Base):
    """A large file that this hub put into its store. Nothing else is ever removed from there: it is somebody else's.

    It is noted before it is there, at `begun_at`, and as long as it is.
    """

    __tablename__ = "stored_object"

    oid: Mapped[str] = mapped_column(String(64), primary_key=True)
    begun_at: Mapped[datetime] = mapped_column(default=now)


class Layer(Base):
    """A state's files on disk, never changed, that working trees of forks stand on, for one user id of the system.

    With a `base_id` it has only what is different from that layer.
    """

    __tablename__ = "layer"

    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=new_id)
    commit: Mapped[str] = mapped_column(String(64), index=True)
    uid: Mapped[int]
    base_id: Mapped[str | None] = mapped_column(ForeignKey("layer.id"), default=None)
    created_at: Mapped[datetime] = mapped_column(default=now)

    base: Mapped[Layer | None] = relationship(remote_side=[id])


class Offer(Base):
    """A fork's state, offered to its parent. `state` is `open`, `accepted`, `declined` or `withdrawn`."""

    __tablename__ = "offer"

    id: Mapped[str] = mapped_column(String(32), primary_key=True, default=new_id)
    project_id: Mapped[str] = mapped_column(ForeignKey("project.id", ondelete="CASCADE"), index=True)
    fork_id: Mapped[str] = mapped_column(ForeignKey("project.id", ondelete="CASCADE"), index=True)
    commit: Mapped[str] = mapped_column(String(64))
    base_commit: Mapped[str] = mapped_column(String(64))
    message: Mapped[str] = mapped_column(Text, default="")
    state: Mapped[str] = mapped_column(String(16), default="open")
    created_at: Mapped[datetime] = mapped_column(default=now)
    decided_at: Mapped[datetime | None] = mapped_column(default=None)

    project: Mapped[Project] = relationship(foreign_keys=[project_id])
    fork: Mapped[Project] = relationship(foreign_keys=[fork_id])
