"""What the service says no to, for the person who asked."""

from __future__ import annotations

import errno

from sqlalchemy.exc import OperationalError

from regrow.projects.errors import ProjectError
from regrow.projects.git import GitError
from regrow.store import StoreError, StoreFull

_FULL = (errno.ENOSPC, errno.EDQUOT)
# As git, the C library and SQLite say it.
_SAID_OF_FULL = ("Out of diskspace", "No space left on device", "disk is full")


class Refused(Exception):
    """The request can't be done; `status` is HTTP's. Nothing was changed."""

    def __init__(self, message: str, status: int = 409) -> None:
        super().__init__(message)
        self.status = status


class NotFound(Refused):
    """There is nothing of that name that the person who asks may see."""

    def __init__(self, message: str) -> None:
        super().__init__(message, 404)


class Forbidden(Refused):
    """It is there, and not theirs to change."""

    def __init__(self, message: str) -> None:
        super().__init__(message, 403)


class OverQuota(Refused):
    """A limit that the administrator has set is reached."""

    def __init__(self, message: str) -> None:
        super().__init__(message, 507)


def explained(error: Exception) -> Refused:
    """`error` for the person who asked for what ended with it: status 500 where it is a fault of ours."""
    if isinstance(error, Refused):
        return error
    if _is_full(error):
        return Refused("The hub's disk is full. Nothing was changed. Tell its administrator.", 507)
    if isinstance(error, ProjectError | StoreError):
        return Refused(str(error))
    return Refused(f"The hub could not do it ({error}). Its log has the details.", 500)


def _is_full(error: Exception) -> bool:
    if isinstance(error, OSError):
        return error.errno in _FULL
    text = error.output if isinstance(error, GitError) else str(error) if isinstance(error, OperationalError) else ""
    return isinstance(error, StoreFull) or any(each in text for each in _SAID_OF_FULL)
