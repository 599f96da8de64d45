"""A notebook server with Regrow's extension and without a hub, and its sessions."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import websockets

from regrow.hub_config.kernel_protocol import KERNEL_PROTOCOL, CellResult, execute

from support.ports import free_port

TOKEN = "secret"
DEADLINE_S = 90


def until(condition: Any, what: str, seconds: float = DEADLINE_S) -> Any:
    """What `condition()` is when it is true for the first time."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(0.05)
    return value


@dataclass
class NotebookServer:
    """A server whose folder is `root`."""

    process: subprocess.Popen[bytes]
    root: Path
    log: Path
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def request(self, method: str, path: str, *, expect: int = 200, token: str = TOKEN, **more: Any) -> httpx.Response:
        headers = {"Authorization": f"token {token}"} if token else {}
        answer = httpx.request(method, self.url + path, headers=headers, timeout=90, trust_env=False, **more)
        assert answer.status_code == expect, f"{method} {path}: {answer.status_code} {answer.text}\n{self.said}"
        return answer

    @property
    def said(self) -> str:
        return self.log.read_text()

    def new_notebook(self, path: str) -> None:
        cells = {"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
        (self.root / path).parent.mkdir(parents=True, exist_ok=True)
        (self.root / path).write_text(json.dumps(cells))

    def open(self, path: str, kernel: str = "python3") -> dict[str, Any]:
        """A session of the notebook `path`, as JupyterLab makes one."""
        body = {"path": path, "name": Path(path).name, "type": "notebook", "kernel": {"name": kernel}}
        session: dict[str, Any] = self.request("POST", "/api/sessions", expect=201, json=body).json()
        return session

    def state(self, kernel_id: str) -> str:
        return str(self.request("GET", f"/api/kernels/{kernel_id}").json()["execution_state"])

    @contextlib.asynccontextmanager
    async def connected(self, kernel_id: str) -> Any:
        """The kernel's websocket."""
        async with websockets.connect(
            f"ws://127.0.0.1:{self.port}/api/kernels/{kernel_id}/channels?session_id=test",
            additional_headers={"Authorization": f"token {TOKEN}"},
            subprotocols=[KERNEL_PROTOCOL],
            proxy=None,
        ) as socket:
            yield socket

    async def run(self, kernel_id: str, code: str) -> CellResult:
        async with self.connected(kernel_id) as socket:
            return await execute(socket, code, "test")


@contextlib.contextmanager
def notebook_server(folder: Path, *arguments: str, **environment: str) -> Iterator[NotebookServer]:
    """A server on `folder/root`, whose home is `folder/home`. It is killed in the end if it still runs."""
    root, log, port = folder / "root", folder / "server.log", free_port()
    for made in (root, folder / "home"):
        made.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "jupyter_server", f"--port={port}", f"--ServerApp.root_dir={root}", "--no-browser"]
    command += [f"--IdentityProvider.token={TOKEN}", *(["--allow-root"] if os.geteuid() == 0 else []), *arguments]
    environ = {
        **os.environ,
        "HOME": str(folder / "home"),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        **environment,
    }
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=folder, env=environ, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )
    server = NotebookServer(process, root, log, port)

    def answers() -> bool:
        assert process.poll() is None, server.said
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(f"{server.url}/api", trust_env=False).status_code == 200
        return False

    try:
        until(answers, "the server answers")
        yield server
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(10)
