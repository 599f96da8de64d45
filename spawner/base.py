"""What every Regrow spawner shares: profiles, volumes, progress messages, and the end of a user."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from html import escape as escape_html
from pathlib import Path
from typing import Any

from traitlets import Float, Int, List, Unicode
from traitlets.config import LoggingConfigurable

from regrow.spawner.errors import StartError, ended_before_ready
from regrow.spawner.profiles import Profile, choose, offered, options_from_form, parse_profiles, render_form
from regrow.spawner.volumes import (
    GroupBuild,
    Owner,
    UserVolumes,
    VolumeError,
    discard_user_volumes,
    group_build_path,
    make_group_build,
    make_user_volumes,
    purge_deleted,
    user_volumes,
)

#: The group property (set on the hub's admin page) that names members who may only read the group's builds.
READ_ONLY_PROPERTY = "build_read_only"


#: Whether there is something at a host and port.
Probe = Callable[[str, int], Awaitable[bool]]


class RegrowSpawner(LoggingConfigurable):
    """The common part. A concrete spawner mixes it in before JupyterHub's or DockerSpawner's own class."""

    # What JupyterHub's Spawner brings.
    user: Any
    orm_spawner: Any
    name: str
    cpu_limit: float | None
    mem_limit: int | None
    _log_name: str
    _spawn_future: Any

    data_dir = Unicode(
        config=True,
        help="Folder of users' and groups' files on the hub's machine (on every machine of a Swarm, at one path).",
    )
    profiles: List[Any] = List(
        config=True,
        help="What users can choose on the spawn page; see Regrow.profiles.",
    )
    deleted_homes_kept_s = Float(
        30 * 24 * 3600.0,
        config=True,
        help="Seconds for which the files of a deleted user are kept below data_dir/deleted. Default: 30 days.",
    )
    stop_grace_s = Int(
        60,
        min=1,
        config=True,
        help="""Most seconds from the request to stop a server until it is killed. Nearly all of it is for kernels to
        save their variables, and for the last snapshots. A container's own StopTimeout is the same, so that `docker
        stop` and the drain of a Swarm's machine leave as much time.""",
    )
    spawn_note = Unicode(config=True, help="A sentence below the profiles on the spawn page, as plain text.")

    #: Whether a stopped server keeps something that a user may want to be rid of.
    keeps_container = False

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.profile: Profile = parse_profiles(self.profiles)[0]
        self.anew = False  # whether the user asked for a new container
        self._events: list[dict[str, Any]] = []
        self._event_added = asyncio.Event()

    def get_env(self) -> dict[str, str]:
        # What `regrow.server_extension.stopping` reads.
        return {**super().get_env(), "REGROW_STOP_GRACE_S": str(self.stop_grace_s)}  # type: ignore[misc]

    # The spawn page

    def _offered(self) -> list[Profile]:
        return offered(parse_profiles(self.profiles), {group.name for group in self.user.groups})

    async def get_options_form(self) -> str:
        """The spawn page's form."""
        last = self.orm_spawner.user_options if self.orm_spawner else None
        return render_form(
            self._offered(), (last or {}).get("profile"), self.spawn_note, can_be_made_anew=self.keeps_container
        )

    def run_options_from_form(self, form_data: Mapping[str, list[str]]) -> dict[str, Any]:
        return options_from_form(form_data)

    def options_from_query(self, query_data: Mapping[str, list[str]]) -> dict[str, Any]:
        return options_from_form(query_data)

    async def _run_apply_user_options(self, user_options: dict[str, Any]) -> None:
        """JupyterHub calls this for every way of starting a server, so this is where the choice is checked."""
        self._events.clear()
        self.profile, self.anew = choose(self._offered(), user_options)
        # A profile without a limit leaves the deployment's own.
        if self.profile.cpus:
            self.cpu_limit = self.profile.cpus
        if self.profile.memory_bytes:
            self.mem_limit = self.profile.memory_bytes
        # Asked for once, not for every start from now on.
        self.orm_spawner.user_options = {name: value for name, value in user_options.items() if name != "anew"}
        self.say(5, f"Profile {self.profile.name}: {self.profile.resources}.")

    # Progress

    def say(self, progress: int, message: str, *, detail: list[str] | None = None) -> None:
        """Show `message` (plain text) on the progress page at `progress` percent, with `detail` as a list below."""
        event: dict[str, Any] = {"progress": progress, "message": message}
        if detail:
            items = "".join(f"<li>{escape_html(item)}</li>" for item in detail)
            event["html_message"] = f"{escape_html(message)}<ul>{items}</ul>"
            event["message"] = f"{message} {' '.join(detail)}"
        self._events.append(event)
        self._event_added.set()
        self.log.info("%s: %s", self._log_name, event["message"])

    async def progress(self) -> AsyncIterator[dict[str, Any]]:
        """What `say` was told, from the start of this spawn on; JupyterHub ends the iteration when it is over."""
        shown = 0
        while True:
            while shown < len(self._events):
                yield self._events[shown]
                shown += 1
            self._event_added.clear()
            await self._event_added.wait()

    # Volumes

    @property
    def volumes_of_user(self) -> UserVolumes:
        """The user's folders on the hub's machine."""
        return user_volumes(Path(self.data_dir), self.user.name)

    @property
    def group_builds(self) -> list[GroupBuild]:
        """The build volumes of the user's groups, by name; read-only where the group's properties say so."""
        builds = []
        for group in sorted(self.user.groups, key=lambda group: str(group.name)):
            readers = (group.properties or {}).get(READ_ONLY_PROPERTY, [])
            if not isinstance(readers, list):
                self.log.warning("The property %s of %s is no list: nobody may write.", READ_ONLY_PROPERTY, group.name)
                readers = [self.user.name]
            path = group_build_path(Path(self.data_dir), group.name)
            builds.append(GroupBuild(group.name, path, writable=self.user.name not in readers))
        return builds

    def make_volumes(self, owner: Owner) -> None:
        """Make what is missing of the user's and the groups' folders. Raises `StartError`."""
        try:
            make_user_volumes(self.volumes_of_user, owner)
            for build in self.group_builds:
                make_group_build(build.path, owner)
        except VolumeError as error:
            raise StartError(str(error), reason="volume", status_code=409) from error

    def discard_volumes(self) -> None:
        """Take a deleted user's files away, and remove those whose time is over. A named server has none of its own."""
        if self.name:
            return
        deleted_dir = Path(self.data_dir) / "deleted"
        kept = discard_user_volumes(self.volumes_of_user, deleted_dir)
        if kept:
            self.log.info("The files of the deleted user %s are kept in %s", self.user.name, kept)
        for path in purge_deleted(deleted_dir, self.deleted_homes_kept_s, time.time()):
            self.log.info("Removed %s for good", path)

    # Waiting

    @property
    def spawn_is_failing(self) -> bool:
        """Whether the hub is stopping a server that never became ready."""
        future = self._spawn_future
        return future is not None and (not future.done() or future.exception() is not None)

    async def wait_listening(
        self,
        host: str,
        port: int,
        has_died: Callable[[], Awaitable[bool]],
        last_lines: Callable[[], Awaitable[str]],
        interval_s: float = 0.05,
        probe: Probe | None = None,
    ) -> None:
        """Wait until something listens at `host:port`. JupyterHub's `start_timeout` bounds the wait.

        `probe` tells whether it does; by default, whether a connection is accepted.

        Raises `StartError` with the server's own last lines as soon as it has died, rather than after a time-out.
        """
        next_check = time.monotonic() + 1
        while not await (probe or _connects)(host, port):
            if time.monotonic() >= next_check:
                if await has_died():
                    raise ended_before_ready(await last_lines())
                next_check = time.monotonic() + 0.5
            await asyncio.sleep(interval_s)


async def answers_http(host: str, port: int) -> bool:
    """Whether a web server answers there: the engine itself accepts connections to the ports that it publishes."""
    try:
        async with asyncio.timeout(5):
            reader, writer = await asyncio.open_connection(host, port)
            writer.write(f"GET /api HTTP/1.0\r\nHost: {host}\r\n\r\n".encode())
            answer = await reader.read(1)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return bool(answer)


async def _connects(host: str, port: int) -> bool:
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(host, port), timeout=1)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True
