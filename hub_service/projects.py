"""What can be done with projects. Each operation is whole or not at all, whenever the service is killed.

The order that makes it so: what is on disk is there before the registry says it is whole, and stays until the registry
says that it is gone. What `Service.recover` finds in between at a start was cut off, and is taken back.
"""

from __future__ import annotations

import json
import logging
import shutil
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, Select, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from regrow.hub_service import layers, repositories, trees
from regrow.hub_service.errors import NotFound, OverQuota, Refused
from regrow.hub_service.places import Places
from regrow.hub_service.registry.tables import VISIBILITIES, LargeObject, Layer, Project, Snapshot, new_id, now
from regrow.hub_service.viewer import Viewer, check_owns, check_sees, owns
from regrow.projects.changes import pointers_of_tree
from regrow.projects.create import check_name
from regrow.projects.errors import ProjectError
from regrow.projects.git import GitError, git
from regrow.projects.pointers import Pointer
from regrow.projects.printable import printable
from regrow.store import NotKept, Store

Progress = Callable[[str], None]

_log = logging.getLogger(__name__)
_MOST_ENVIRONMENT_BYTES = 256 * 1024


@dataclass
class Limits:
    """What an administrator allows each user: bytes and number of projects (0: no limit), seconds in the bin."""

    bytes_per_user: int = 0
    projects_per_user: int = 0
    bin_s: float = 30 * 24 * 3600.0


