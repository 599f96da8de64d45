"""What differs between two states of a project."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from regrow.projects.git import git
from regrow.projects.pointers import MOST_BYTES, Pointer, parse

EXECUTABLE = 0o100755
SYMLINK = 0o120000
REPOSITORY = 0o160000


@dataclass(frozen=True)
class File:
    """A path's state: git's mode (0 where there is nothing) and the name of the blob."""

    mode: int
    blob: str


@dataclass(frozen=True)
class Change:
    """What `path` was, and what it is."""

    path: str
    before: File
    after: File

    @property
    def kind(self) -> str:
        """`added`, `removed` or `changed`."""
        return "added" if not self.before.mode else "changed" if self.after.mode else "removed"


def changes(project: Path, before: str, after: str, paths: tuple[str, ...] = ()) -> list[Change]:
    """The paths that differ from commit or tree `before` to `after`: all, or those at or below `paths`, by path.

    Raises `ProjectError`.
    """
    output = git(
        project, "--literal-pathspecs", "diff-tree", "-r", "-z", "--raw", "--no-abbrev", "--no-renames", before, after,
        "--", *paths,
    )  # fmt: skip
    fields = output.split(b"\0")
    found = []
    for about, path in zip(fields[0::2], fields[1::2], strict=False):
        old_mode, new_mode, old_blob, new_blob, _ = about.decode().removeprefix(":").split(" ")
        before_file, after_file = File(int(old_mode, 8), old_blob), File(int(new_mode, 8), new_blob)
        found.append(Change(os.fsdecode(path), before_file, after_file))
    return found


class Blobs:
    """Reads blobs of a project, through one git process."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdin and process.stdout
        self._ask: IO[bytes] = process.stdin
        self._answer: IO[bytes] = process.stdout

    def read(self, blob: str) -> bytes:
        """What git has: a file's content, a link's target, or a pointer. Raises `KeyError` where there is nothing."""
        self._ask.write(f"{blob}\n".encode())
        self._ask.flush()
        answer = self._answer.readline().split()
        if len(answer) != 3:
            raise KeyError(blob)
        size = int(answer[2])
        content = self._answer.read(size)
        self._answer.read(1)
        return content

    def pointer(self, file: File) -> Pointer | None:
        """The pointer that stands for `file` in git, or None where git has the content."""
        if not file.mode or file.mode in (SYMLINK, REPOSITORY):
            return None
        content = self.read(file.blob)
        return parse(content) if len(content) <= MOST_BYTES else None


@contextlib.contextmanager
def blobs(project: Path) -> Iterator[Blobs]:
    """A reader of the project's blobs."""
    process = subprocess.Popen(
        ["git", "cat-file", "--batch"],
        cwd=project,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield Blobs(process)
    finally:
        process.stdin.close()  # type: ignore[union-attr]
        process.stdout.close()  # type: ignore[union-attr]
        process.wait()
