"""git itself, run on a project: its plumbing, with nothing of the user's taste in the way."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from regrow.projects.errors import ProjectError

# What users set for themselves and would change what is stored: line ends, filters of whole trees, monitors, signing.
_SETTINGS = (
    "core.autocrlf=false",
    "core.safecrlf=false",
    "core.fsmonitor=false",
    "core.quotePath=false",
    "core.checkStat=default",
    "core.hooksPath=/dev/null",
    "commit.gpgSign=false",
    "gc.auto=0",
    "advice.addEmbeddedRepo=false",
    "advice.detachedHead=false",
)


class GitError(ProjectError):
    """git ended with an error: its exit `status`, and its whole `output`, of which the message is the last line."""

    def __init__(self, message: str, status: int, output: str) -> None:
        super().__init__(message)
        self.status = status
        self.output = output


def git(
    folder: Path,
    *arguments: str,
    input: bytes = b"",
    settings: tuple[str, ...] = (),
    environment: dict[str, str] | None = None,
) -> bytes:
    """What git prints, run in `folder` with further `settings` and variables. Raises `GitError`."""
    configured = [part for setting in (*_SETTINGS, *settings) for part in ("-c", setting)]
    variables = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    variables |= {"LC_ALL": "C.UTF-8", "GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0", **(environment or {})}
    done = subprocess.run(
        ["git", *configured, *arguments],
        cwd=folder,
        env=variables,
        input=input,
        capture_output=True,
    )
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip()
        raise GitError(said.splitlines()[-1] if said else f"git {arguments[0]} failed", done.returncode, said)
    return done.stdout


def lines(output: bytes) -> list[str]:
    """The entries of output that `-z` separates, as paths of the filesystem (also those that are not UTF-8)."""
    return [os.fsdecode(entry) for entry in output.split(b"\0") if entry]
