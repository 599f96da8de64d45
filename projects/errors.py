"""What can go wrong with a project, said for the person who sees it."""

from __future__ import annotations


class ProjectError(Exception):
    """Base of all errors of `regrow.projects`. The project is as it was."""


class NotAProject(ProjectError):
    """That folder is not a project."""


class NoSuchSnapshot(ProjectError):
    """The project has no snapshot of that name."""


class BadName(ProjectError):
    """That can't be the name of a project or a snapshot."""


class Damaged(ProjectError):
    """The project's history can't be read."""


class ProjectExists(ProjectError):
    """There is something of that name already, or of one that differs only in upper and lower case."""


class Moved(ProjectError):
    """A ref is not where it was expected: somebody else has changed it meanwhile."""
