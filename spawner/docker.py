"""Notebook servers as containers that are kept: stopped, not removed, so that what was installed is still there."""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

from docker.errors import NotFound
from docker.types import DeviceRequest
from jupyterhub.utils import maybe_future

from regrow.images.check import ImageInfo
from regrow.spawner.container import ContainerSpawner, uninterrupted
from regrow.spawner.container_files import put_file, read_text
from regrow.spawner.packages import LIST_FILE, AddedPackages, added_packages, read_list, write_list
from regrow.spawner.volumes import safe_name

#: Where `regrow-singleuser` finds the token of this start. The container's environment is fixed when it is made, and
#: a token must be worth nothing once the server has stopped.
TOKEN_FILE = "/var/lib/regrow/api_token"
_TOKEN_VARIABLES = ("JUPYTERHUB_API_TOKEN", "JPY_API_TOKEN")

_LAST_LINES = 15


class RegrowDockerSpawner(ContainerSpawner):
    """One container per server, made anew only when its image, profile or settings have changed."""

    extra_create_kwargs: Any
    extra_host_config: Any

    # A stop waits for kernels to save. Many at once must not keep others' servers from starting.
    _stop_threads = ThreadPoolExecutor(64, thread_name_prefix="docker-stop")

    # The token is handed to each start anew, so the hub revokes it when the server stops.
    will_resume = False
    keeps_container = True

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._admins_create_kwargs = self.extra_create_kwargs
        self._admins_host_config = self.extra_host_config
        self._image_uid = 0
        self._labels: dict[str, str] = {}
        self._not_carried_over = AddedPackages()
        self._made_anew_because = ""
        self._made_now = False  # whether this start made the container

    @property
    def _name_aside(self) -> str:
        """Name of the container from before while the one that replaces it is tried. No user's is named so."""
        return f"{self.object_name}-before"

    def get_env(self) -> dict[str, str]:
        return {name: value for name, value in super().get_env().items() if name not in _TOKEN_VARIABLES}

    # Starting

    async def start_server(self) -> tuple[str, int]:
        self._made_now = False
        self._not_carried_over = AddedPackages()
        image = await self.prepare()
        self._image_uid = image.uid
        await self._specify(image)
        await self._put_back()  # what a hub that was killed in the middle of a start left aside
        container = await self.get_object()
        self._is_anothers = False
        if container:
            self.refuse_anothers(container["Config"]["Labels"])
            if container["State"]["Running"]:  # of a stop while the engine was away
                await self._stop(container["Id"])
            if reason := self._why_anew(container["Config"]["Labels"]):
                await self._put_aside(container, reason)
                container = None
        self.say(30, "Starting your container." if container else f"Making a container from {self.image}.")
        address = await self.listening(*await super(ContainerSpawner, self).start())
        await self._remove(self._name_aside)
        return address

    async def _specify(self, image: ImageInfo) -> None:
        """What DockerSpawner leaves open; an administrator's own settings win."""
        create_kwargs = await self._evaluated(self._admins_create_kwargs)
        host_config: dict[str, Any] = {
            "cap_drop": self.dropped_capabilities,
            "pids_limit": self.pids_limit,
            "shm_size": self.shm_size_bytes,
            "log_config": {"Type": "json-file", "Config": {"max-size": "10m", "max-file": "2"}},
        }
        if self.profile.gpus:
            host_config["device_requests"] = [DeviceRequest(count=self.profile.gpus, capabilities=[["gpu"]])]
        host_config.update(await self._evaluated(self._admins_host_config))
        command = await maybe_future(self.get_command())
        settings = [self.get_env(), self.volume_binds, self.network_name, command, create_kwargs, host_config]
        self._labels = {
            **self.owner_labels,
            # A user who was deleted and made again is another user.
            "io.regrow.user-since": str(self.user.orm_user.created),
            "io.regrow.image-id": image.id,
            "io.regrow.profile": _digest([self.profile.slug, self.cpu_limit, self.mem_limit, self.profile.gpus]),
            "io.regrow.settings": _digest(settings),
        }
        self.extra_host_config = host_config
        self.extra_create_kwargs = {
            "hostname": safe_name(self.user.name)[:63].strip("-"),
            "stop_timeout": self.stop_grace_s,
            "user": "jovyan",
            **create_kwargs,
            "labels": {**create_kwargs.get("labels", {}), **self._labels},
        }

    def _why_anew(self, labels: dict[str, str]) -> str:
        """Why the container with `labels` can't be started again, in words for its user; empty if it can."""
        if self.anew:
            return "you asked for it"
        reasons = {
            "io.regrow.user-since": "a user of your name had it before you",
            "io.regrow.image-id": f"the image {self.image} has changed",
            "io.regrow.profile": "its profile has changed",
            "io.regrow.settings": "its volumes or settings have changed",
        }
        return next((why for label, why in reasons.items() if labels.get(label) != self._labels[label]), "")

    async def _put_aside(self, container: dict[str, Any], reason: str) -> None:
        """Make room for a new container, remembering what the user had installed in the one from before."""
        message = f"Your container is made anew because {reason}. Your home, projects and builds are kept."
        self._made_anew_because = reason
        if container["Config"]["Labels"]["io.regrow.user-since"] != self._labels["io.regrow.user-since"]:
            await self._remove(container["Id"])
        else:
            self._not_carried_over = await self.in_thread(_installed_in, self.client, container["Id"])
            await self.docker("rename", container["Id"], self._name_aside)
        self.object_id = ""
        detail = []
        if self._not_carried_over:
            detail = [
                f"Not carried over: {self._not_carried_over.in_words()}.",
                "To have them again, run in a terminal: regrow packages install",
            ]
        self.say(20, message, detail=detail)

    async def _put_back(self) -> None:
        """Give the container that was put aside its name again: the one that replaced it never became ready."""
        with suppress(NotFound):
            aside = await self.docker("inspect_container", self._name_aside)
            if self.is_ours(aside["Config"]["Labels"]):
                await self._remove(self.object_name)
                await self.docker("rename", aside["Id"], self.object_name)

    async def create_object(self) -> dict[str, Any]:
        self._made_now = True
        made = await super().create_object()
        if self._not_carried_over:
            content = write_list(self._not_carried_over, self._made_anew_because)
            await self._put_file(made["Id"], LIST_FILE, content, mode=0o644)
        return made

    async def start_object(self) -> None:
        await self._put_file(self.container_id, TOKEN_FILE, self.api_token, mode=0o600)
        await uninterrupted(super().start_object(), undo=self.stop_object)

    # Stopping and cleaning up

    async def stop_object(self) -> None:
        with suppress(NotFound):
            await self._stop(self.container_id)

    async def _stop(self, container: str) -> None:
        # Told the time, docker-py waits as long for the engine's answer.
        stopping = self._stop_threads.submit(self.client.stop, container, timeout=self.stop_grace_s)
        await asyncio.wrap_future(stopping)

    async def run_post_stop_hook(self) -> None:
        """JupyterHub calls this after every stop. Of a start that failed, the container from before is what stays."""
        if self.spawn_is_failing and not self._is_anothers:
            if self._made_now:
                await self._remove(self.object_name)
                self.object_id = ""
            await self._put_back()
        self._made_now = False
        await maybe_future(super().run_post_stop_hook())

    async def delete_forever(self) -> None:
        """Called when the user or a named server is deleted: nothing stays for the next of that name."""
        try:
            self.discard_volumes()
        finally:
            for name in (self.object_name, self._name_aside):
                with suppress(NotFound):
                    container = await self.docker("inspect_container", name)
                    if self.is_ours(container["Config"]["Labels"]):
                        await self._remove(container["Id"])

    async def last_lines(self) -> str:
        lines: bytes = await self.docker("logs", self.container_id, tail=_LAST_LINES)
        said = lines.decode(errors="replace").strip()
        if self._made_now:
            return said
        return (
            f"{said}\nIf something that was installed in the container broke it, choose a new container on this page."
        )

    async def _remove(self, container: str) -> None:
        with suppress(NotFound):
            await self.docker("remove_container", container, v=True, force=True)

    async def _put_file(self, container_id: str, path: str, content: str, *, mode: int) -> None:
        def put() -> None:
            put_file(self.client, container_id, path, content, mode=mode, uid=self._image_uid)

        await self.in_thread(put)

    async def _evaluated(self, kwargs: Any) -> dict[str, Any]:
        value = self._eval_if_callable(kwargs)
        evaluated: dict[str, Any] = await value if inspect.isawaitable(value) else value
        return evaluated


def _installed_in(client: Any, container_id: str) -> AddedPackages:
    changes = client.diff(container_id) or []
    states = read_text(client, container_id, "/var/lib/apt/extended_states")
    still_missing = read_list(read_text(client, container_id, LIST_FILE))
    return added_packages(changes, states) | still_missing


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:16]
