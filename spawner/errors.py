"""What can go wrong when a server starts, said to the person who waits for it."""

from __future__ import annotations

from jupyterhub.spawner import SpawnException


class StartError(SpawnException):  # type: ignore[misc]
    """A server that cannot start, for a reason that the user or administrator can act on.

    `message` is shown on the spawn page, escaped, and returned by the REST API with `status_code`; `reason` is the
    short label of JupyterHub's spawn metrics.
    """

    def __init__(self, message: str, *, reason: str, status_code: int = 500) -> None:
        super().__init__(message, reason=reason, status_code=status_code)

    def __str__(self) -> str:
        """The message alone: JupyterHub puts this on the progress page."""
        return str(self.message)


def ended_before_ready(last_lines: str) -> StartError:
    """A server that ended by itself while its user waited for it; `last_lines` are the end of its output."""
    return StartError(
        f"The notebook server ended before it was ready. Your files are as they were. Its last lines: {last_lines}",
        reason="exited",
    )


class BadOptions(StartError):
    """What was asked for is not on offer (HTTP 400)."""

    def __init__(self, message: str) -> None:
        super().__init__(message, reason="options", status_code=400)
