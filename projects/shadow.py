"""The git directory that snapshots are taken with: the project's objects, but none of its settings, index or branch.

A user's filters, attributes, line ends, hooks, sparse checkout and half-done merges are theirs; a snapshot has what is
in the files.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from regrow.projects.errors import NotAProject
from regrow.projects.git import git

IGNORE_FILE = ".regrowignore"
# Variables that came with a fork (`regrow.projects.variables`) are no files of the project's own.
_NEVER = b"\n/.regrow/state\n"


@dataclass(frozen=True)
class Shadow:
    """Runs git on the working tree of `project` with an index of our own. Made by `shadow`, which holds a lock."""

    project: Path
    folder: Path

    def git(self, *arguments: str, input: bytes = b"", environment: dict[str, str] | None = None) -> bytes:
        """What git prints. Raises `GitError`."""
        return git(
            self.project,
            f"--git-dir={self.folder / 'git'}",
            f"--work-tree={self.project}",
            *arguments,
            input=input,
            settings=(f"core.excludesFile={self.project / IGNORE_FILE}", "core.protectHFS=true"),
            environment={"GIT_OBJECT_DIRECTORY": str(git_folder(self.project) / "objects"), **(environment or {})},
        )


@contextlib.contextmanager
def shadow(project: Path) -> Iterator[Shadow]:
    """The project's shadow, for one process at a time; others wait. Raises `NotAProject`."""
    folder = git_folder(project) / "regrow"
    folder.mkdir(exist_ok=True)
    with (folder / "lock").open("w") as lock:
        # The kernel lets go of it when this process ends, however it ends.
        fcntl.flock(lock, fcntl.LOCK_EX)
        ours = folder / "git"
        if not (ours / "HEAD").exists():
            git(project, "init", "--quiet", "--bare", "--template=", str(ours))
        (ours / "info").mkdir(exist_ok=True)
        (ours / "info/attributes").write_text("* -text -eol -filter -ident -working-tree-encoding\n")
        users = git_folder(project) / "info/exclude"
        (ours / "info/exclude").write_bytes((users.read_bytes() if users.exists() else b"") + _NEVER)
        with contextlib.suppress(FileNotFoundError):
            (ours / "index.lock").unlink()  # of a process that was killed: we hold the lock
        yield Shadow(project, folder)


def git_folder(project: Path) -> Path:
    """The `.git` folder of `project`. Raises `NotAProject`."""
    folder = project / ".git"
    if not (folder / "objects").is_dir() or not os.access(folder, os.W_OK):
        raise NotAProject(f"{project} is not a project of yours: it has no .git folder that you can write.")
    return folder
