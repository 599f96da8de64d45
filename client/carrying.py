"""Variables of notebooks that go with a published project where its owner says so, and come with its forks."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import secrets
import shutil
import stat
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from regrow.client.hub import HubClient
from regrow.client.result import Result, table
from regrow.client.tables import size_text
from regrow.client.working import Progress, Working, of_folder, projects_folder
from regrow.projects.errors import ProjectError
from regrow.projects.pointers import Pointer
from regrow.projects.printable import printable
from regrow.projects.scan import Stat
from regrow.projects.variables import FOLDER, SUFFIX, path_of
from regrow.state.bundle import digest_of, for_others, write
from regrow.state.checkpoints import Checkpoints
from regrow.state.errors import StateError
from regrow.state.manifest import Manifest
from regrow.state.places import state_dir

#: Below the .git of a fork that was made with its parent's variables: the digest of each notebook's, by its path.
MARK = Path(".git/regrow/with_state.json")

# What we make there, and a file in it that is locked as long as its publication goes on.
_OURS = ".publishing-"
_LOCK = "lock"
# Until then it may not be locked yet.
_NEW_S = 60.0


@dataclass(frozen=True)
class Carried:
    """The variables of a notebook (its path in the project), as they were saved last."""

    notebook: str
    manifest: Manifest

    @property
    def rows(self) -> list[tuple[str, str, int]]:
        """The names of each group, their types, and its size in bytes; the largest first."""
        groups = sorted(self.manifest.groups, key=lambda group: (-group.size, group.names))
        return [
            (", ".join(each.names), ", ".join(dict.fromkeys(filter(None, each.types.values()))), each.size)
            for each in groups
        ]


@dataclass(frozen=True)
class Waiting:
    """Variables that came with a fork: their file, what authenticates it, and the project that they are in."""

    file: Path
    digest: str
    project: Working


def carried(working: Working, notebooks: Sequence[str] = ()) -> list[Carried]:
    """What is saved of the project's notebooks: of all, or of those at the paths `notebooks`. Raises `ProjectError`."""
    folder = working.folder
    wanted = [_inside(folder, notebook) for notebook in notebooks] or sorted(_notebooks(folder))
    found = []
    with Checkpoints(state_dir()) as checkpoints:
        for notebook in wanted:
            try:
                manifest = _last(checkpoints, folder, notebook)
            except StateError as error:
                raise ProjectError(f"What is saved of {printable(notebook)} can't be used: {error}.") from error
            if manifest is not None and manifest.names:
                found.append(Carried(notebook, manifest))
            elif notebooks:
                raise ProjectError(f"Nothing of {printable(notebook)} is saved. In it, `%checkpoint` saves it now.")
    return found


def code_of(wanted: Sequence[Carried]) -> str:
    """What stands for having seen the list of these: names, types and sizes."""
    seen = [[each.notebook, each.rows] for each in wanted]
    return hashlib.sha256(json.dumps(seen).encode("utf-8", "surrogatepass")).hexdigest()[:8]


def listing(wanted: Sequence[Carried]) -> Result:
    """The list for the owner to look at."""
    rows = [(each.notebook, names, types, size_text(size)) for each in wanted for names, types, size in each.rows]
    return table(("notebook", "variables", "type", "size"), rows, (3,))


@contextlib.contextmanager
def kept_by_hub(
    hub: HubClient, working: Working, wanted: Sequence[Carried], progress: Progress
) -> Iterator[dict[str, Pointer]]:
    """Have the hub keep the variables, and yield their pointers by notebook. In the block their files are there, too.

    Raises `ProjectError` or `HubError`.
    """
    # The hub reads large files there and nowhere else. Beside those that came with a fork, which may be in use.
    place = _folder_of(working) / f"{_OURS}{secrets.token_hex(8)}"
    remove_left_over(working)
    lock = -1
    try:
        place.mkdir(parents=True, mode=0o700)
        lock = _locked(place)
        files = {each.notebook: _write(place, number, each, working, progress) for number, each in enumerate(wanted)}
        by_path = {str(file.relative_to(working.folder)): notebook for notebook, file in files.items()}
        seen = {path: Stat.of((working.folder / path).lstat()) for path in by_path}
        found: dict[str, Pointer] = {}
        large = working.large_files(hub)
        for kept in large.keep(
            working.folder, seen, lambda path, size: progress(f"Keeping {by_path[path]}'s variables")
        ):
            if kept.pointer is None:
                raise ProjectError(f"The variables of {by_path[kept.path]} could not be sent ({kept.error}).")
            found[by_path[kept.path]] = kept.pointer
        if found.keys() != files.keys():
            raise ProjectError("The variables could not be sent: their files went away. Nothing was published.")
        yield found
    finally:
        shutil.rmtree(place, ignore_errors=True)
        if lock >= 0:
            os.close(lock)
        for folder in (working.folder / FOLDER, (working.folder / FOLDER).parent):
            with contextlib.suppress(OSError):  # there is something in it
                folder.rmdir()


