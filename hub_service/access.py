"""Who may do what with a project's repository: what authorizing a request of git or git-lfs gives."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from fastapi import Request


class LargeObjects(Protocol):
    """Which large files a project has. May block: it is called in threads."""

    def has(self, oids: Iterable[str]) -> dict[str, int]:
        """Those of `oids` that this project has, each with its size in bytes."""

    def begin(self, oid: str, size: int) -> None:
        """Note that it is about to be put into the store."""

    def record(self, oid: str, size: int) -> None:
        """Note that this project has it, also where that is noted already."""


@dataclass(frozen=True)
class Access:
    """What a request may work on.

    `repository` is absolute. `bytes_left` is how much the quota leaves to write, None for no limit.
    """

    project_id: str
    repository: Path
    is_owner: bool
    user: str
    bytes_left: int | None
    large: LargeObjects


#: Given the request, the owner, the project's name and whether it is to write. Raises `HTTPException` with status 401
#: (and `WWW-Authenticate: Basic realm="Regrow"`), 403 or 404.
Authorize = Callable[[Request, str, str, bool], Awaitable[Access]]
