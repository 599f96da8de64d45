"""What the service says no to, for the person who asked."""

from __future__ import annotations


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
