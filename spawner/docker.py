"""Notebook servers as containers that are kept: stopped, not removed, so that what was installed is still there."""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import io
import json
import tarfile
from contextlib import suppress
from typing import Any

from docker.errors import NotFound
from docker.types import DeviceRequest
from jupyterhub.utils import maybe_future

from regrow.images.check import ImageInfo
from regrow.spawner.container import ContainerSpawner
from regrow.spawner.engine import ENGINE_ERRORS
from regrow.spawner.packages import LIST_FILE, AddedPackages, added_packages, read_list, write_list
from regrow.spawner.volumes import safe_name

# New for every start, and so no reason to make a container anew.
_CHANGING_ENV = {"JUPYTERHUB_API_TOKEN", "JPY_API_TOKEN"}
_LAST_LINES = 15
_LIST_LIMIT_BYTES = 4 * 1024**2


class RegrowDockerSpawner(ContainerSpawner):
    """One container per server, made anew only when its image, profile or settings have changed."""

    extra_create_kwargs: Any
    extra_host_config: Any

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._admins_create_kwargs = self.extra_create_kwargs
        self._admins_host_config = self.extra_host_config
        self._labels: dict[str, str] = {}
        self._not_carried_over = AddedPackages()
        self._made_anew_because = ""
        self._made_now = False  # whether this start made the container
        self._issued_token = ""  # what the hub gave to this start; a container from before keeps its own

    @property
    def will_resume(self) -> bool:
        """Whether a stopped container will use this start's token again: if not, the hub revokes it."""
        if self.spawn_is_failing:
            return bool(self.api_token != self._issued_token)
        return not self.remove

    async def start_server(self) -> tuple[str, int]:
        self._made_now = False
        self._issued_token = self.api_token
        self._not_carried_over = AddedPackages()
        image = await self.prepare()
        create_kwargs = await self._evaluated(self._admins_create_kwargs)
        host_config = {**self._host_config(), **await self._evaluated(self._admins_host_config)}
        self._labels = self._plan(image, [create_kwargs, host_config])
        self.extra_host_config = host_config
        self.extra_create_kwargs = {
            "hostname": safe_name(self.user.name)[:63].strip("-"),
            **create_kwargs,
            "labels": {**create_kwargs.get("labels", {}), **self._labels},
        }
        container = await self.get_object()
        self._is_anothers = False
        if container:
            self.refuse_anothers(container["Config"]["Labels"])
        if container and (reason := self._why_anew(container["Config"]["Labels"] or {})):
            await self._retire(container, reason)
            container = None
        self.say(30, "Starting your container." if container else f"Making a container from {self.image}.")
        return await self.listening(*await super(ContainerSpawner, self).start())

    def _host_config(self) -> dict[str, Any]:
        host_config: dict[str, Any] = {
            "cap_drop": self.dropped_capabilities,
            "pids_limit": self.pids_limit,
            "shm_size": self.shm_size_bytes,
            "log_config": {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "2"}},
        }
        if self.profile.gpus:
            host_config["device_requests"] = [DeviceRequest(count=self.profile.gpus, capabilities=[["gpu"]])]
        return host_config

    def _plan(self, image: ImageInfo, settings: list[Any]) -> dict[str, str]:
        """What this server's container depends on, as labels; a container with other ones is made anew."""
        env = {name: value for name, value in self.get_env().items() if name not in _CHANGING_ENV}
        profile = [self.profile.slug, self.cpu_limit, self.mem_limit, self.profile.gpus]
        return {
            **self.owner_labels,
            "io.regrow.image-id": image.id,
            "io.regrow.profile": _digest(profile),
            "io.regrow.settings": _digest([env, self.volume_binds, self.network_name, settings]),
        }

    def _why_anew(self, labels: dict[str, str]) -> str:
        """Why the container with `labels` can't be started again, in words for its user; empty if it can."""
        reasons = {
            "io.regrow.image-id": f"the image {self.image} has changed",
            "io.regrow.profile": "its profile has changed",
            "io.regrow.settings": "its volumes or settings have changed",
        }
        return next((why for label, why in reasons.items() if labels.get(label) != self._labels[label]), "")

    async def _retire(self, container: dict[str, Any], reason: str) -> None:
        """Remove a container that can't be used again, remembering what its user had installed in it."""
        self._not_carried_over = await self._installed_in(container["Id"])
        self._made_anew_because = reason
        await self.docker("remove_container", container["Id"], v=True, force=True)
        self.object_id = ""
        detail = []
        if self._not_carried_over:
            detail = [
                f"Not carried over: {self._not_carried_over.in_words()}.",
                "To have them again, run in a terminal: regrow packages install",
            ]
        message = f"Your container is made anew because {reason}. Your home, projects and builds are kept."
        self.say(20, message, detail=detail)

    async def create_object(self) -> dict[str, Any]:
        self._made_now = True
        # A cancelled start must still wait for what the engine makes, so that it can be removed.
        making = asyncio.ensure_future(super().create_object())
        try:
            made: dict[str, Any] = await asyncio.shield(making)
        except asyncio.CancelledError:
            with suppress(*ENGINE_ERRORS):
                await making
            raise
        if self._not_carried_over:
            content = write_list(self._not_carried_over, self._made_anew_because)
            await self.docker("put_archive", made["Id"], "/", _archive_of(LIST_FILE, content.encode()))
        return made

    async def run_post_stop_hook(self) -> None:
        """JupyterHub calls this after every stop, also of a server that never became ready: that one is removed."""
        if self._made_now and self.spawn_is_failing:
            with suppress(NotFound):
                await self.docker("remove_container", self.object_name, v=True, force=True)
            self.object_id = ""
        self._made_now = False
        await maybe_future(super().run_post_stop_hook())

    async def delete_forever(self) -> None:
        """Called when the user is deleted: no container stays, and their files go where nobody finds them by name."""
        container = await self.get_object()
        if container and self.is_ours(container["Config"]["Labels"]):
            await self.docker("remove_container", container["Id"], v=True, force=True)
        self.discard_volumes()

    async def last_lines(self) -> str:
        lines: bytes = await self.docker("logs", self.container_id, tail=_LAST_LINES)
        return lines.decode(errors="replace").strip()

    async def _installed_in(self, container_id: str) -> AddedPackages:
        changes = await self.docker("diff", container_id) or []
        states = await self._read(container_id, "/var/lib/apt/extended_states")
        still_missing = read_list(await self._read(container_id, LIST_FILE))
        return added_packages(changes, states) | still_missing

    async def _read(self, container_id: str, path: str) -> str:
        """A text file of a container, of which its user may have made anything; empty where there is none to read."""
        try:
            return await self.in_thread(_read_file, self.client, container_id, path)
        except (NotFound, tarfile.TarError):
            return ""

    async def _evaluated(self, kwargs: Any) -> dict[str, Any]:
        value = self._eval_if_callable(kwargs)
        evaluated: dict[str, Any] = await value if inspect.isawaitable(value) else value
        return evaluated


def _read_file(client: Any, container_id: str, path: str) -> str:
    chunks, stat = client.get_archive(container_id, path)
    if stat["size"] > _LIST_LIMIT_BYTES:
        return ""
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as tar:
        member = tar.next()
        content = tar.extractfile(member) if member and member.isfile() else None
        return content.read().decode(errors="replace") if content else ""


def _archive_of(path: str, content: bytes) -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        member = tarfile.TarInfo(path.lstrip("/"))
        member.size, member.mode = len(content), 0o644
        tar.addfile(member, io.BytesIO(content))
    return archive.getvalue()


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:16]
