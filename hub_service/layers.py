"""Layers: the files of a state, made once, never changed, that any number of forks' working trees stand on.

A layer is a whole project: its `.git` has the objects that the state refers to and no others, an index that knows the
files, and no setting. Nothing is made for a fork but what is different from its layer. A layer on another one has only
the differences, as overlayfs keeps them: the chain is never longer than two.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from regrow.hub_service.mounts import MERGED, mount_overlay, unmount
from regrow.hub_service.places import Places
from regrow.projects.changes import EXECUTABLE, changes, pointers_of_tree
from regrow.projects.checkout import NOTHING, check_out, settle
from regrow.projects.errors import Damaged
from regrow.projects.git import GitError, git
from regrow.projects.pointers import Pointer
from regrow.projects.variables import FOLDER as VARIABLES
from regrow.projects.variables import own_files, variables_of
from regrow.store import Store

#: In a fork: the state of its parent that it was made from, or has merged last.
BASE_REF = "refs/regrow/upstream/base"

Progress = Callable[[str], None]

_PACKS = Path(".git/objects/pack")
# Beside a layer's tree: what large files its state has. To look for them takes time for each of its files.
_LARGE = "large.json"


@dataclass(frozen=True)
class State:
    """A commit of a bare repository, and the branch that its author was on."""

    repository: Path
    commit: str
    branch: str


def build(
    places: Places,
    store: Store,
    layer_id: str,
    state: State,
    owner: int,
    base: tuple[str, str] | None,
    progress: Progress,
) -> None:
    """Make the layer `layer_id` of a state, its files belonging to user `owner`.

    On `base`, another layer's id and commit, only what is different is made. All or nothing. Raises `ProjectError`,
    `StoreError` or `OSError`.
    """
    new = places.layers / f"{layer_id}.new"
    discard(new)
    tree = new / "tree"
    try:
        (tree / _PACKS).mkdir(parents=True)
        os.chown(tree, owner, owner)
        progress("Collecting its history")
        plain = _plain(state.repository, state.commit)
        before = _plain(state.repository, base[1]) if base else NOTHING
        found = changes(state.repository, before, plain)
        large = pointers_of_tree(state.repository, plain)
        variables = variables_of(state.repository, state.commit)
        both = {*large.values(), *variables.values()}
        (new / _LARGE).write_text(json.dumps(sorted((each.oid, each.size) for each in both)))
        _pack(state, plain, base[1] if base else "", tree / _PACKS)
        # Before it is mounted: what layers share can't be linked into a mount.
        for change in found:
            if pointer := large.get(change.path):
                _check_path(change.path)
                progress(f"Writing {change.path}")
                executable = change.after.mode == EXECUTABLE
                _link_large(places, store, pointer, executable, owner, tree / change.path)
        # Beside the project's own files: no index of the project's knows them.
        for path, pointer in variables.items():
            _check_path(path)
            progress(f"Writing {path}")
            _link_large(places, store, pointer, False, owner, tree / path)
        with _on_top(places.layer_tree(base[0]), new) if base else nullcontext(tree) as project:
            _remove_others(project, variables)
            head = _parent(state)
            _put_refs(project, state, head)
            progress("Writing its files")
            written = [each.path for each in found if each.after.mode and each.path not in large]
            check_out(project, plain, written, [each.path for each in found if not each.after.mode])
            progress("Handing it over")
            give(project, owner)
            settle(project, large, store.id)
            _index_head(project, head, large)
            give(project / ".git", owner)
        # What forks stand on is on the disk before it is in the registry.
        subprocess.run(["sync", "--file-system", str(tree)], check=True)
        new.rename(places.layers / layer_id)
    except BaseException:
        discard(new)
        raise


def discard(layer: Path) -> None:
    """Remove what is left of a layer that nothing stands on, or of anything else that `Service` has made."""
    if (layer / MERGED).is_mount():
        unmount(layer / MERGED)
    if layer.is_dir() and not layer.is_symlink():
        shutil.rmtree(layer)
    else:
        layer.unlink(missing_ok=True)


def large_files(places: Places, layer_id: str) -> set[Pointer]:
    """The large files of the state that a layer is of."""
    return {Pointer(oid, size) for oid, size in json.loads((places.layers / layer_id / _LARGE).read_text())}


def sweep_large(places: Places) -> None:
    """Remove the large files that no layer has any more."""
    with _locked(places.large / "lock"):
        for file in places.large.glob("*/*"):
            if file.stat().st_nlink == 1:
                file.unlink()


def is_small_change(repository: Path, base: str, commit: str) -> bool:
    """Whether a layer of `commit` is better made on one of `base`: few of its files are different."""
    try:
        different = len(changes(repository, base, commit))
    except GitError:
        return False  # that state is not in this repository
    files = git(repository, "ls-tree", "-r", "-z", "--name-only", commit).count(b"\0")
    return different * 4 < files


def _remove_others(project: Path, variables: Mapping[str, Pointer]) -> None:
    """Of what the layer below has of variables, only those that this one has, too, are there.

    A link is never followed, wherever it is: it is a stranger's, and we may be root.
    """
    place = project / VARIABLES
    if place.parent.is_symlink():
        return  # a link of the project's own
    if place.is_symlink() or place.is_file():
        place.unlink()
        return
    for above, folders, files in os.walk(place):
        for file in (Path(above, name) for name in (*folders, *files)):
            is_folder = file.is_dir() and not file.is_symlink()
            if not is_folder and str(file.relative_to(project)) not in variables:
                file.unlink()


@contextmanager
def _on_top(base: Path, new: Path) -> Iterator[Path]:
    merged, work = new / MERGED, new / "work"
    merged.mkdir()
    work.mkdir()
    descriptor = os.open(merged, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        mount_overlay([base], new / "tree", work, descriptor)
    finally:
        os.close(descriptor)
    try:
        yield merged
    finally:
        unmount(merged)
        merged.rmdir()
        shutil.rmtree(work)


def give(folder: Path, owner: int) -> None:
    """Have `folder` and all below belong to `owner`. What does already is not touched, its times least of all."""
    for above, folders, files in os.walk(folder):
        for path in (Path(above), *(Path(above, name) for name in (*folders, *files))):
            if path.lstat().st_uid != owner:
                os.chown(path, owner, owner, follow_symlinks=False)


def _plain(repository: Path, commit: str) -> str:
    return own_files(repository, git(repository, "rev-parse", f"{commit}^{{tree}}").decode().strip())


def _parent(state: State) -> str:
    """The commit that the state's author was at, or ""."""
    return git(state.repository, "log", "-1", "--format=%P", state.commit).decode().split(" ")[0].strip()


