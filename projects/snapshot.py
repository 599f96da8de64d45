"""Taking a snapshot: the working tree as a commit on a ref of Regrow's own, the user's index and branch untouched."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from regrow.projects.errors import BadName
from regrow.projects.git import GitError, git, lines
from regrow.projects.pointers import Pointer
from regrow.projects.scan import Scan, Stat, scan, stat_of
from regrow.projects.shadow import Shadow, git_folder, shadow
from regrow.store import Store
from regrow.store.writer import Writer

REFS = "refs/regrow/snapshots"
_NAME = re.compile(r"[^\x00-\x1f\x7f]{1,200}")
_TIME = "%Y%m%dT%H%M%S.%fZ"
_READ_AGAIN = 3


@dataclass(frozen=True)
class Snapshot:
    """A state of a project: `id` names it to people and in refs, `commit` to git.

    `reason` is why it was taken (`hand`, `timer`, `stop`, `fork`, `run`, `restore`); `name` what a person called it,
    or "".
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
    project: Path, store: Store, reason: str = "hand", name: str = "", now: Callable[[], float] = time.time
) -> Taken:
    """Take a snapshot of the working tree of `project`, large files into `store`.

    Honours `.gitignore` and `.regrowignore`. Raises `ProjectError`, and `regrow.store.StoreError` where the store can't
    take the large files; the project is then as it was.
    """
    if name and not _NAME.fullmatch(name):
        raise BadName(f"{name!r} can't be a snapshot's name: up to 200 characters, on one line.")
    with shadow(project) as ours:
        found = scan(project)
        warnings = [f"{path} is {what} and not in the snapshot." for path, what in sorted(found.strange.items())]
        empty = [path for path in found.nested if head(project / path) is None]
        warnings += [f"{path} is a repository without a commit and not in the snapshot." for path in empty]
        warnings += [
            f"{path} is a repository of its own: the snapshot has only which commit it is at."
            for path in found.nested
            if path not in empty
        ]
        with store.writer() as writer:
            large = _store_large(ours, found, writer, warnings)
        _index_large(ours, large)
        warnings += _index_small(ours, empty)
        return _commit(ours, reason, name, now(), warnings)


def head(project: Path) -> str | None:
    """The commit that the user's branch is at, None before the first."""
    try:
        return git(project, "rev-parse", "--verify", "--quiet", "HEAD^{commit}").decode().strip()
    except GitError:
        return None


def _store_large(ours: Shadow, found: Scan, writer: Writer, warnings: list[str]) -> dict[str, Pointer]:
    """Put what is new or has changed of the large files, and say what each one's pointer is."""
    ignored = _ignored(ours, list(found.large))
    known = _Known.read(ours)
    large = {}
    for path, stat in sorted(found.large.items()):
        if path in ignored:
            continue
        pointer = known.pointer(path, stat)
        if pointer is None:
            try:
                pointer, stat, steady = _put(ours.project / path, writer)
            except FileNotFoundError:
                continue  # removed meanwhile
            except OSError as error:
                warnings.append(f"{path} can't be read ({error.strerror}) and is not in the snapshot.")
                continue
            if steady:
                known.remember(path, stat, pointer)
            else:
                warnings.append(f"{path} was written to while it was read: the snapshot has a mixture.")
        large[path] = pointer
    writer.commit()
    known.write(ours, large)
    return large


def _put(file: Path, writer: Writer) -> tuple[Pointer, Stat, bool]:
    for _ in range(_READ_AGAIN):
        before = stat_of(file)
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        with io.FileIO(descriptor) as content:
            source = _Hashing(content)
            recipe = writer.put(source)
        pointer = Pointer(source.digest.hexdigest(), recipe.size)
        after = stat_of(file)
        if before == after:
            break
    writer.keep(pointer.name, recipe)
    return pointer, after, before == after


class _Hashing:
    """A stream whose SHA-256 is known when it has been read."""

    def __init__(self, content: io.FileIO) -> None:
        self._content = content
        self.digest = hashlib.sha256()

    def readinto(self, buffer: memoryview) -> int:
        count = self._content.readinto(buffer) or 0
        self.digest.update(buffer[:count])
        return count


