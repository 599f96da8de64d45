"""Starting servers and kernels beside plain DockerSpawner and a stock ipykernel.

Two real hubs run at the same time, of the same JupyterHub, with the same image on networks of the same
kind; one has plain DockerSpawner with its defaults (its containers have no volumes, and run
`jupyterhub-singleuser`), the other one has Regrow's configuration (home, projects and build volumes, and
`regrow-singleuser`). A server is ready when the hub's progress stream says so and its own REST API answers
through the proxy.

Both keep a stopped container. So a user who returns is compared with plain DockerSpawner's own restart of a
stopped container, and also with its new container.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path

from bench.case import Case, PeerUnavailable, memory_of_tree_bytes
from bench.peers import pip_environment
from bench.spawn.hubs import IMAGE, plain_hub, regrow_hub
from bench.spawn.kernels import Kernels
from bench.spawn.users import ReturningUser, new_container, users_at_once
from regrow.images.build import build_image, image_exists
from regrow.images.progress import BuildProgress
from regrow.spawner.engine import engine_answers

AT_ONCE = 10


@contextmanager
def cases() -> Iterator[list[Case]]:
    """The cases, with both hubs running. Builds a missing image. Raises PeerUnavailable without an engine."""
    if not engine_answers():
        raise PeerUnavailable("no Docker engine answers")
    if not image_exists(IMAGE):
        with BuildProgress() as progress:
            build_image("cpu", progress=progress)
    plain_name = f"DockerSpawner {version('dockerspawner')}"
    plain_python = pip_environment(
        "dockerspawner",
        f"jupyterhub=={version('jupyterhub')}",
        f"dockerspawner=={version('dockerspawner')}",
    )
    stock_name = f"ipykernel {version('ipykernel')}"
    stock_python = pip_environment("ipykernel", f"ipykernel=={version('ipykernel')}")
    with regrow_hub() as ours, plain_hub(plain_python) as plain, tempfile.TemporaryDirectory() as kernels:
        hub_memory = partial(memory_of_tree_bytes, ours.pid)
        our_user, plain_user = ReturningUser(ours), ReturningUser(plain)
        our_kernels = Kernels(Path(sys.executable), Path(kernels) / "ours")
        stock_kernels = Kernels(stock_python, Path(kernels) / "stock")
        yield [
            Case(
                "request to ready, new container",
                ours=lambda: new_container(ours),
                peer=lambda: new_container(plain),
                peer_name=plain_name,
                unit="s",
                goal=1 / 1.1,
                rounds=7,
                memory=hub_memory,
            ),
            Case(
                "request to ready, stopped container",
                ours=our_user.returns,
                peer=plain_user.returns,
                peer_name=f"{plain_name}, its stopped container",
                unit="s",
                goal=2.0,
                rounds=7,
                memory=hub_memory,
            ),
            Case(
                "request to ready, stopped container beside a new one",
                ours=our_user.returns,
                peer=lambda: new_container(plain),
                peer_name=f"{plain_name}, a new container",
                unit="s",
                goal=2.0,
                rounds=7,
                memory=hub_memory,
            ),
            Case(
                f"{AT_ONCE} users at once, all ready",
                ours=lambda: users_at_once(ours, AT_ONCE),
                peer=lambda: users_at_once(plain, AT_ONCE),
                peer_name=plain_name,
                unit="s",
                goal=1 / 1.1,
                rounds=3,
                memory=hub_memory,
            ),
            Case(
                "kernel start to first reply",
                ours=our_kernels.start_to_first_reply,
                peer=stock_kernels.start_to_first_reply,
                peer_name=stock_name,
                unit="s",
                goal=1 / 1.15,
                rounds=21,
                memory=our_kernels.memory_bytes,
            ),
        ]