def mark(folder: Path) -> list[str]:
    """Note in the fork in `folder` that its parent's variables, as they came with it, are to be its notebooks'.

    Returns the notebooks. Raises `ProjectError`.
    """
    digests: dict[str, str] = {}
    if _is_elsewhere(folder):
        return []
    for file in sorted((folder / FOLDER).rglob(f"*{SUFFIX}")):
        notebook = str(file.relative_to(folder / FOLDER)).removesuffix(SUFFIX)
        try:
            digests[notebook] = digest_of(file)
        except (StateError, OSError) as error:
            raise ProjectError(f"The variables of {printable(notebook)} can't be read: {error}") from error
    if digests:
        (folder / MARK).write_text(json.dumps({"notebooks": digests}))
    return list(digests)


def waiting_for(notebook: Path) -> Waiting | None:
    """The variables that came with a fork for `notebook`, one of its notebooks."""
    notebook = notebook.resolve()
    for folder in notebook.parents:
        if not (folder / MARK).is_file():
            continue
        path = str(notebook.relative_to(folder))
        try:
            digest = json.loads((folder / MARK).read_text())["notebooks"].get(path)
            file = folder / path_of(path)
            if digest and file.is_file():
                return Waiting(file, str(digest), of_folder(folder))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, ProjectError):
            return None
    return None


def parent_of(hub: HubClient, project: Working) -> str:
    """OWNER/NAME of the project that `project` is a fork of, as the hub has it; "" where there is none to see."""
    return str(hub.project(project.owner, project.name)["parent"])


def remove_left_over(working: Working) -> None:
    """Remove what publications that were killed have left in the project's folder."""
    if _is_elsewhere(working.folder):
        return
    for each in (working.folder / FOLDER).glob(f"{_OURS}*"):
        with contextlib.suppress(OSError):  # it goes on, or is gone by now
            about = each.lstat()
            if stat.S_ISDIR(about.st_mode) and time.time() - about.st_mtime > _NEW_S:
                lock = _locked(each)
                shutil.rmtree(each, ignore_errors=True)
                os.close(lock)


def _locked(place: Path) -> int:
    """The lock of a publication, which ends with its process. Raises `OSError` where another one has it."""
    descriptor = os.open(place / _LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _is_elsewhere(folder: Path) -> bool:
    """Whether what a project has in the place of variables is none of its folders: projects are others' work, too."""
    places = ((folder / FOLDER).parent, folder / FOLDER)
    return any(place.is_symlink() or (place.exists() and not place.is_dir()) for place in places)


def _folder_of(working: Working) -> Path:
    if _is_elsewhere(working.folder):
        raise ProjectError(
            f"{FOLDER} in {working.folder} is a link or a file, or below one. Variables pass through a folder of that "
            "name: move it away first. Nothing was sent or changed."
        )
    return working.folder / FOLDER


def _notebooks(folder: Path) -> Iterator[str]:
    for above, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (str((Path(above) / name).relative_to(folder)) for name in files if name.endswith(".ipynb"))


def _inside(folder: Path, notebook: str) -> str:
    path = (Path.cwd() / notebook).resolve()
    if not path.is_relative_to(folder) or not path.is_file():
        raise ProjectError(f"{printable(notebook)} is no notebook of the project in {folder}.")
    return str(path.relative_to(folder))


def _last(checkpoints: Checkpoints, folder: Path, notebook: str) -> Manifest | None:
    """The newest checkpoint of a notebook, under any of the paths by which its kernel may know it."""
    homes = [folder.parent, projects_folder(), Path.home() / "projects"]
    if chosen := os.environ.get("REGROW_PROJECTS"):
        homes.append(Path(chosen))
    found = [
        (entry.at, path, entry)
        for path in {home / folder.name / notebook for home in homes}
        for entry in checkpoints.entries(path)[-1:]
    ]
    if not found:
        return None
    _, path, entry = max(found, key=lambda each: each[0])
    return checkpoints.read(path, entry)


def _write(place: Path, number: int, each: Carried, working: Working, progress: Progress) -> Path:
    progress(f"Collecting the variables of {each.notebook}")
    file = place / f"{number}{SUFFIX}"
    try:
        with Checkpoints(state_dir()) as checkpoints, file.open("xb") as output:
            write(output, for_others(each.manifest, _root(each, working), _sources(working, each)), checkpoints)
    except StateError as error:
        raise ProjectError(f"The variables of {each.notebook} can't be read: {error}") from error
    return file


def _root(each: Carried, working: Working) -> Path:
    """The project's folder as the notebook's kernel calls it."""
    kernels = Path(each.manifest.notebook)
    depth = len(Path(each.notebook).parts)
    return kernels.parents[depth - 1] if len(kernels.parents) >= depth else working.folder


def _sources(working: Working, each: Carried) -> set[str]:
    try:
        cells = json.loads((working.folder / each.notebook).read_text())["cells"]
        return {"".join(cell["source"]).strip() for cell in cells if cell["cell_type"] == "code"}
    except (OSError, ValueError, KeyError, TypeError):
        return set()