@dataclass
class Service:
    """The projects of one deployment."""

    places: Places
    engine: Engine
    store: Store
    limits: Limits = field(default_factory=Limits)
    #: The URL of a project's repository, for those who clone it: told owner and name.
    clone_url: Callable[[str, str], str] = lambda owner, name: f"/git/{owner}/{name}.git"
    _layer_locks: dict[str, threading.Lock] = field(default_factory=lambda: defaultdict(threading.Lock))
    _layers_used: int = 0
    _sweep_lock: threading.Lock = field(default_factory=threading.Lock)
    # Between the store and the rows that say who needs what is in it.
    _large_lock: threading.Lock = field(default_factory=threading.Lock)

    def session(self) -> Session:
        """A session with the registry, to be used in a `with`."""
        return Session(self.engine, expire_on_commit=False)

    # Finding

    def find(self, session: Session, viewer: Viewer, owner: str, name: str) -> Project:
        """The project of that name, if `viewer` may see it. Raises `NotFound`."""
        return check_sees(viewer, self._live(session, owner, name), f"{owner}/{name}")

    def find_own(self, session: Session, viewer: Viewer, owner: str, name: str) -> Project:
        """The project of that name, if it is `viewer`'s to change. Raises `NotFound` or `Forbidden`."""
        return check_owns(viewer, self._live(session, owner, name), f"{owner}/{name}")

    def shown_to(
        self, session: Session, viewer: Viewer, search: str = "", owner: str = "", deleted: bool = False
    ) -> list[Project]:
        """The projects that `viewer` may see, the last changed first; those in the recycle bin only if asked for."""
        query = select(Project).where(Project.is_whole, Project.purged_at.is_(None)).order_by(Project.changed_at.desc())
        query = query.where(Project.deleted_at.is_not(None) if deleted else Project.deleted_at.is_(None))
        if owner:
            query = query.where(Project.owner == owner)
        for word in search.split():
            text = func.lower(Project.owner + "/" + Project.name + " " + Project.description)
            query = query.where(text.contains(word.lower(), autoescape=True))
        if not viewer.is_admin:
            query = query.where(
                ((Project.owner == viewer.name) & (Project.owner_id == viewer.id))
                | (Project.visibility == "public")
                | ((Project.visibility == "hub") & bool(viewer.name))
                | ((Project.visibility == "team") & Project.team.in_(viewer.groups))
            )
        found = session.scalars(query)
        return [project for project in found if not deleted or owns(viewer, project)]

    def lineage(self, session: Session, viewer: Viewer, project: Project) -> list[Project]:
        """All projects of the tree of forks that `project` is in, parents before their forks.

        Those that `viewer` may not see are among them where they connect others: their names must not be shown.
        """
        root = project
        while root.parent is not None:
            root = root.parent
        found, level = [root], [root]
        while level:
            below = session.scalars(select(Project).where(Project.parent_id.in_([each.id for each in level])))
            level = [each for each in below.unique() if each.is_whole]
            found += level
        return found

    # Making

    def create(self, viewer: Viewer, name: str, description: str = "") -> Project:
        """A new private project of `viewer`'s, with an empty repository. Raises `Refused`."""
        project = self._reserve(viewer, name, description)
        try:
            repositories.create(self.places.repository(project.id))
            return self._completed(project)
        except BaseException:
            self._undo(project)
            raise

    def _reserve(self, viewer: Viewer, name: str, description: str = "", **values: Any) -> Project:
        _check_name(name)
        if not viewer.id:
            raise Refused(f"{viewer.name} has no files on this hub yet. Start your server once, and try again.")
        with self.session() as session, session.begin():
            mine = select(func.count()).select_from(Project)
            mine = mine.where(Project.owner == viewer.name, Project.deleted_at.is_(None))
            most = self.limits.projects_per_user
            if most and (session.scalar(mine) or 0) >= most:
                raise OverQuota(f"You have {most} projects, which is as many as this hub allows. Delete one first.")
            project = Project(
                owner=viewer.name,
                owner_id=viewer.id,
                name=name,
                folded_name=name.casefold(),
                description=description,
                is_whole=False,
                **values,
            )
            session.add(project)
            try:
                session.flush()
            except IntegrityError as error:
                raise Refused(f"You have a project {name} already. Choose another name.") from error
        return project

    def _completed(self, project: Project, **values: Any) -> Project:
        with self.session() as session, session.begin():
            made = session.get_one(Project, project.id)
            for name, value in {**values, "is_whole": True}.items():
                setattr(made, name, value)
        return made

    # Snapshots

    def add_snapshot(
        self,
        project: Project,
        snapshot_id: str,
        name: str,
        reason: str,
        branch: str,
        environment: Mapping[str, Any],
    ) -> Snapshot:
        """Note the state `snapshot_id` that was pushed to the project's repository. Raises `Refused`."""
        repository = self.places.repository(project.id)
        ref = f"refs/regrow/states/{snapshot_id}"
        commit = repositories.refs(repository, "refs/regrow/states/").get(ref)
        if commit is None:
            raise Refused(f"{project.owner}/{project.name} has no state {snapshot_id}: it was not pushed.", 400)
        if not repositories.is_branch(branch):
            raise Refused(f"{printable(branch)!r} can't be a branch.", 400)
        _check_environment(environment)
        with self.session() as session, session.begin():
            there = set(session.scalars(select(LargeObject.oid).where(LargeObject.project_id == project.id)))
            missing = [p for p, pointer in pointers_of_tree(repository, commit).items() if pointer.oid not in there]
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

    def add_large(self, project: Project, pointers: Iterable[Pointer], inherited: bool = False) -> None:
        """Note that the project refers to large files that are in the store. Raises `Refused`."""
        with self._large_lock, self.session() as session, session.begin():
            there = set(session.scalars(select(LargeObject.oid).where(LargeObject.project_id == project.id)))
            for oid, pointer in {each.oid: each for each in pointers}.items():
                if oid not in there:
                    self._check_kept(pointer)
                    row = LargeObject(project_id=project.id, oid=oid, size=pointer.size, inherited=inherited)
                    session.add(row)

    def _check_kept(self, pointer: Pointer) -> None:
        try:
            self.store.recipe(pointer.name)
        except NotKept as error:
            # Whoever had it alone until now has deleted it for good, just before.
            raise Refused(f"The large file {pointer.oid[:16]}… was removed a moment ago. Try again.") from error

    def large(self, project: Project) -> ProjectsLargeObjects:
        """The large files of a project, for git-lfs."""
        return ProjectsLargeObjects(self, project)

    # Publishing

    def publish(
        self, project: Project, visibility: str, team: str, groups: frozenset[str], snapshot_id: str, progress: Progress
    ) -> Project:
        """Let others see the project as it is in a snapshot (its last, where none is named). Raises `Refused`."""
        if visibility not in VISIBILITIES:
            raise Refused(f"A project can be {', '.join(VISIBILITIES)}, not {visibility!r}.", 400)
        if visibility == "team" and team not in groups:
            raise Refused(
                f"You are in no group {team!r} of this hub." if team else "Name the group to share it with.", 400
            )
        snapshot = self.snapshot(project, snapshot_id) if visibility != "private" else None
        with self._using_layers():
            if snapshot:
                self.layer(project, snapshot, progress)
                repository = self.places.repository(project.id)
                before = repositories.refs(repository, repositories.PUBLISHED).get(repositories.PUBLISHED)
                repositories.set_ref(repository, repositories.PUBLISHED, snapshot.commit, before)
            with self.session() as session, session.begin():
                changed = session.get_one(Project, project.id)
                changed.visibility, changed.team = visibility, team if visibility == "team" else ""
                changed.changed_at = now()
                if snapshot:
                    changed.published_id = snapshot.id
        self.sweep_layers()
        return changed

    def snapshot(self, project: Project, snapshot_id: str = "") -> Snapshot:
        with self.session() as session:
            query = select(Snapshot).where(Snapshot.project_id == project.id).order_by(Snapshot.id.desc())
            if snapshot_id:
                query = query.where(Snapshot.id == snapshot_id)
            found = session.scalars(query).first()
        if found is None:
            which = f"no snapshot {snapshot_id}" if snapshot_id else "no snapshot yet"
            raise Refused(f"The hub has {which} of {project.owner}/{project.name}. Take one: %project snapshot")
        return found

    # Forks

    def layer(self, project: Project, snapshot: Snapshot, progress: Progress) -> Layer:
        """The layer of a snapshot, made if it is missing. It is there as long as `_using_layers`."""
        owner = self._user_id(project.owner)
        kind = trees.kind_for(self.places.trees)
        with self._layer_locks[snapshot.commit]:
            with self.session() as session:
                same = (Layer.commit == snapshot.commit, Layer.uid == owner)
                if (found := session.scalars(select(Layer).where(*same)).first()) is not None:
                    return found
                base = self._base(session, project, snapshot, owner) if kind == "overlay" else None
            made = Layer(id=new_id(), commit=snapshot.commit, uid=owner, base_id=base.id if base else None)
            state = layers.State(self.places.repository(project.id), snapshot.commit, snapshot.branch)
            under = (base.id, base.commit) if base else None
            # It takes minutes, in which no connection to the registry is held.
            layers.build(self.places, self.store, made.id, state, owner, under, progress)
            with self.session() as session, session.begin():
                session.add(made)
            return made

    @contextmanager
    def _using_layers(self) -> Iterator[None]:
        """While this lasts, layers stay that nothing in the registry stands on yet."""
        with self._sweep_lock:
            self._layers_used += 1
        try:
            yield
        finally:
            with self._sweep_lock:
                self._layers_used -= 1

    def _base(self, session: Session, project: Project, snapshot: Snapshot, owner: int) -> Layer | None:
        """The layer that the one of `snapshot` is best made on: of the project itself, or that it is a fork by."""
        own = select(Snapshot.commit).where(Snapshot.project_id == project.id)
        query = select(Layer).where(Layer.base_id.is_(None), Layer.uid == owner).order_by(Layer.created_at.desc())
        candidates = list(session.scalars(query.where(Layer.commit.in_(own))))
        if project.layer_id:
            under = session.get_one(Layer, project.layer_id)
            candidates.append(under.base or under)
        repository = self.places.repository(project.id)
        for candidate in candidates:
            if candidate.uid == owner and layers.is_small_change(repository, candidate.commit, snapshot.commit):
                return candidate
        return None

    def fork(
        self, viewer: Viewer, source: Project, name: str, snapshot_id: str, progress: Progress
    ) -> tuple[Project, Snapshot]:
        """A project of `viewer`'s own that is what `source` was at a snapshot, with a working tree. Raises `Refused`.

        Of somebody else's project only what is published can be forked.
        """
        mine = owns(viewer, source)
        if not mine and snapshot_id not in ("", source.published_id):
            raise NotFound(f"{source.owner}/{source.name} has no published snapshot {snapshot_id}.")
        if not mine and not source.published_id:
            raise Refused(f"{source.owner}/{source.name} has nothing published yet.")
        snapshot = self.snapshot(source, snapshot_id if mine else source.published_id)
        owner = self._user_id(viewer.name)
        kind = trees.kind_for(self.places.trees)
        _check_name(name)
        taken = self.places.projects_of(viewer.name) / name
        if taken.is_symlink() or taken.exists():
            raise Refused(f"There is something in your projects named {name} already. Choose another name.")
        project = self._reserve(
            viewer, name, source.description, parent_id=source.id, base_commit=snapshot.commit, tree=kind
        )
        try:
            with self._using_layers():
                layer = self.layer(source, snapshot, progress)
                if layer.uid != owner:
                    raise Refused("Your files belong to another user id than the project's: ask your administrator.")
                self._make_fork(project, source, snapshot, layer, progress)
                return self._completed(project, layer_id=layer.id), snapshot
        except BaseException as error:
            self._undo(project)
            if isinstance(error, trees.InUse):
                raise Refused(f"The fork can't be put into your projects: {error.strerror}.") from error
            raise

    def _make_fork(
        self, project: Project, source: Project, snapshot: Snapshot, layer: Layer, progress: Progress
    ) -> None:
        progress("Making the fork")
        chain = self._chain(layer)
        self._fork_repository(project, chain, snapshot)
        self._inherit(project, snapshot, source)
        config = _git_config(self.clone_url(project.owner, project.name), self.clone_url(source.owner, source.name))
        about = {"id": project.id, "owner": project.owner, "name": project.name}
        files = {".git/config": config, trees.ABOUT: json.dumps(about)}
        trees.make(self.places, project.id, project.tree, chain, files, layer.uid)
        trees.attach(self.places, project.id, project.tree, chain, project.owner, project.name, layer.uid)

    def _fork_repository(self, project: Project, chain: list[str], snapshot: Snapshot) -> None:
        head = _branch_head(self.places.layer_tree(chain[0]), snapshot.branch)
        refs = {f"refs/regrow/states/{snapshot.id}": snapshot.commit}
        if head:
            refs[f"refs/heads/{snapshot.branch}"] = head
        packs = [self.places.layer_tree(layer) / ".git/objects/pack" for layer in chain]
        repositories.fork(packs, refs, self.places.repository(project.id))

    def _inherit(self, project: Project, snapshot: Snapshot, source: Project) -> None:
        """What a fork's rows have of the project that it was made of."""
        pointers = set(pointers_of_tree(self.places.repository(project.id), snapshot.commit).values())
        if self.large(source).has(each.oid for each in pointers).keys() < {each.oid for each in pointers}:
            raise NotFound(f"{source.owner}/{source.name} was deleted meanwhile.")
        self.add_large(project, pointers, inherited=True)
        with self.session() as session, session.begin():
            session.add(
                Snapshot(
                    project_id=project.id,
                    id=snapshot.id,
                    commit=snapshot.commit,
                    name=snapshot.name,
                    reason="fork",
                    branch=snapshot.branch,
                    environment=snapshot.environment,
                )
            )

    def _chain(self, layer: Layer) -> list[str]:
        return [layer.id, *([layer.base_id] if layer.base_id else [])]

    def _user_id(self, user: str) -> int:
        """The system's user id of a user's files."""
        try:
            return self.places.projects_of(user).stat().st_uid
        except FileNotFoundError:
            raise Refused(f"{user} has no files on this hub yet. Start your server once, and try again.") from None

    # Deleting

    def delete(self, project: Project) -> None:
        """Put a project into the recycle bin, with its working tree. Raises `OSError`."""
        trees.detach(self.places, project.id, project.tree, project.owner, project.name)
        self._set_deleted(project, now())

    def undelete(self, project: Project) -> Project:
        """Take a project out of the recycle bin. Raises `Refused`."""
        self._set_deleted(project, None)
        try:
            self._put_back(project)
        except BaseException as error:
            self._set_deleted(project, project.deleted_at)
            if isinstance(error, trees.InUse):
                raise Refused(f"{project.name} can't be put back: {error.strerror}.") from error
            raise
        with self.session() as session:
            return session.get_one(Project, project.id)

    def _set_deleted(self, project: Project, at: datetime | None) -> None:
        with self.session() as session, session.begin():
            session.get_one(Project, project.id).deleted_at = at
            try:
                session.flush()
            except IntegrityError as error:
                raise Refused(
                    f"You have another project {project.name} now. Delete or rename that one first."
                ) from error

    def _put_back(self, project: Project) -> None:
        if project.tree == "overlay":
            self._attach(project)
        else:
            with suppress(FileNotFoundError):  # it had no working tree on this hub
                trees.put_back(self.places, project.id, project.owner, project.name)

    def _attach(self, project: Project) -> None:
        with self.session() as session:
            chain = self._chain(session.get_one(Layer, project.layer_id))
        owner = self._user_id(project.owner)
        trees.attach(self.places, project.id, project.tree, chain, project.owner, project.name, owner)

    def purge(self, project: Project) -> None:
        """Remove for good a project that is in the recycle bin. Its forks are not touched."""
        with self._large_lock:
            with self.session() as session, session.begin():
                gone = session.get_one(Project, project.id)
                gone.purged_at, gone.layer_id, gone.description = now(), None, ""
                gone.visibility, gone.published_id, gone.snapshots = "private", "", []
                lost = self._forget_large(session, gone)
            for oid in lost:
                with suppress(NotKept):
                    self.store.drop(Pointer(oid, 0).name)
        # Nobody sees it any more: what a stop leaves of it is removed at the next start.
        self._discard(project)
        self.sweep_layers()

    def purge_expired(self) -> None:
        """Remove for good what has been in the recycle bin for `Limits.bin_s`."""
        with self.session() as session:
            before = now() - timedelta(seconds=self.limits.bin_s)
            query = select(Project).where(Project.deleted_at < before, Project.purged_at.is_(None))
            expired = list(session.scalars(query))
        for project in expired:
            self.purge(project)

    def _discard(self, project: Project) -> None:
        trees.discard(self.places, project.id)
        shutil.rmtree(self.places.repository(project.id), ignore_errors=True)

    def _forget_large(self, session: Session, project: Project) -> list[str]:
        mine = select(LargeObject).where(LargeObject.project_id == project.id)
        oids = []
        for row in session.scalars(mine):
            oids.append(row.oid)
            session.delete(row)
        session.flush()
        return [
            oid for oid in oids if session.scalars(select(LargeObject).where(LargeObject.oid == oid)).first() is None
        ]

    def sweep_layers(self) -> None:
        """Remove the layers that no fork stands on and that nobody is about to fork.

        While forks are being made nothing is done: there is a next time.
        """
        with self._sweep_lock:
            if self._layers_used:
                return
            gone = [self._set_aside(layer) for layer in self._forget_unused_layers()]
        for folder in gone:
            layers.discard(folder)
        layers.sweep_large(self.places)

    def _forget_unused_layers(self) -> list[Layer]:
        with self.session() as session, session.begin():
            used = set(session.scalars(select(Project.layer_id).where(Project.layer_id.is_not(None))))
            published = (
                select(Snapshot.commit)
                .join(Project)
                .where(
                    Project.published_id == Snapshot.id, Project.visibility != "private", Project.deleted_at.is_(None)
                )
            )
            used |= set(session.scalars(select(Layer.id).where(Layer.commit.in_(published))))
            there = list(session.scalars(select(Layer)))
            used |= {layer.base_id for layer in there if layer.id in used}
            unused = [layer for layer in there if layer.id not in used]
            for layer in sorted(unused, key=lambda each: each.base_id is None):
                session.delete(layer)
                session.flush()
        return unused

    def _set_aside(self, layer: Layer) -> Path:
        folder = self.places.layers / layer.id
        return folder.rename(folder.with_suffix(".gone"))

    def retire(self, user: str) -> str:
        """Put what belonged to a deleted user of the same name into the recycle bin, under no name.

        Returns what tells `user` from that one: "" where they have no files yet, and nothing is done.
        """
        own = self.places.user_id(user)
        if not own:
            return ""
        with self.session() as session, session.begin():
            query = select(Project).where(Project.owner == user, Project.owner_id != own, Project.purged_at.is_(None))
            for project in session.scalars(query):
                if project.tree == "overlay":
                    trees.detach(self.places, project.id, project.tree, user, project.name)
                project.owner = f"{user} (deleted {project.owner_id[:8]})"
                project.deleted_at = project.deleted_at or now()
        return own

    def retire_all(self) -> None:
        """Do so for everybody who was deleted."""
        with self.session() as session:
            owners = set(session.scalars(select(Project.owner).where(Project.deleted_at.is_(None))))
        for owner in owners:
            self.retire(owner)

    # After a stop

    def recover(self) -> None:
        """Take back what was cut off, and mount the working trees of forks again. Call it once, at the start."""
        with self.session() as session:
            cut_off = list(session.scalars(select(Project).where(~Project.is_whole)))
            live = list(session.scalars(select(Project).where(Project.is_whole, Project.deleted_at.is_(None))))
        for project in cut_off:
            self._undo(project)
        self._remove_unknown()
        for project in live:
            try:
                if project.tree == "overlay" and not trees.mount_point(self.places, project.id):
                    self._attach(project)
                elif (self.places.bin / project.id).exists():  # its deletion was cut off
                    self._put_back(project)
            except (OSError, Refused) as error:
                _log.error("The files of %s/%s are not where they belong: %s", project.owner, project.name, error)

    def _remove_unknown(self) -> None:
        """Remove what operations that were cut off have left on disk."""
        with self.session() as session:
            there = list(session.scalars(select(Project).where(Project.purged_at.is_(None))))
            known = {
                self.places.repositories: {self.places.repository(each.id).name for each in there},
                self.places.trees: {each.id for each in there if each.tree == "overlay"},
                self.places.bin: {each.id for each in there},
                self.places.layers: set(session.scalars(select(Layer.id))),
            }
        for place, names in known.items():
            for left in place.iterdir():
                if left.name not in names:
                    try:
                        layers.discard(left)
                    except OSError as error:
                        _log.error("%s is of no use, and can't be removed: %s", left, error)
        self.sweep_layers()

    def _undo(self, project: Project) -> None:
        if project.tree == "overlay" or trees.is_of(self.places, project.id, project.owner, project.name):
            trees.detach(self.places, project.id, project.tree, project.owner, project.name)
        self._discard(project)
        with self.session() as session, session.begin():
            session.delete(session.get_one(Project, project.id))

    # Quotas

    def bytes_used(self, user: str) -> int:
        """What counts for a user's quota: their repositories, and large files that they brought, each once."""
        with self.session() as session:
            mine = list(session.scalars(_counted(user)))
        large = sum(self.brought(user).values())
        return large + sum(repositories.size_bytes(self.places.repository(project)) for project in mine)

    def brought(self, user: str) -> dict[str, int]:
        """The large files that count for a user's quota: oid and bytes."""
        query = select(LargeObject.oid, LargeObject.size)
        query = query.where(LargeObject.project_id.in_(_counted(user)), ~LargeObject.inherited)
        with self.session() as session:
            return {row.oid: row.size for row in session.execute(query)}

    def bytes_left(self, user: str) -> int | None:
        """How much more a user may bring, in bytes; None: as much as there is disk."""
        most = self.limits.bytes_per_user
        return max(0, most - self.bytes_used(user)) if most else None

    def _live(self, session: Session, owner: str, name: str) -> Project | None:
        query = select(Project).where(
            Project.owner == owner,
            Project.folded_name == name.casefold(),
            Project.deleted_at.is_(None),
            Project.is_whole,
        )
        return session.scalars(query).first()


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
        self.service.add_large(self.project, [Pointer(oid, size)])


