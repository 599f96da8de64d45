"""Notebook servers as services of a Docker Swarm, on many machines that share `data_dir`.

A Swarm has no stopped service: the container goes when the server stops, and with it what `apt-get` installed. The
home, projects and builds are kept as everywhere.
"""

from __future__ import annotations

from typing import Any

from docker.types import Mount
from dockerspawner import SwarmSpawner

from regrow.spawner.container import ContainerSpawner

_LAST_LINES = 15


class RegrowSwarmSpawner(ContainerSpawner, SwarmSpawner):  # type: ignore[misc]
    """One service per server."""

    extra_container_spec: Any
    extra_resources_spec: Any

    @property
    def mounts(self) -> list[Mount]:
        """The binds, with their propagation, which SwarmSpawner leaves out."""
        return [
            Mount(
                target=bind["bind"],
                source=source,
                type="bind",
                read_only=bind["mode"] == "ro",
                propagation=bind.get("propagation"),
            )
            for source, bind in self.volume_binds.items()
        ]

    async def start_server(self) -> tuple[str, int]:
        await self.prepare()
        self.extra_container_spec = {
            **self.extra_container_spec,
            "cap_drop": self.dropped_capabilities,
            "labels": {"io.regrow.user": self.user.name, "io.regrow.data-dir": self.data_dir},
        }
        if self.profile.gpus:
            self.extra_resources_spec = {
                **self.extra_resources_spec,
                "generic_resources": {"gpu": self.profile.gpus},
            }
        self.say(30, f"Making a service from {self.image}. What was installed with apt-get before is not in it.")
        return await self.listening(*await super(ContainerSpawner, self).start())

    async def run_post_stop_hook(self) -> None:
        """A service that never became ready is removed, whatever state its task was in."""
        if self.spawn_is_failing and await self.get_object():
            await self.remove_object()
        await super().run_post_stop_hook()

    async def delete_forever(self) -> None:
        """Called when the user is deleted: their files go where nobody finds them by name."""
        self.discard_volumes()

    async def last_lines(self) -> str:
        lines: Any = await self.docker("service_logs", self.service_id, stdout=True, stderr=True, tail=_LAST_LINES)
        return b"".join(lines).decode(errors="replace").strip()
