"""Forks: a project of one's own that is what another one is, and costs what it changes."""

from __future__ import annotations

import json
from pathlib import Path

from regrow.hub_service import large_objects, layers, making, repositories, shared_layers, snapshots, trees
from regrow.hub_service.errors import NotFound, Refused
from regrow.hub_service.registry.tables import Layer, Project, Snapshot
from regrow.hub_service.service import Progress, Service
from regrow.hub_service.users_files import system_user
from regrow.hub_service.viewer import Viewer, owns
from regrow.projects.changes import pointers_of_tree
from regrow.projects.git import GitError, git
from regrow.projects.pointers import Pointer


def fork(
    service: Service, viewer: Viewer, source: Project, name: str, snapshot_id: str, progress: Progress
) -> tuple[Project, Snapshot]:
    """A project of `viewer`'s own that is what `source` was at a snapshot, with a working tree. Raises `Refused`.

    Of somebody else's project only what is published can be forked.
    """
    mine = owns(viewer, source)
    if not mine and snapshot_id not in ("", source.published_id):
        raise NotFound(f"{source.owner}/{source.name} has no published snapshot {snapshot_id}.")
    if not mine and not source.published_id:
        raise Refused(f"{source.owner}/{source.name} has nothing published yet.")
    snapshot = snapshots.find(service, source, snapshot_id if mine else source.published_id)
    owner = system_user(service.places, viewer.name)
    kind = trees.kind_for(service.places.trees)
    making.check_new_name(name)
    taken = service.places.projects_of(viewer.name) / name
    if taken.is_symlink() or taken.exists():
        raise Refused(f"There is something in your projects named {name} already. Choose another name.")
    values = {"parent_id": source.id, "base_commit": snapshot.commit, "tree": kind}
    project = making.reserve(service, viewer, name, source.description, **values)
    try:
        with shared_layers.in_use(service):
            layer = shared_layers.of(service, source, snapshot, progress)
            if layer.uid != owner:
                raise Refused("Your files belong to another user id than the project's: ask your administrator.")
            _make(service, project, source, snapshot, layer, progress)
            return making.completed(service, project, layer_id=layer.id), snapshot
    except BaseException as error:
        making.undo(service, project)
        if isinstance(error, trees.InUse):
            raise Refused(f"The fork can't be put into your projects: {error.strerror}.") from error
        raise


def _make(
    service: Service, project: Project, source: Project, snapshot: Snapshot, layer: Layer, progress: Progress
) -> None:
    progress("Making the fork")
    chain = shared_layers.chain(layer)
    _make_repository(service, project, chain, snapshot)
    _inherit(service, project, snapshot, source, _large_files(service, project, snapshot, layer))
    origin, upstream = (service.clone_url(each.owner, each.name) for each in (project, source))
    about = {"id": project.id, "owner": project.owner, "name": project.name}
    files = {".git/config": _git_config(origin, upstream), trees.ABOUT: json.dumps(about)}
    trees.make(service.places, project.id, project.tree, chain, files, layer.uid)
    trees.attach(service.places, project.id, project.tree, chain, project.owner, project.name, layer.uid)


def _make_repository(service: Service, project: Project, chain: list[str], snapshot: Snapshot) -> None:
    head = _branch_head(service.places.layer_tree(chain[0]), snapshot.branch)
    refs = {f"refs/regrow/states/{snapshot.id}": snapshot.commit}
    if head:
        refs[f"refs/heads/{snapshot.branch}"] = head
    packs = [service.places.layer_tree(layer) / ".git/objects/pack" for layer in chain]
    repository = service.places.repository(project.id)
    repositories.fork(packs, refs, repository)
    repositories.note_last(repository, snapshot.commit)


def _large_files(service: Service, project: Project, snapshot: Snapshot, layer: Layer) -> set[Pointer]:
    try:
        return layers.large_files(service.places, layer.id)
    except FileNotFoundError:  # a layer of an older version
        return set(pointers_of_tree(service.places.repository(project.id), snapshot.commit).values())


def _inherit(service: Service, project: Project, snapshot: Snapshot, source: Project, large: set[Pointer]) -> None:
    """What a fork's rows have of the project that it was made of."""
    wanted = {each.oid for each in large}
    if large_objects.ProjectsLargeObjects(service, source).has(wanted).keys() < wanted:
        raise NotFound(f"{source.owner}/{source.name} was deleted meanwhile.")
    large_objects.add(service, project, large, inherited=True)
    with service.session() as session, session.begin():
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
