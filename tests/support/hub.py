"""A real hub for tests: its own process, proxy, database, folder, and (with containers) network."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import docker
import httpx
from docker.errors import APIError

from regrow.hub_config.deployment import CONFIG_VARIABLE
from regrow.hub_config.hub_api import HubAPI
from regrow.hub_config.proxy import ensure_proxy
from regrow.spawner.volumes import mount_points

from support.ports import free_port

CONFIG_FILE = Path(__file__).parents[2] / "hub_config/jupyterhub_config.py"
# A busy machine once took more than a minute before the hub's first line.
START_TIMEOUT_S = 180
# A server that is being stopped meanwhile has a minute to save what its kernels have.
STOP_TIMEOUT_S = 120
ADMIN_SCOPES = ["admin:groups", "groups", "tokens", "read:users"]


async def bash(api: HubAPI, user: str, script: str, timeout_s: float = 60) -> str:
    """What `script` prints, on either stream, in a `%%bash` cell of the user's server."""
    cell = await api.run_cell(user, f"%%bash --no-raise-error\n{{\n{script}\n}} 2>&1", timeout_s)
    assert not cell.error, cell.traceback
    return cell.stdout


@dataclass
class Hub:
    """A deployment of Regrow in a subprocess. `start`, `kill` and `stop` may be called again and again."""

    folder: Path
    config: dict[str, Any]
    config_file: Path = CONFIG_FILE
    port: int = field(default_factory=free_port)
    hub_port: int = field(default_factory=free_port)
    api_port: int = field(default_factory=free_port)
    projects_port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None
    environment: dict[str, str] = field(default_factory=dict)
    admin_token: str = field(default_factory=lambda: secrets.token_hex(16))
    start_timeout_s: float = START_TIMEOUT_S

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def data_dir(self) -> Path:
        return self.folder / "data"

    @property
    def log(self) -> Path:
        return self.folder / "hub.log"

    @property
    def name(self) -> str:
        return str(self.config.get("Regrow", {}).get("name", "regrow"))

    def api(self) -> HubAPI:
        """A client with the rights of the deployment's own `regrow-cli` service."""
        return HubAPI(self.url, (self.data_dir / "hub/cli_token").read_text().strip())

    async def admin(self, method: str, path: str, body: Any = None) -> Any:
        """A request with rights that the `regrow-cli` service doesn't have: groups, and everybody's tokens."""
        async with HubAPI(self.url, self.admin_token) as api:
            return await api.request(method, path, body)

    def start(self) -> Hub:
        """Start the hub and wait until its REST API answers."""
        config: dict[str, Any] = json.loads(json.dumps(self.config))
        config.setdefault("Regrow", {}).update(data_dir=str(self.data_dir), projects_port=self.projects_port)
        config.setdefault("JupyterHub", {}).update(
            bind_url=self.url,
            hub_port=self.hub_port,
            services=[{"name": "test-admin", "api_token": self.admin_token}],
            load_roles=[{"name": "test-admin", "services": ["test-admin"], "scopes": ADMIN_SCOPES}],
        )
        config.setdefault("ConfigurableHTTPProxy", {})["api_url"] = f"http://127.0.0.1:{self.api_port}"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "jupyterhub", "-f", str(self.config_file)],
                cwd=self.folder,
                env={**os.environ, "PYTHONFAULTHANDLER": "1", CONFIG_VARIABLE: json.dumps(config), **self.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + self.start_timeout_s
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(f"{self.url}/hub/api/", trust_env=False).status_code == 200:
                    return self
            time.sleep(0.1)
        self._abort()
        raise AssertionError(f"the hub did not start:\n{self.log.read_text()[-20000:]}")

    def stop(self) -> None:
        """Stop the hub as Ctrl-C does; users' servers go on."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(timeout=STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                self._abort()
                raise AssertionError(f"the hub did not stop:\n{self.log.read_text()[-20000:]}") from None

    def kill(self) -> None:
        """Kill the hub, and only the hub, as the kernel's out-of-memory killer would."""
        assert self.process
        self.process.kill()
        self.process.wait(timeout=10)

    def _abort(self) -> None:
        """End a hub that hangs so that its log has the stack of each of its threads (faulthandler)."""
        assert self.process
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGABRT)
            self.process.wait(timeout=10)


@contextlib.contextmanager
def running_hub(folder: Path, config: dict[str, Any], **options: Any) -> Iterator[Hub]:
    """A hub that is stopped at the end, with everything that it made."""
    ensure_proxy()
    folder.mkdir(parents=True, exist_ok=True)
    hub = Hub(folder, config, **options)
    try:
        yield hub.start()
    finally:
        hub.stop()
        if config["Regrow"]["spawner"] == "local":
            remove_local_servers(hub.data_dir)
        else:
            remove_containers(hub.data_dir, hub.name, hub.environment)


def remove_local_servers(data_dir: Path) -> None:
    """End the processes whose home is below `data_dir`, and remove it."""
    marker = f"HOME={data_dir}/".encode()
    for environ in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if marker in environ.read_bytes():
                os.kill(int(environ.parent.name), signal.SIGKILL)
    _remove(data_dir)


def remove_containers(data_dir: Path, name: str, environment: dict[str, str] | None = None) -> None:
    """Remove what the deployment `name` made on the engine (that of `environment`), and `data_dir`."""
    client = docker.from_env(environment={**os.environ, **(environment or {})})
    if client.info()["Swarm"].get("ControlAvailable"):
        for service in client.services.list(filters={"label": f"io.regrow.data-dir={data_dir}"}):
            service.remove()
    for container in client.containers.list(
        all=True, ignore_removed=True, filters={"label": f"io.regrow.data-dir={data_dir}"}
    ):
        container.remove(force=True, v=True)
    # NAME-node last: NAME-swarm is made from it.
    for network in sorted(client.networks.list(names=[name]), key=lambda network: network.name, reverse=True):
        remove_network(network)
    client.close()
    _remove(data_dir)


def remove_network(network: Any) -> None:
    """Remove a network; the engine takes a Swarm's containers and parts off it in the background."""
    deadline = time.monotonic() + 15
    while True:
        try:
            return network.remove()
        except APIError as error:
            # In use, or known to the Swarm no more while this machine's part is still there.
            if error.status_code not in (400, 403, 409) or time.monotonic() > deadline:
                raise
        time.sleep(0.1)


def _remove(data_dir: Path) -> None:
    # Forks, and the folder bound to itself, which os.path.ismount doesn't notice.
    for point in reversed(mount_points()):
        if point == data_dir or data_dir in point.parents:
            subprocess.run(["umount", "--lazy", str(point)], check=True)
    shutil.rmtree(data_dir)
