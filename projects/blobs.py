"""What git has of files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from regrow.projects.errors import Damaged
from regrow.projects.git import git


def sizes(project: Path, blobs: Iterable[str]) -> dict[str, int]:
    """The bytes of each. Raises `Damaged` where one is missing."""
    output = git(project, "cat-file", "--batch-check", input="".join(f"{blob}\n" for blob in blobs).encode())
    found = {}
    for line in output.decode().splitlines():
        blob, *rest = line.split(" ")
        if len(rest) != 2:
            raise Damaged(f"The history of {project} is damaged: the object {blob} is missing. Try git fsck.")
        found[blob] = int(rest[1])
    return found


def contents(project: Path, blobs: Iterable[str]) -> dict[str, bytes]:
    """The content of each, all of which are there."""
    wanted = list(blobs)
    output = git(project, "cat-file", "--batch", input="".join(f"{blob}\n" for blob in wanted).encode())
    found, start = {}, 0
    for blob in wanted:
        end = output.index(b"\n", start)
        size = int(output[start:end].split()[2])
        found[blob] = output[end + 1 : end + 1 + size]
        start = end + 1 + size + 1
    return found
