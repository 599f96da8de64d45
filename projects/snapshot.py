"""Taking a snapshot: the working tree as a commit on a ref of Regrow's own, the user's index and branch untouched."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from regrow.projects.errors import BadName
from regrow.projects.git import GitError, git
from regrow.projects.identity import identity
from regrow.projects.index import Index, Known, Large
from regrow.projects.large_files import LargeFiles, Progress
from regrow.projects.scan import Scan, scan
from regrow.projects.shadow import Shadow, git_folder, shadow

REFS = "refs/regrow/snapshots"
_NAME = re.compile(r"[^\x00-\x1f\x7f]{1,200}")
_TIME = "%Y%m%dT%H%M%S.%fZ"


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
        known = Known.read(ours, files.id)
        found = scan(ours, known.entries)
        empty = [path for path in found.nested if head(project / path) is None]
        warnings = [f"{path} is a repository without a commit and not in the snapshot." for path in empty]
        warnings += [
            f"{path} is a repository of its own: the snapshot has only which commit it is at."
            for path in found.nested
            if path not in empty
        ]
        index = Index(ours, known)
        index.remove([*found.gone, *(path for path in found.small if path in known.entries)])
        # Both wait for the disk and for the processor in turn.
        with ThreadPoolExecutor(1, "regrow-snapshot") as beside:
            small = beside.submit(index.put_small, found.small, [path for path in found.nested if path not in empty])
            large = _keep_large(ours, files, found, known, warnings, progress)
            warnings += small.result()
        # What is said to be left out is left out, also where an earlier version of it was small, or could be read.
        index.remove([path for path in found.large if path not in large])
        index.put_large(large)
        last = latest(project)
        tree = index.tree(_tree(project, last.commit) if last else "")
        return _commit(ours, tree, last, reason, name, now(), warnings)


def head(project: Path) -> str | None:
    """The commit that the user's branch is at, None before the first."""
    try:
        return git(project, "rev-parse", "--verify", "--quiet", "HEAD^{commit}").decode().strip()
    except GitError:
        return None


def _keep_large(
    ours: Shadow, files: LargeFiles, found: Scan, known: Known, warnings: list[str], progress: Progress
) -> Large:
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


def _commit(
    ours: Shadow, tree: str, last: Snapshot | None, reason: str, name: str, now: float, warnings: list[str]
) -> Taken:
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
