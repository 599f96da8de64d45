"""What git has of files."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from regrow.projects.errors import Damaged
from regrow.projects.git import git


def sizes(project: Path, blobs: Iterable[str]) -> dict[str, int]:
    """The bytes of each. Raises `Damaged` where one is missing."""
    wanted = list(blobs)
    asked = "".join(f"{blob}\n" for blob in wanted).encode()
    output = git(project, "cat-file", "--batch-check=%(objectsize)", input=asked).split(b"\n")
    found = {}
    for blob, size in zip(wanted, output, strict=False):
        if not size.isdigit():
            raise Damaged(f"The history of {project} is damaged: the object {blob} is missing. Try git fsck.")
        found[blob] = int(size)
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
