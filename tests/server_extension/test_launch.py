"""`regrow-singleuser` itself, with a hub that says yes."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import jupyterhub
import psutil
import pytest

from regrow.server_extension.abi import abi_key
from regrow.server_extension.environment import PYTHON

BIN = Path(sys.executable).parent
PREFIX = "/user/ada/"


class YesHub(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        scopes = ["access:servers!server=ada/"]
        body = json.dumps({"kind": "user", "name": "ada", "admin": False, "groups": [], "scopes": scopes}).encode()
        self.send_response(200)
        self.send_header("X-JupyterHub-Version", jupyterhub.__version__)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def hub_api() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), YesHub) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/hub/api"
        server.shutdown()
        thread.join()


@dataclass
class Server:
    process: subprocess.Popen[bytes]
    api: httpx.Client
    log: Path


def until(condition: Callable[[], object], what: str, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(0.05)


@contextmanager
def running(hub_api: str, folder: Path, **environment: str) -> Iterator[Server]:
    """A server whose home is `folder/home`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}{PREFIX}"
    environ = {
        "HOME": str(folder / "home"),
        "PATH": f"{BIN}:/usr/bin:/bin",
        "JUPYTERHUB_API_TOKEN": "secret",
        "JUPYTERHUB_API_URL": hub_api,
        "JUPYTERHUB_ACTIVITY_URL": f"{hub_api}/users/ada/activity",
        "JUPYTERHUB_BASE_URL": "/",
        "JUPYTERHUB_CLIENT_ID": "jupyterhub-user-ada",
        "JUPYTERHUB_OAUTH_ACCESS_SCOPES": '["access:servers!server=ada/"]',
        "JUPYTERHUB_OAUTH_CALLBACK_URL": f"{PREFIX}oauth_callback",
        "JUPYTERHUB_OAUTH_SCOPES": '["access:servers!server=ada/"]',
        "JUPYTERHUB_SERVICE_PREFIX": PREFIX,
        "JUPYTERHUB_SERVICE_URL": url,
        "JUPYTERHUB_USER": "ada",
        **environment,
    }
    log = folder / "log"
    with log.open("wb") as output:
        arguments = ["--allow-root"] if os.geteuid() == 0 else []
        process = subprocess.Popen(
            [BIN / "regrow-singleuser", *arguments], env=environ, cwd="/", stdout=output, stderr=output
        )
    api = httpx.Client(base_url=f"{url}api", headers={"Authorization": "token secret"}, timeout=30, trust_env=False)

    def answers() -> bool:
        assert process.poll() is None, log.read_text()
        try:
            return api.get("/status").status_code == 200
        except httpx.TransportError:
            return False

    try:
        until(answers, f"the server answers\n{log.read_text()}")
        yield Server(process, api, log)
    finally:
        api.close()
        process.terminate()
        process.wait(30)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home/projects/faces").mkdir(parents=True)
    return tmp_path / "home"


def test_kernels_have_the_environment_and_the_server_is_safe_from_it(hub_api: str, tmp_path: Path, home: Path) -> None:
    build = tmp_path / "build" / abi_key()
    library, site = build / "local/lib", build / f"local/lib/{PYTHON}/site-packages"
    site.mkdir(parents=True)
    (library / "libsqlite3.so.0").write_text("not a library")
    (site / "jupyterhub.py").write_text("raise SystemExit('the server loaded what the user installed')")
    with running(
        hub_api,
        tmp_path,
        REGROW_BUILD_ROOTS=f"{tmp_path}/build:{tmp_path}/groups/vision",
        REGROW_PROJECTS=str(home / "projects"),
        PYTHONPATH=str(site),
    ) as server:
        assert server.api.post("/kernels", json={"name": "python3", "path": "projects/faces"}).status_code == 201
        kernels: list[psutil.Process] = []

        def kernel_runs() -> bool:
            children = psutil.Process(server.process.pid).children(recursive=True)
            kernels[:] = [child for child in children if "ipykernel_launcher" in child.cmdline()]
            return bool(kernels)

        until(kernel_runs, "a kernel runs")
        environ = kernels[0].environ()
        maps = Path(f"/proc/{server.process.pid}/maps").read_text()
        assert Path(f"/proc/{server.process.pid}/cwd").resolve() == home / "projects"
        contents = server.api.get("/contents/").json()
        assert server.api.post("/terminals").status_code == 200
        lab = server.api.get(f"{server.api.base_url.join('../lab')}")
    assert environ["BUILD"] == str(build)
    assert environ["REGROW_BUILD_PREFIXES"] == f"{build}/local:{tmp_path}/groups/vision/{abi_key()}/local"
    assert environ["PATH"].startswith(f"{build}/local/bin:")
    assert environ["LD_LIBRARY_PATH"].startswith(f"{library}:")
    assert environ["PYTHONPATH"].startswith(f"{site}:")
    assert (build / "groups/vision").resolve() == tmp_path / "groups/vision" / abi_key()
    assert str(tmp_path / "build") not in maps
    assert lab.status_code == 200
    assert re.search(r'"preferredPath": "/?projects"', lab.text), "the file browser opens in the projects"
    assert [entry["name"] for entry in contents["content"]] == ["projects"], "JupyterLab's root is the home"


def test_a_server_starts_without_what_it_cannot_make(hub_api: str, tmp_path: Path, home: Path) -> None:
    (tmp_path / "full").write_text("")
    with running(
        hub_api,
        tmp_path,
        REGROW_BUILD_ROOTS=f"{tmp_path}/full",
        REGROW_PROJECTS=str(home / "missing"),
    ) as server:
        log = server.log.read_text()
    assert f"regrow: {tmp_path}/full/{abi_key()}/local could not be made: Not a directory" in log
    assert f"regrow: {home}/missing, the projects folder, can't be entered" in log


def test_getting_ready_is_quick() -> None:
    """What the launcher adds before it becomes the server, in processor time: nothing that a user could notice."""
    code = """
import time
before = time.process_time()
from regrow.server_extension import abi, environment, launch
key = abi.abi_key()
environment.server_environment({}, environment.build_roots({"REGROW_BUILD_ROOTS": "/nowhere"}), key)
print(time.process_time() - before)
"""
    runs = [
        subprocess.run([sys.executable, "-c", code], env=os.environ, capture_output=True, text=True, check=True)
        for _ in range(3)
    ]
    assert min(float(run.stdout) for run in runs) < 0.08
