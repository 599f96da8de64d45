"""A real JupyterHub for tests: local processes, no passwords, everything in one temporary folder."""

from __future__ import annotations

import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from regrow.hub_config.proxy import ensure_proxy

from support.ports import free_port

CONFIG = '''
import asyncio, json, os
from jupyterhub.spawner import SimpleLocalProcessSpawner

class TestSpawner(SimpleLocalProcessSpawner):
    """Local processes; the profile "broken" fails, "slow" takes a minute, in "raising" no cell can print."""

    def get_env(self):
        env = super().get_env()
        if self.user_options.get("profile") == "raising":
            env["IPYTHONDIR"] = os.path.join(os.getcwd(), "raising")
        return env

    async def start(self):
        profile = self.user_options.get("profile")
        if profile == "broken":
            error = RuntimeError("no image")
            error.jupyterhub_message = "The image regrow/nowhere is not on this machine"
            raise error
        if profile == "slow":
            await asyncio.sleep(60)
        return await super().start()

    async def progress(self):
        yield {"progress": 10, "message": "Making room"}
        yield {"progress": 50, "message": "Starting the server"}

c = get_config()
port = int(os.environ["TINY_HUB_PORT"])
c.JupyterHub.bind_url = f"http://127.0.0.1:{port}"
c.JupyterHub.hub_bind_url = f"http://127.0.0.1:{port + 1}"
c.ConfigurableHTTPProxy.api_url = f"http://127.0.0.1:{port + 2}"
c.ConfigurableHTTPProxy.command = json.loads(os.environ["TINY_HUB_PROXY"])
c.JupyterHub.db_url = "sqlite:///hub.sqlite"
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allow_all = True
c.JupyterHub.allow_named_servers = True
c.JupyterHub.spawner_class = TestSpawner
c.SimpleLocalProcessSpawner.home_dir_template = os.path.join(os.getcwd(), "homes", "{username}")
c.Spawner.args = ["--allow-root"]
c.Spawner.default_url = "/api/status"
c.Spawner.consecutive_failure_limit = 0
c.JupyterHub.load_roles = [
    {"name": name, "services": [name], "scopes": scopes.split()}
    for name, scopes in json.loads(os.environ["TINY_HUB_SERVICES"]).items()
]
c.JupyterHub.services = [
    {"name": name, "api_token": os.environ[f"TOKEN_{i}"]}
    for i, name in enumerate(json.loads(os.environ["TINY_HUB_SERVICES"]))
]
'''

CLI_SCOPES = "admin:users servers tokens"
"""What the service `regrow-cli` is given: make and delete users, start and stop servers, mint tokens."""


@dataclass
class TinyHub:
    """A running hub: its URL, its folder, the token of `regrow-cli`, and one that may only list users."""

    url: str
    folder: Path
    token: str
    weak_token: str


@contextmanager
def tiny_hub(folder: Path) -> Iterator[TinyHub]:
    """Start a hub in `folder`, and stop it with all its servers at the end."""
    (folder / "homes").mkdir(parents=True)
    (folder / "jupyterhub_config.py").write_text(CONFIG)
    startup = folder / "raising/profile_default/startup"
    startup.mkdir(parents=True)
    (startup / "00.py").write_text("def print(*args): raise OSError('no paper')\n")
    port = free_port(1, 2)
    hub = TinyHub(f"http://127.0.0.1:{port}", folder, secrets.token_hex(32), secrets.token_hex(32))
    environment = os.environ | {
        "TINY_HUB_PORT": str(port),
        "TINY_HUB_PROXY": json.dumps(ensure_proxy(Path(sys.prefix))),
        "TINY_HUB_SERVICES": json.dumps({"regrow-cli": CLI_SCOPES, "regrow-weak": "list:users"}),
        "TOKEN_0": hub.token,
        "TOKEN_1": hub.weak_token,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "CONFIGPROXY_AUTH_TOKEN": secrets.token_hex(32),
    }
    log_path = folder / "hub.log"
    with log_path.open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "jupyterhub", "-f", "jupyterhub_config.py"],
            cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    try:
        _wait_until_up(hub.url, process, log_path)
        yield hub
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


def _wait_until_up(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            if httpx.get(f"{url}/hub/api/", trust_env=False).is_success:
                return
        except httpx.HTTPError:
            time.sleep(0.1)
    raise RuntimeError(f"the test hub did not start:\n{log.read_text()}")
