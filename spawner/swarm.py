"""Notebook servers as services of a Docker Swarm, on many machines that share `data_dir`.

A Swarm has no stopped service: the container goes when the server stops, and with it what `apt-get` installed. The
home, projects and builds are kept as everywhere.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import Any

from docker.errors import NotFound
from docker.types import DriverConfig, Mount, Resources, RestartPolicy
from dockerspawner import SwarmSpawner
from jupyterhub.utils import maybe_future
from traitlets import Unicode

from regrow.spawner.base import answers_http
from regrow.spawner.container import ContainerSpawner
from regrow.spawner.errors import StartError, ended_before_ready
from regrow.spawner.swarm_network import published_at
from regrow.spawner.volumes import safe_name

_LAST_LINES = 15
_POLL_S = 0.1

# A task that no machine can take is waiting, and may just have been made before a machine told what it has.
_NO_MACHINE_S = 3

# After the stop's grace, in which the engine has killed what hasn't ended: a machine that is gone never says so.
_STOP_MARGIN_S = 20

# https://docs.docker.com/engine/swarm/how-swarm-mode-works/swarm-task-states/
_ENDED = {"complete", "shutdown", "failed", "rejected", "orphaned", "remove"}


class RegrowSwarmSpawner(ContainerSpawner, SwarmSpawner):  # type: ignore[misc]
    """One service per server."""

    extra_container_spec: Any
    extra_resources_spec: Any
    extra_endpoint_spec: Any
    extra_task_spec: Any
    extra_create_kwargs: Any

    probe = staticmethod(answers_http)

    gpu_resource = Unicode(
        "gpu",
        config=True,
        help="""The generic resource by which machines of the Swarm tell their GPUs: the name before `=` in
        `node-generic-resources` of their engine's daemon.json.""",
    )

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._admins_container_spec = self.extra_container_spec
        self._admins_endpoint_spec = self.extra_endpoint_spec
        self._admins_task_spec = self.extra_task_spec
        self._admins_create_kwargs = self.extra_create_kwargs

    @property
    def mounts(self) -> list[Mount]:
        """The binds, with their propagation, which SwarmSpawner leaves out; and /dev/shm, which has no size there."""
        binds = [
            Mount(
                target=bind["bind"],
                source=source,
                type="bind",
                read_only=bind["mode"] == "ro",
                propagation=bind.get("propagation"),
            )
            for source, bind in self.volume_binds.items()
        ]
        return [*binds, Mount("/dev/shm", None, type="tmpfs", tmpfs_size=self.shm_size_bytes, tmpfs_mode=0o1777)]

    async def start_server(self) -> tuple[str, int]:
        await self.prepare()
        service = await self.get_object()
        self._is_anothers = False
        if service:
            self.refuse_anothers(service["Spec"]["Labels"])
        self._specify()
        self.say(30, f"Making a service from {self.image}. What was installed with apt-get before is not in it.")
        return await self.listening(*await super(ContainerSpawner, self).start())

    def _specify(self) -> None:
        """What SwarmSpawner leaves open; an administrator's own settings win."""
        create, container = self._admins_create_kwargs, self._admins_container_spec
        self.extra_create_kwargs = {**create, "labels": {**create.get("labels", {}), **self.owner_labels}}
        self.extra_container_spec = {
            "cap_drop": self.dropped_capabilities,
            "hostname": safe_name(self.user.name)[:63].strip("-"),
            "stop_grace_period": self.stop_grace_s * 1_000_000_000,
            "user": "jovyan",
            **container,
            "labels": {**container.get("labels", {}), **self.owner_labels},
        }
        # On the task's own machine: the routing mesh would open the port on every machine of the Swarm.
        self.extra_endpoint_spec = {"ports": {None: (self.port, "tcp", "host")}, **self._admins_endpoint_spec}
        self.extra_task_spec = {
            "resources": self._resources(),
            # The hub starts servers, with a new token and address; a task that the Swarm made anew has neither.
            "restart_policy": RestartPolicy(condition="none"),
            "log_driver": DriverConfig("json-file", {"max-size": "10m", "max-file": "2"}),
            **self._admins_task_spec,
        }

    def _resources(self) -> Resources:
        given: dict[str, Any] = {
            "mem_limit": self.mem_limit,
            "mem_reservation": self.mem_guarantee,
            "cpu_limit": int(self.cpu_limit * 1e9) if self.cpu_limit else None,
            "cpu_reservation": int(self.cpu_guarantee * 1e9) if self.cpu_guarantee else None,
        }
        if self.profile.gpus:
            given["generic_resources"] = {self.gpu_resource: self.profile.gpus}
        resources = Resources(**{**given, **self.extra_resources_spec})
        # docker-py has no name for it.
        resources.setdefault("Limits", {})["Pids"] = self.pids_limit
        return resources

    async def start_object(self) -> None:
        """Wait until the service's container runs. Raises `StartError` once the Swarm says that it will not."""
        give_up_at = 0.0
        while True:
            task = await self.get_task()
            if not task:
                raise StartError("The service was removed while it started.", reason="removed")
            status = task["Status"]
            if status["State"] == "running":
                return
            if status["State"] in _ENDED:
                await self._raise_ended(task)
            if status["State"] == "pending" and status.get("Err"):
                give_up_at = give_up_at or time.monotonic() + _NO_MACHINE_S
                if time.monotonic() > give_up_at:
                    raise self._no_machine(status["Err"])
            await asyncio.sleep(_POLL_S)

    async def _raise_ended(self, task: dict[str, Any]) -> None:
        status = task["Status"]
        if status.get("ContainerStatus", {}).get("ContainerID") and status["State"] != "rejected":
            raise ended_before_ready(await self.last_lines())
        machine = "a machine"
        if task.get("NodeID"):
            machine = await self._hostname(task["NodeID"])
        raise StartError(
            f"The server could not be started on {machine}: {status.get('Err') or status.get('Message')}. Your files "
            "are as they were. An administrator can check that this machine has the image, data_dir and the network "
            "of this deployment.",
            reason="rejected",
        )

    def _no_machine(self, why: str) -> StartError:
        if self.profile.gpus:
            return StartError(
                f"No machine of this deployment has a free GPU for the profile {self.profile.name} "
                f"({self.profile.resources}): the Swarm says {why!r}. Choose a profile without a GPU, or try again "
                "when somebody has stopped their server.",
                reason="gpu",
                status_code=409,
            )
        return StartError(
            f"No machine of this deployment can run the profile {self.profile.name} ({self.profile.resources}): the "
            f"Swarm says {why!r}. Choose a smaller profile, or ask an administrator to add a machine.",
            reason="no machine",
            status_code=409,
        )

    async def get_ip_and_port(self) -> tuple[str, int]:
        task = await self.get_task()
        if not task or task["Status"]["State"] != "running":
            raise ended_before_ready(await self.last_lines())
        node = await self.docker("inspect_node", task["NodeID"])
        own_node = (await self.docker("info"))["Swarm"]["NodeID"]
        self.say(50, f"The container runs on {node['Description']['Hostname']}.")
        return published_at(task, node, own_node, self.port)

    async def stop_object(self) -> None:
        """End the container and wait for that: a service that is removed doesn't tell when its container has gone."""
        with suppress(NotFound):
            service = await self.docker("inspect_service", self.object_name)
            version = service["Version"]["Index"]
            mode = {"Replicated": {"Replicas": 0}}
            await self.docker("update_service", service["ID"], version, mode=mode, fetch_current_spec=True)
            try:
                async with asyncio.timeout(self.stop_grace_s + _STOP_MARGIN_S):
                    await self._ended(service["ID"])
            except TimeoutError:
                self.log.warning("The machine of %s doesn't say that its container has ended.", self._log_name)

    async def _ended(self, service_id: str) -> None:
        while True:
            tasks = await self.docker("tasks", filters={"service": service_id})
            if all(task["Status"]["State"] in _ENDED for task in tasks):
                return
            await asyncio.sleep(_POLL_S)

    async def remove_object(self) -> None:
        with suppress(NotFound):
            await self.docker("remove_service", self.object_name)

    async def run_post_stop_hook(self) -> None:
        """JupyterHub calls this after every stop, also of a server that ended by itself or never became ready."""
        await self._remove_service()
        await maybe_future(super().run_post_stop_hook())

    async def delete_forever(self) -> None:
        """Called when the user is deleted: their files go where nobody finds them by name."""
        try:
            self.discard_volumes()
        finally:
            await self._remove_service()

    async def _remove_service(self) -> None:
        service = await self.get_object()
        if service and self.is_ours(service["Spec"]["Labels"]):
            await self.stop_object()
            await self.remove_object()
            self.object_id = ""

    async def _hostname(self, node_id: str) -> str:
        return str((await self.docker("inspect_node", node_id))["Description"]["Hostname"])

    async def last_lines(self) -> str:
        return await self.in_thread(_service_log, self.client, self.object_name)


def _service_log(client: Any, service: str) -> str:
    lines = client.service_logs(service, stdout=True, stderr=True, tail=_LAST_LINES, is_tty=False)
    return b"".join(lines).decode(errors="replace").strip()