def _counted(user: str) -> Select[str]:
    return select(Project.id).where(Project.owner == user, Project.purged_at.is_(None))


def _check_environment(environment: Mapping[str, Any]) -> None:
    try:
        size = len(json.dumps(environment, allow_nan=False))
    except ValueError as error:
        raise Refused(f"The description of the environment is not JSON: {error}.", 400) from error
    if size > _MOST_ENVIRONMENT_BYTES:
        raise Refused("The description of the environment is too long.", 400)


def _check_name(name: str) -> None:
    try:
        check_name(name)
    except ProjectError as error:
        raise Refused(str(error), 400) from error


def _branch_head(tree: Path, branch: str) -> str:
    """The commit that `branch` is at in a layer, or ""."""
    wanted = ("rev-parse", "--verify", "--quiet", f"refs/heads/{branch}")
    try:
        return git(tree, f"--git-dir={tree / '.git'}", *wanted).decode().strip()
    except GitError:
        return ""


def _git_config(origin: str, upstream: str) -> str:
    """The settings of a fork's repository. The names in the URLs are ours, letters and digits and `-` in them."""
    return (
        "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = false\n\tlogallrefupdates = true\n"
        f'[remote "origin"]\n\turl = {origin}\n\tfetch = +refs/heads/*:refs/remotes/origin/*\n'
        f'[remote "upstream"]\n\turl = {upstream}\n\tfetch = +refs/heads/*:refs/remotes/upstream/*\n'
    )
