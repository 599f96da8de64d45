"""Two hubs that differ in their spawner: plain DockerSpawner, and Regrow. Each has its folder and network."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import docker
import docker.errors
import httpx

from bench.peers import WORK
from regrow.hub_config.proxy import ensure_proxy
from regrow.spawner.engine import ensure_network

IMAGE = "regrow/notebook:cpu"
UP_TIMEOUT_S = 120

# DockerSpawner as its documentation sets it up, with its defaults; it starts JupyterHub's own server.
PLAIN = """
c.JupyterHub.spawner_class = "docker"
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allow_all = True
c.JupyterHub.hub_ip = {gateway!r}
c.DockerSpawner.image = {image!r}
c.DockerSpawner.cmd = ["jupyterhub-singleuser"]
c.DockerSpawner.network_name = {name!r}
c.DockerSpawner.use_internal_ip = True
c.DockerSpawner.prefix = {name!r}
c.Spawner.default_url = "/lab"
c.Spawner.http_timeout = 120
c.Spawner.start_timeout = 180
c.ConfigurableHTTPProxy.command = {proxy!r}
c.JupyterHub.services = [{{"name": "bench", "api_token": os.environ["BENCH_TOKEN"]}}]
c.JupyterHub.load_roles = [
    {{"name": "bench", "services": ["bench"], "scopes": ["admin:users", "servers", "tokens"]}}
]
"""

REGROW = """
from regrow.hub_config import configure
c.Regrow.name = {name!r}
c.Regrow.data_dir = {data_dir!r}
c.Regrow.spawner = "docker"
c.Regrow.profiles = [{{"slug": "cpu", "name": "CPU", "image": {image!r}}}]
configure(c)
"""


@dataclass(frozen=True)
class Hub:
    """A running hub: its URL, a token that makes users and servers, and its process."""

    url: str
    token: str
    pid: int


@contextmanager
def plain_hub(python: Path) -> Iterator[Hub]:
    """A hub with plain DockerSpawner, run by the Python that has it."""
    with _hub(PLAIN, python) as hub:
        yield hub


@contextmanager
def regrow_hub() -> Iterator[Hub]:
    """A hub with Regrow's configuration."""
    with _hub(REGROW, Path(sys.executable)) as hub:
        yield hub


@contextmanager
def _hub(config: str, python: Path) -> Iterator[Hub]:
    name = f"regrow-bench-{secrets.token_hex(3)}"
    WORK.mkdir(exist_ok=True)
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="hub-", dir=WORK))
        stack.callback(shutil.rmtree, folder)
        data_dir = folder / "data"
        stack.callback(_unmount, data_dir)
        client = docker.APIClient()
        stack.callback(client.close)
        gateway = ensure_network(client, name)
        stack.callback(_remove_all, client, name)
        proxy = ensure_proxy()
        port, token = _free_ports(3), secrets.token_hex(32)
        lines = [
            "import os",
            "c = get_config()",
            f'c.JupyterHub.bind_url = "http://127.0.0.1:{port}"',
            f"c.JupyterHub.hub_port = {port + 1}",
            f'c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{port + 2}"',
            config.format(name=name, gateway=gateway, image=IMAGE, proxy=proxy, data_dir=str(data_dir)),
        ]
        (folder / "jupyterhub_config.py").write_text("\n".join(lines))
        log_path = folder / "hub.log"
        log = stack.enter_context(log_path.open("w"))
        process = subprocess.Popen(
            [str(python), "-m", "jupyterhub", "-f", "jupyterhub_config.py"],
            cwd=folder,
            env=os.environ | {"BENCH_TOKEN": token, "CONFIGPROXY_AUTH_TOKEN": secrets.token_hex(32)},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        stack.callback(_end, process)
        url = f"http://127.0.0.1:{port}"
        _wait_until_up(url, process, log_path)
        cli_token = data_dir / "hub" / "cli_token"
        yield Hub(url, cli_token.read_text().strip() if cli_token.exists() else token, process.pid)


def _wait_until_up(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + UP_TIMEOUT_S
    while process.poll() is None and time.monotonic() < deadline:
        try:
            if httpx.get(f"{url}/hub/api/", trust_env=False).is_success:
                return
        except httpx.HTTPError:
            time.sleep(0.1)
    raise RuntimeError(f"A hub to measure did not start. The end of its log:\n{log.read_text()[-3000:]}")


def _end(process: subprocess.Popen[bytes]) -> None:
    """Stop the hub, and with it the proxy that is in its session."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(60)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _remove_all(client: docker.APIClient, name: str) -> None:
    """Remove a hub's network and all the containers on it, also those that were stopped."""
    for container in client.containers(all=True, filters={"network": name}):
        client.remove_container(container["Id"], v=True, force=True)
    try:
        client.remove_network(name)
    except docker.errors.APIError as error:  # the engine can believe in a container that is long gone
        print(f"The network {name} was left: {error.explanation}. Remove it: docker network rm {name}", file=sys.stderr)


def _unmount(folder: Path) -> None:
    """Undo what makes mounts below the data directory reach containers; it may have been done twice."""
    # Path.is_mount does not know a bind mount from the same filesystem.
    while f" {folder} " in Path("/proc/self/mountinfo").read_text():
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _free_ports(count: int) -> int:
    """The first of some consecutive ports, free on every address: containers use the bridge's."""
    while True:
        first = 20000 + secrets.randbelow(10000)
        with ExitStack() as stack:
            try:
                for port in range(first, first + count):
                    stack.enter_context(socket.socket()).bind(("", port))
            except OSError:
                continue
            return first