@dataclass
class _Known:
    """What the last snapshot found each large file to be, so that only those that changed are read."""

    entries: dict[str, tuple[Stat, Pointer]]

    @classmethod
    def read(cls, ours: Shadow) -> _Known:
        try:
            content = json.loads((ours.folder / "large.json").read_text())
            entries = {path: (Stat(**stat), Pointer(**pointer)) for path, (stat, pointer) in content.items()}
        except (OSError, ValueError, TypeError, AttributeError):
            entries = {}  # only a cache
        return cls(entries)

    def pointer(self, path: str, stat: Stat) -> Pointer | None:
        entry = self.entries.get(path)
        return entry[1] if entry and entry[0] == stat else None

    def remember(self, path: str, stat: Stat, pointer: Pointer) -> None:
        self.entries[path] = (stat, pointer)

    def write(self, ours: Shadow, large: dict[str, Pointer]) -> None:
        kept = {
            path: (asdict(stat), asdict(pointer)) for path, (stat, pointer) in self.entries.items() if path in large
        }
        file = ours.folder / "large.json"
        new = file.with_suffix(".new")
        new.write_text(json.dumps(kept))
        new.replace(file)


def _ignored(ours: Shadow, paths: list[str]) -> set[str]:
    if not paths:
        return set()
    try:
        asked = b"\0".join(os.fsencode(path) for path in paths)
        return set(lines(ours.git("check-ignore", "--no-index", "-z", "--stdin", input=asked)))
    except GitError as error:
        if error.status == 1:  # none of them
            return set()
        raise


def _index_large(ours: Shadow, large: dict[str, Pointer]) -> None:
    """Have the pointers of large files in the index, marked so that git does not look at the files themselves."""
    there = _pointers_in_index(ours)
    blobs = _write_blobs(ours, {pointer for path, pointer in large.items()})
    wanted = {path: blobs[pointer] for path, pointer in large.items()}
    gone = there.keys() - wanted.keys()
    new = {path: blob for path, blob in wanted.items() if there.get(path) != blob}
    entries = [b"0 " + b"0" * 40 + b"\t" + os.fsencode(path) for path in gone]
    entries += [b"100644 " + blob.encode() + b"\t" + os.fsencode(path) for path, blob in new.items()]
    if entries:
        ours.git("update-index", "-z", "--index-info", input=b"".join(entry + b"\0" for entry in entries))
    if new:
        marked = b"".join(os.fsencode(path) + b"\0" for path in new)
        ours.git("update-index", "-z", "--skip-worktree", "--stdin", input=marked)


def _pointers_in_index(ours: Shadow) -> dict[str, str]:
    """The large files that the index has, with their blobs."""
    found = {}
    for line in lines(ours.git("ls-files", "-z", "-t", "--stage")):
        about, path = line.split("\t", 1)
        tag, _, blob, _ = about.split(" ")
        if tag == "S":
            found[path] = blob
    return found


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
    # Every file as if it were big: git then writes one pack in place of an object file for each.
    settings = ["-c", "core.bigFileThreshold=1"] if _is_first(ours) else []
    wanted = [".", *(f":(exclude,literal){path}" for path in without)]
    asked = b"".join(os.fsencode(path) + b"\0" for path in wanted)
    try:
        ours.git(
            *settings, "add", "--all", "--ignore-errors", "--pathspec-from-file=-", "--pathspec-file-nul", input=asked
        )
    except GitError as error:
        if "Permission denied" not in error.output:
            raise
        paths = re.findall(r'^error: open\("(.*)"\): (.*)$', error.output, re.MULTILINE)
        return [f"{path} can't be read ({why}) and is not in the snapshot." for path, why in paths]
    return []


def _is_first(ours: Shadow) -> bool:
    return not (ours.folder / "git/index").exists()


def _commit(ours: Shadow, reason: str, name: str, now: float, warnings: list[str]) -> Taken:
    tree = ours.git("write-tree").decode().strip()
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
    who = _identity(ours.project, at)
    message = f"{name or f'Snapshot ({reason})'}\n\nRegrow-Reason: {reason}\n" + (
        f"Regrow-Name: {name}\n" if name else ""
    )
    arguments = [part for parent in dict.fromkeys(parents) for part in ("-p", parent)]
    made = ours.git("commit-tree", tree, *arguments, input=message.encode(), identity=who).decode().strip()
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


def _identity(project: Path, at: datetime) -> dict[str, str]:
    """Who takes it: the user as git knows them, or Regrow."""
    settings = {}
    for key, default in (("name", "Regrow"), ("email", "regrow@localhost")):
        try:
            settings[key] = git(project, "config", f"user.{key}").decode().strip() or default
        except GitError:
            settings[key] = default
    stamp = f"{int(at.timestamp())} +0000"
    return {
        f"GIT_{role}_{what}": value
        for role in ("AUTHOR", "COMMITTER")
        for what, value in (("NAME", settings["name"]), ("EMAIL", settings["email"]), ("DATE", stamp))
    }
