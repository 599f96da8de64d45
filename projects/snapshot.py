"""Taking a snapshot: the working tree as a commit on a ref of Regrow's own, the user's index and branch untouched."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from dulwich.objects import ObjectID

from regrow.projects.errors import BadName
from regrow.projects.git import GitError, git
from regrow.projects.identity import identity
from regrow.projects.large_files import LargeFiles, Progress
from regrow.projects.packing import pack, pack_trees, write_index
from regrow.projects.pointers import Pointer
from regrow.projects.scan import Scan, Stat, scan
from regrow.projects.shadow import Shadow, git_folder, shadow

REFS = "refs/regrow/snapshots"
_NAME = re.compile(r"[^\x00-\x1f\x7f]{1,200}")
_TIME = "%Y%m%dT%H%M%S.%fZ"
# From this many files on, packs are written sooner than an object file for each.
_MANY = 200


@dataclass(frozen=True)
class Snapshot:
    """A state of a project: `id` names it to people and in refs, `commit` to git.

    `reason` is why it was taken (`hand`, `timer`, `stop`, `publish`, `fork`, `sync`, `offer`, `restore`, `diff`);
    `name` what a person called it, or "".
    """

    id: str
    commit: str
    taken_at: datetime
    reason: str
    name: str


@dataclass(frozen=True)
class Taken:
    """A snapshot that was just taken, or the last one where nothing has changed since (`is_new` false).

    `warnings` are sentences on what it does not have as a user might think.
    """

    snapshot: Snapshot
    is_new: bool
    warnings: list[str] = field(default_factory=list)


def take(
    project: Path,
    files: LargeFiles,
    reason: str = "hand",
    name: str = "",
    now: Callable[[], float] = time.time,
    progress: Progress = lambda path, size: None,
) -> Taken:
    """Take a snapshot of the working tree of `project`, large files into `files`.

    Honours `.gitignore` and `.regrowignore`. Raises `ProjectError`, and what `files` raises where it can't keep a file;
    the project is then as it was.
    """
    if name and not _NAME.fullmatch(name):
        raise BadName(f"{name!r} can't be a snapshot's name: up to 200 characters, on one line.")
    with shadow(project) as ours:
        known = _Known.read(ours, files.id)
        found = scan(ours, known.entries)
        empty = [path for path in found.nested if head(project / path) is None]
        warnings = [f"{path} is a repository without a commit and not in the snapshot." for path in empty]
        warnings += [
            f"{path} is a repository of its own: the snapshot has only which commit it is at."
            for path in found.nested
            if path not in empty
        ]
        # Both wait for the disk and for the processor in turn.
        with ThreadPoolExecutor(1) as beside:
            packing = beside.submit(_pack_many, ours, found)
            large = _keep_large(ours, files, found, known, warnings, progress)
            is_new = packing.result()
        _index_large(ours, large, known)
        warnings += _index_small(ours, empty)
        tree = _pack_trees(ours) if is_new else ours.git("write-tree").decode().strip()
        return _commit(ours, tree, reason, name, now(), warnings)


def head(project: Path) -> str | None:
    """The commit that the user's branch is at, None before the first."""
    try:
        return git(project, "rev-parse", "--verify", "--quiet", "HEAD^{commit}").decode().strip()
    except GitError:
        return None


def _keep_large(
    ours: Shadow, files: LargeFiles, found: Scan, known: _Known, warnings: list[str], progress: Progress
) -> dict[str, tuple[Stat, Pointer]]:
    """Keep what is new or has changed of the large files, and say what each one's pointer is."""
    there = {path: known.entries[path] for path, seen in found.large.items() if known.has(path, seen)}
    new = {path: seen for path, seen in sorted(found.large.items()) if path not in there}
    for kept in files.keep(ours.project, new, progress) if new else ():
        if kept.pointer is None:
            warnings.append(f"{kept.path} can't be read ({kept.error}) and is not in the snapshot.")
            continue
        if not kept.steady:
            warnings.append(f"{kept.path} was written to while it was read: the snapshot has a mixture.")
        # What was read may be old already: then it is read again the next time.
        there[kept.path] = (kept.stat if kept.steady else new[kept.path], kept.pointer)
    return there


