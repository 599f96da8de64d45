"""States: what of a snapshot leaves the project, and what of an upstream project comes in.

A state is a commit on `refs/regrow/states/ID`, with the snapshot's id. Its tree is the snapshot's, with the attributes
by which clones get large files, and with variables of notebooks where the owner says so. Its parent is the commit that
the user's branch was at; earlier snapshots are not in its history, as they may have what the user has removed since.
"""

from __future__ import annotations

import contextlib
import re
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlsplit

from regrow.projects.attributes import with_large
from regrow.projects.errors import ProjectError
from regrow.projects.git import GitError, git
from regrow.projects.pointers import Pointer
from regrow.projects.printable import printable
from regrow.projects.shadow import Shadow
from regrow.projects.snapshot import Snapshot, head
from regrow.projects.variables import with_variables, without_variables

REFS = "refs/regrow/states"
PUBLISHED = "refs/heads/published"
UPSTREAM = "refs/regrow/upstream/published"
_MOST_TIPS = 16
_SETTINGS = {
    # A user's helpers would be told the caller's credentials, and a user's rewritten URLs get them.
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_ASKPASS": "",
    "GIT_ALLOW_PROTOCOL": "file:http:https",
}
_REFUSED = re.compile(r"^ ! \[(?:remote )?rejected\] +\S+ -> (?P<branch>\S+) \((?P<why>.*)\)$", re.MULTILINE)


class NotTransferred(ProjectError):
    """A state could not be sent or fetched."""


@dataclass(frozen=True)
class State:
    """A snapshot's state: its `id`, the commit, that one's tree, and the large files that it is not whole without.

    `warnings` are sentences on what a clone of it will not have.
    """

    id: str
    commit: str
    tree: str
    pointers: dict[str, Pointer]
    warnings: list[str] = field(default_factory=list)


def make_state(
    project: Path,
    snapshot: Snapshot,
    variables: Mapping[str, Pointer] | None = None,
    now: Callable[[], float] = time.time,
) -> State:
    """The state of `snapshot`, on its ref: the same each time, as long as the user's branches are.

    With `variables`, by notebook, it is another one, with an id of its own. Raises `ProjectError`.
    """
    files = without_variables(project, git(project, "rev-parse", f"{snapshot.commit}^{{tree}}").decode().strip())
    with_attributes = with_large(project, with_variables(project, files, variables) if variables else files)
    tree = git(project, "rev-parse", with_attributes.tree).decode().strip()
    about, _, message = git(project, "cat-file", "commit", snapshot.commit).partition(b"\n\n")
    who = [line for line in about.split(b"\n") if line.startswith((b"author ", b"committer ", b"encoding "))]
    branch = _branch_commit(project, snapshot.commit)
    parents = [f"parent {branch}".encode()] if branch else []
    content = b"\n".join([f"tree {tree}".encode(), *parents, *who, b"", message])
    commit = git(project, "hash-object", "-t", "commit", "-w", "--stdin", input=content).decode().strip()
    identity = f"{datetime.fromtimestamp(now(), UTC):%Y%m%dT%H%M%S.%fZ}-{commit[:8]}" if variables else snapshot.id
    git(project, "update-ref", f"{REFS}/{identity}", commit)
    return State(identity, commit, tree, with_attributes.pointers, with_attributes.warnings)


def push_state(
    project: Path,
    url: str,
    state: State,
    environment: Mapping[str, str],
    branches: bool = False,
    progress: Callable[[str], None] = lambda message: None,
) -> list[str]:
    """Send `state` to the repository at `url`, and the user's `branches` as well, and return which of those it refused.

    Credentials come only by `environment`, as git reads them from it (`GIT_CONFIG_COUNT`, `GIT_ASKPASS`). Large files
    are not sent. Raises `NotTransferred`; nothing here is changed.
    """
    _check(url)
    progress(f"Sending the snapshot {state.id}")
    with beside(project) as ours:
        variables = {**_SETTINGS, **environment}
        try:
            ours.git("push", "--quiet", "--", url, f"{state.commit}:{REFS}/{state.id}", environment=variables)
        except GitError as error:
            raise NotTransferred(
                f"The snapshot {state.id} could not be sent ({reason(error)}). It is kept here. Try again."
            ) from error
        if not branches:
            return []
        listed = git(project, "for-each-ref", "--format=%(objectname):%(refname)", "refs/heads")
        wanted = [
            one for one in listed.decode(errors="surrogateescape").splitlines() if not one.endswith(f":{PUBLISHED}")
        ]
        refused = []
        if len(wanted) < len(listed.splitlines()):
            refused.append("The branch published was not sent: publishing is what sets it there.")
        if not wanted:
            return refused
        progress(f"Sending {len(wanted)} branches")
        try:
            ours.git("push", "--quiet", "--", url, *wanted, environment=variables)
        except GitError as error:
            found = list(_REFUSED.finditer(error.output))
            if not found:
                raise NotTransferred(
                    f"The snapshot {state.id} was sent, but no branch ({reason(error)}). They are kept here. Try again."
                ) from error
            refused += [
                f"The branch {one['branch']} was not sent ({one['why']}): what is there has commits that yours does "
                "not have. Nothing was overwritten."
                if "fast-forward" in one["why"] or "fetch first" in one["why"]
                else f"The branch {one['branch']} was not sent ({one['why']})."
                for one in found
            ]
        return refused


