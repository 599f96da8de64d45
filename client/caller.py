"""Who has typed a command: in a notebook or in a terminal, of which hub."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from regrow.client.hub import HubClient
from regrow.projects.create import check_name
from regrow.projects.errors import BadName
from regrow.projects.printable import printable


@dataclass
class Caller:
    """What commands are called with.

    `prefix` is what stands before commands there: `%` or `regrow `. `progress` is told what is being done. `colour` is
    whether the text that results may have a terminal's colours.
    """

    prefix: str
    progress: Callable[[str], None]
    colour: bool = False

    @cached_property
    def hub(self) -> HubClient:
        """The hub, which not all commands need. Raises `NotConnected`."""
        return HubClient.from_environment()

    @cached_property
    def user(self) -> str:
        """Who it is. Raises `HubError`."""
        return str(self.hub.user()["name"])

    def close(self) -> None:
        """Close the connection to the hub, if there is one."""
        if "hub" in self.__dict__:
            self.hub.close()

    def command(self, words: str) -> str:
        """A command as it is typed there, between backticks."""
        return f"`{self.prefix}{words}`"

    def project(self, wanted: str) -> tuple[str, str]:
        """Owner and name of the project `[OWNER/]NAME`. Raises `BadName` or `HubError`."""
        owner, slash, name = wanted.rpartition("/")
        if "/" in owner or owner in (".", "..") or bool(slash) != bool(owner):
            raise BadName(f"{printable(wanted)!r} can't be a project's name. It is NAME, or OWNER/NAME for somebody's.")
        check_name(name)
        return owner or self.user, name