@dataclass
class _Known:
    """The large files that the index has, and what each was when it was read into the store of that id."""

    store: str
    entries: dict[str, tuple[Stat, Pointer]]

    def has(self, path: str, seen: Stat) -> bool:
        """Whether the file at `path` is what was read then."""
        return path in self.entries and self.entries[path][0] == seen

    @classmethod
    def read(cls, ours: Shadow, store: str) -> _Known:
        try:
            content = json.loads((ours.folder / "large.json").read_text())
            if content["store"] != store:
                raise ValueError("they are in another store")
            files = content["files"].items()
            entries = {path: (Stat(**stat), Pointer(**pointer)) for path, (stat, pointer) in files}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            # What the index has is not known then. Both are only caches.
            (ours.folder / "git/index").unlink(missing_ok=True)
            entries = {}
        return cls(store, entries)

    def write(self, ours: Shadow) -> None:
        files = {path: (asdict(stat), asdict(pointer)) for path, (stat, pointer) in self.entries.items()}
        file = ours.folder / "large.json"
        new = file.with_suffix(".new")
        new.write_text(json.dumps({"store": self.store, "files": files}))
        new.replace(file)


def _index_large(ours: Shadow, large: dict[str, tuple[Stat, Pointer]], known: _Known) -> None:
    """Have the pointers of large files in the index, marked so that git does not look at the files themselves."""
    there = {path: (pointer, stat.executable) for path, (stat, pointer) in known.entries.items()}
    wanted = {path: (pointer, stat.executable) for path, (stat, pointer) in large.items()}
    new = {path: pointer for path, (pointer, executable) in wanted.items() if there.get(path) != (pointer, executable)}
    gone = there.keys() - wanted.keys()
    # While the index is being changed, what is known of it is nothing.
    (ours.folder / "large.json").unlink(missing_ok=True)
    entries = [b"0 " + b"0" * 40 + b"\t" + os.fsencode(path) for path in gone]
    blobs = _write_blobs(ours, set(new.values())) if new else {}
    for path, pointer in new.items():
        mode = b"100755 " if large[path][0].executable else b"100644 "
        entries.append(mode + blobs[pointer].encode() + b"\t" + os.fsencode(path))
    if entries:
        ours.git("update-index", "-z", "--index-info", input=b"".join(entry + b"\0" for entry in entries))
    record_large(ours, large, list(new), known.store)


def record_large(ours: Shadow, large: dict[str, tuple[Stat, Pointer]], new: list[str], kept_in: str) -> None:
    """Note which large files the index has the pointers of; git is told to not look at those that are `new`."""
    if new:
        marked = b"".join(os.fsencode(path) + b"\0" for path in new)
        ours.git("update-index", "-z", "--assume-unchanged", "--stdin", input=marked)
    _Known(kept_in, large).write(ours)


def _write_blobs(ours: Shadow, pointers: set[Pointer]) -> dict[Pointer, str]:
    folder = ours.folder / "pointers"
    folder.mkdir(exist_ok=True)
    try:
        files = {pointer: folder / pointer.oid for pointer in pointers}
        for pointer, file in files.items():
            file.write_bytes(pointer.encode())
        asked = "".join(f"{file}\n" for file in files.values()).encode()
        blobs = ours.git("hash-object", "-w", "--no-filters", "--stdin-paths", input=asked).decode().split()
    finally:
        for file in folder.iterdir():
            file.unlink()
    return dict(zip(files, blobs, strict=True))


def _index_small(ours: Shadow, without: list[str]) -> list[str]:
    """Have all else in the index, but for the folders `without`, and say what could not be read."""
    wanted = [".", *(f":(exclude,literal){path}" for path in without)]
    asked = b"".join(os.fsencode(path) + b"\0" for path in wanted)
    try:
        ours.git("add", "--all", "--ignore-errors", "--pathspec-from-file=-", "--pathspec-file-nul", input=asked)
    except GitError as error:
        if "Permission denied" not in error.output:
            raise
        paths = re.findall(r'^error: open\("(.*)"\): (.*)$', error.output, re.MULTILINE)
        return [f"{path} can't be read ({why}) and is not in the snapshot." for path, why in paths]
    return []


