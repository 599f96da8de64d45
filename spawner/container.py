"""What containers and Swarm services share: image check, volumes, environment, messages for the engine's failures."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, TypeVar

from docker.errors import APIError, NotFound
from dockerspawner import DockerSpawner
from traitlets import Enum, Int, List, Unicode, default

from regrow.images.check import ImageError, ImageInfo, inspect_image
from regrow.spawner.base import Probe, RegrowSpawner
from regrow.spawner.engine import ENGINE_ERRORS, EngineError, explain, remapped_root
from regrow.spawner.errors import StartError
from regrow.spawner.volumes import Owner, safe_name

HOME = "/home/jovyan"
BUILD_ROOT = "/build"

Result = TypeVar("Result")


async def uninterrupted(work: Awaitable[Result], *, undo: Callable[[], Awaitable[None]]) -> Result:
    """`work` of the engine. When the start is cancelled meanwhile, what it did is waited for and undone."""
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        with suppress(*ENGINE_ERRORS):
            await task
            await undo()
        raise


class ContainerSpawner(RegrowSpawner, DockerSpawner):  # type: ignore[misc]
    """The common part of RegrowDockerSpawner and RegrowSwarmSpawner, which say how a server is made and ended."""

    # DockerSpawner's single thread makes users wait for each other.
    _engine_threads = ThreadPoolExecutor(16, thread_name_prefix="docker")

    projects_propagation = Enum(
        ["rslave", ""],
        default_value="rslave",
        config=True,
        help="""How mounts that are made below a user's projects later reach their running container: `rslave`, or not
        at all (empty) where data_dir is on a private mount. Regrow sets it when the hub starts.""",
    )
    dropped_capabilities = List(
        Unicode(),
        default_value=["NET_RAW", "MKNOD"],
        config=True,
        help="""Linux capabilities that the engine would give to root in a container and Regrow does not: raw sockets
        (forged packets to other containers) and device nodes.""",
    )

    pids_limit = Int(4096, config=True, help="Most processes and threads in a container.")
    shm_size_bytes = Int(
        2 * 1024**3,
        config=True,
        help="Size of /dev/shm in bytes, through which PyTorch's data loaders hand batches over. It counts as memory.",
    )

    probe: Probe | None = None  # see `wait_listening`

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._is_anothers = False  # whether what has this server's name was found to be somebody else's

    @property
    def executor(self) -> ThreadPoolExecutor:
        return self._engine_threads

    @default("pull_policy")
    def _pull_policy_default(self) -> str:
        return "never"

    @default("cmd")
    def _cmd_default(self) -> list[str]:
        return ["regrow-singleuser"]

    @property
    def volume_binds(self) -> dict[str, dict[str, str]]:
        volumes = self.volumes_of_user
        projects = {"bind": f"{HOME}/projects", "mode": "rw"}
        if self.projects_propagation:
            projects["propagation"] = self.projects_propagation
        binds = {
            str(volumes.home): {"bind": HOME, "mode": "rw"},
            str(volumes.projects): projects,
            str(volumes.build): {"bind": f"{BUILD_ROOT}/user", "mode": "rw"},
        }
        for build in self.group_builds:
            bind = f"{BUILD_ROOT}/groups/{safe_name(build.group)}"
            binds[str(build.path)] = {"bind": bind, "mode": "rw" if build.writable else "ro"}
        return {**super().volume_binds, **binds}

    def get_env(self) -> dict[str, str]:
        groups = [f"{BUILD_ROOT}/groups/{safe_name(build.group)}" for build in self.group_builds]
        return {
            **super().get_env(),
            "REGROW_PROJECTS": f"{HOME}/projects",
            "REGROW_BUILD_ROOTS": ":".join([f"{BUILD_ROOT}/user", *groups]),
        }

    async def start(self) -> tuple[str, int]:
        """Start the user's server. Raises `StartError`, its message for the user who waits."""
        try:
            return await self.start_server()
        except ENGINE_ERRORS as error:
            raise explain(error, f"started the server of {self.user.name}") from error
        except EngineError as error:
            raise StartError(str(error), reason="engine") from error
        except ImageError as error:
            raise StartError(str(error), reason="image", status_code=409) from error

    async def start_server(self) -> tuple[str, int]:
        """How this kind of server is started; errors of the engine and of the image may pass through."""
        raise NotImplementedError

    async def prepare(self) -> ImageInfo:
        """Check the profile's image and make the volumes for the user that its files belong to."""
        self.image = self.profile.image
        image = await self.in_thread(inspect_image, self.client, self.image)
        owner = remapped_root(await self.docker("info")) + image.uid
        self.make_volumes(Owner(owner, owner))
        return image

    async def listening(self, host: str, port: int) -> tuple[str, int]:
        """`(host, port)` once the server listens there."""
        self.say(60, "Waiting for JupyterLab.")
        await self.wait_listening(host, port, self.has_died, self.last_lines, probe=self.probe)
        return host, port

    async def has_died(self) -> bool:
        """Whether the server that was just started has ended."""
        return await self.poll() is not None

    async def last_lines(self) -> str:
        """The end of the server's output."""
        raise NotImplementedError

    @property
    def owner_labels(self) -> dict[str, str]:
        """What marks the containers and services of this user of this deployment."""
        return {"io.regrow.data-dir": self.data_dir, "io.regrow.user": self.user.name}

    def is_ours(self, labels: dict[str, str] | None) -> bool:
        """Whether a container or service with `labels` is this user's of this deployment."""
        return all((labels or {}).get(name) == value for name, value in self.owner_labels.items())

    def refuse_anothers(self, labels: dict[str, str] | None) -> None:
        """Raise `StartError` for what this deployment did not make for this user: it is not ours to stop or remove."""
        self._is_anothers = not self.is_ours(labels)
        if self._is_anothers:
            raise StartError(
                f"There is a {self.object_type} {self.object_name!r} that this deployment did not make for "
                f"{self.user.name}. An administrator can remove it (docker {self.object_type} rm {self.object_name}), "
                "or give this deployment another name (Regrow.name).",
                reason="name",
                status_code=409,
            )

    async def create_object(self) -> dict[str, Any]:
        made: dict[str, Any] = await uninterrupted(super().create_object(), undo=self._remove_unwanted)
        return made

    async def _remove_unwanted(self) -> None:
        remove = {"container": "remove_container", "service": "remove_service"}[self.object_type]
        await self.docker(remove, self.object_name)

    async def get_object(self) -> dict[str, Any] | None:
        """What has this server's name, or None. DockerSpawner's takes an engine in trouble for nothing."""
        try:
            found: dict[str, Any] = await self.docker(f"inspect_{self.object_type}", self.object_name)
        except NotFound:
            self.object_id = ""
            return None
        self.object_id = found[self.object_id_key]
        return found

    async def poll(self) -> Any:
        """As DockerSpawner's; while the engine is gone or in trouble, a server counts as running."""
        if self._is_anothers:
            return 0  # so that the hub doesn't stop it
        try:
            return await super().poll()
        except ENGINE_ERRORS as error:
            if isinstance(error, APIError) and not error.is_server_error():
                raise
            self.log.warning("The Docker engine doesn't answer; %s counts as running until it does.", self._log_name)
            return None

    async def in_thread(self, function: Callable[..., Result], *args: Any) -> Result:
        """`function(*args)` without blocking the hub."""
        return await asyncio.wrap_future(self.executor.submit(function, *args))
