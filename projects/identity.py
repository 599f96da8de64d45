"""Who commits."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from regrow.projects.git import GitError, git


def identity(project: Path, at: datetime) -> dict[str, str]:
    """The variables with which git commits at that time as the user as git knows them, else as Regrow."""
    settings = {}
    for key, default in (("name", "Regrow"), ("email", "regrow@localhost")):
        try:
            settings[key] = git(project, "config", f"user.{key}").decode(errors="replace").strip() or default
        except GitError:
            settings[key] = default
    stamp = f"{int(at.timestamp())} +0000"
    return {
        f"GIT_{role}_{what}": value
        for role in ("AUTHOR", "COMMITTER")
        for what, value in (("NAME", settings["name"]), ("EMAIL", settings["email"]), ("DATE", stamp))
    }