def _pack(state: State, plain: str, base: str, folder: Path) -> None:
    """All objects of a state that its base does not have, in a pack that git leaves as it is."""
    without = f"^{base}\n" if base and _has(state.repository, base) else ""
    wanted = f"{state.commit}\n{plain}\n{without}".encode()
    command = ("pack-objects", "--revs", "--quiet", str(folder / "pack"))
    for name in git(state.repository, *command, input=wanted).decode().split():
        (folder / f"pack-{name}.keep").write_text("A layer of Regrow's: git leaves it as it is.\n")


def _put_refs(project: Path, state: State, head: str) -> None:
    folder = project / ".git"
    git(project, "init", "--quiet", "--template=", f"--initial-branch={state.branch}", ".")
    (folder / "info").mkdir(exist_ok=True)
    (folder / "info/exclude").write_text(f"/{VARIABLES}\n")
    (folder / "HEAD").write_text(f"ref: refs/heads/{state.branch}\n")
    refs = {BASE_REF: state.commit, **({f"refs/heads/{state.branch}": head} if head else {})}
    lines = "".join(f"{refs[ref]} {ref}\n" for ref in sorted(refs))
    (folder / "packed-refs").write_text(f"# pack-refs with: sorted\n{lines}")


def _has(repository: Path, commit: str) -> bool:
    try:
        git(repository, "cat-file", "-e", f"{commit}^{{commit}}")
    except GitError:
        return False
    return True


def _index_head(project: Path, head: str, large: dict[str, Pointer]) -> None:
    """The user's own index, as after a commit: made of ours, which knows the files."""
    index = project / ".git/index"
    index.unlink(missing_ok=True)
    if not head:
        return
    shutil.copyfile(project / ".git/regrow/git/index", index)
    # The folder is somebody else's by now, and ours alone to write.
    ours = partial(git, project, settings=("safe.directory=*",))
    ours("read-tree", "-m", "-i", head)
    there = set(ours("ls-files", "-z").split(b"\0"))
    marked = b"".join(os.fsencode(path) + b"\0" for path in large if os.fsencode(path) in there)
    if marked:
        ours("update-index", "-z", "--no-assume-unchanged", "--stdin", input=marked)


def _check_path(path: str) -> None:
    if {".", "..", ".git"} & set(path.lower().split("/")):
        raise Damaged(f"The project has a file named {path!r}, which no project can have.")


def _link_large(places: Places, store: Store, pointer: Pointer, executable: bool, owner: int, target: Path) -> None:
    shared = places.large / pointer.oid[:2] / f"{pointer.oid}-{owner}{'x' if executable else ''}"
    shared.parent.mkdir(exist_ok=True)
    target.parent.mkdir(parents=True, exist_ok=True)
    with _locked(places.large / "lock"):
        if not shared.exists():
            new = shared.with_suffix(".new")
            with new.open("wb") as file:
                for part in store.chunks(store.recipe(pointer.name)):
                    file.write(part)
            os.chown(new, owner, owner)
            new.chmod(0o755 if executable else 0o644)
            new.rename(shared)
        os.link(shared, target)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