def fetch_state(
    project: Path,
    url: str,
    environment: Mapping[str, str],
    ref: str = PUBLISHED,
    progress: Callable[[str], None] = lambda message: None,
) -> str:
    """Fetch the state that the project at `url` has published on `ref`, checked whole, and return its commit.

    It is on `refs/regrow/upstream/published` then. `environment` is as for `push_state`. Large files are not fetched.
    Raises `NotTransferred`; nothing is changed then.
    """
    _check(url)
    progress("Fetching what was published")
    with beside(project) as ours:
        # By refs: git does not hand over --negotiation-tip to an HTTP transport of version 0.
        known = "".join(f"create refs/known/{commit} {commit}\n" for commit in _known(project))
        try:
            git(project, "check-ref-format", ref)
            ours.git("update-ref", "--stdin", input=known.encode())
            ours.git(
                "-c", "transfer.fsckObjects=true", "fetch", "--quiet", "--no-tags", "--no-write-fetch-head",
                "--no-recurse-submodules", "--", url, f"{ref}:refs/heads/fetched",
                environment={**_SETTINGS, **environment},
            )  # fmt: skip
            commit = ours.git("rev-parse", "--verify", "refs/heads/fetched^{commit}").decode().strip()
        except GitError as error:
            raise NotTransferred(
                f"What was published could not be fetched ({reason(error)}). Nothing was changed."
            ) from error
    git(project, "update-ref", UPSTREAM, commit)
    return commit


@contextlib.contextmanager
def beside(project: Path) -> Iterator[Shadow]:
    """git with the objects of `project` and nothing else of it: no settings, hooks, refs or index. It needs no lock."""
    with tempfile.TemporaryDirectory() as folder:
        git(project, "init", "--quiet", "--bare", "--template=", f"{folder}/git")
        yield Shadow(project, Path(folder))


def reason(error: GitError) -> str:
    """What git said, in one line that a terminal can be given: some of it may be the other side's words."""
    return printable(error.output.splitlines()[-1] if error.output else str(error))


def _known(project: Path) -> set[str]:
    """Commits that the other side may have, too: the user's, upstream's, and the last states that were sent."""
    newest = ("for-each-ref", "--sort=-refname", f"--count={_MOST_TIPS}", "--format=%(objectname)")
    listed = [git(project, *newest, refs).decode().split() for refs in (REFS, "refs/regrow/upstream")]
    return {*([now] if (now := head(project)) else []), *listed[0], *listed[1]}


def _branch_commit(project: Path, snapshot: str) -> str | None:
    """The commit that the user's branch was at, or the last one before it that the user's branches still have."""
    if git(project, "rev-parse", "--is-shallow-repository").strip() == b"true":
        return None  # what the history lacks can't be sent
    now = head(project)
    if now and _merge_base(project, snapshot, now) == now:
        return now
    all_branches = git(project, "for-each-ref", "--format=%(objectname)", "refs/heads").decode().split()
    return _merge_base(project, snapshot, *([now] if now else []), *all_branches)


def _merge_base(project: Path, commit: str, *others: str) -> str | None:
    try:
        return git(project, "merge-base", commit, *others).decode().strip() if others else None
    except GitError as error:
        if error.status == 1:
            return None
        raise


def _check(url: str) -> None:
    if "@" in urlsplit(url).netloc:
        raise ValueError("Credentials in a URL are seen by everybody on the machine; they belong into the environment.")