def _pack_trees(ours: Shadow) -> str:
    """The index as a tree, in a pack."""
    entries = []
    for line in ours.git("ls-files", "-z", "--stage").split(b"\0")[:-1]:
        about, path = line.split(b"\t", 1)
        mode, blob, _ = about.split(b" ")
        entries.append((path, ObjectID(blob), int(mode, 8)))
    return pack_trees(git_folder(ours.project) / "objects", entries)


def _pack_many(ours: Shadow, found: Scan) -> bool:
    """Put new and changed files into packs, if they are many, for `git add` to find. Whether the index is new."""
    if len(found.small) < _MANY:
        return False
    packed = pack(ours.project, git_folder(ours.project) / "objects", found.small)
    index = ours.folder / "git/index"
    if index.exists():
        return False
    write_index(index, packed)
    return True


def _commit(ours: Shadow, tree: str, reason: str, name: str, now: float, warnings: list[str]) -> Taken:
    last = latest(ours.project)
    branch = head(ours.project)
    if last and not name and _tree(ours.project, last.commit) == tree and _descends(ours.project, last.commit, branch):
        return Taken(last, False, warnings)
    parents = [commit for commit in (last.commit if last else None, branch) if commit]
    if last and _descends(ours.project, last.commit, branch):
        parents = [last.commit]
    at = datetime.fromtimestamp(now, UTC)
    if last and at <= last.taken_at:  # a clock that was set back
        at = last.taken_at + timedelta(microseconds=1)
    who = identity(ours.project, at)
    message = f"{name or f'Snapshot ({reason})'}\n\nRegrow-Reason: {reason}\n" + (
        f"Regrow-Name: {name}\n" if name else ""
    )
    arguments = [part for parent in dict.fromkeys(parents) for part in ("-p", parent)]
    made = ours.git("commit-tree", tree, *arguments, input=message.encode(), environment=who).decode().strip()
    identifier = f"{at.strftime(_TIME)}-{made[:8]}"
    git(ours.project, "update-ref", f"{REFS}/{identifier}", made)
    return Taken(Snapshot(identifier, made, at, reason, name), True, warnings)


def latest(project: Path) -> Snapshot | None:
    """The snapshot that was taken last."""
    found = snapshots(project, most=1)
    return found[0] if found else None


def snapshots(project: Path, most: int | None = None) -> list[Snapshot]:
    """The project's snapshots, the newest first. Raises `ProjectError`."""
    form = "%(refname)%00%(objectname)%00%(contents)%00%00"
    count = [f"--count={most}"] if most else []
    output = git(git_folder(project).parent, "for-each-ref", *count, "--sort=-refname", f"--format={form}", REFS)
    return [_parse(record) for record in output.decode(errors="replace").split("\0\0\n") if record]


def _parse(record: str) -> Snapshot:
    ref, commit, message = record.split("\0", 2)
    identifier = ref.removeprefix(f"{REFS}/")
    trailers = dict(re.findall(r"^Regrow-(Reason|Name): (.*)$", message, re.MULTILINE))
    at = datetime.strptime(identifier.partition("-")[0], _TIME).replace(tzinfo=UTC)
    return Snapshot(identifier, commit, at, trailers.get("Reason", "hand"), trailers.get("Name", ""))


def _tree(project: Path, commit: str) -> str:
    return git(project, "rev-parse", f"{commit}^{{tree}}").decode().strip()


def _descends(project: Path, commit: str, from_commit: str | None) -> bool:
    """Whether `commit` has `from_commit` (or nothing) in its history."""
    if from_commit is None:
        return True
    try:
        git(project, "merge-base", "--is-ancestor", from_commit, commit)
    except GitError as error:
        if error.status == 1:
            return False
        raise
    return True
