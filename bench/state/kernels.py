"""Kernels to measure: of Regrow with a session, and of an environment with a peer."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import KernelManager

from bench.case import memory_of_tree_bytes
from bench.state.files import remove

NAME = "measured"
CELL_TIMEOUT_S = 900
_IN_KERNEL = Path(__file__).parent / "in_kernel"


class Kernel:
    """A running kernel. `started` is when its start was asked for, by `time.perf_counter`."""

    def __init__(self, manager: KernelManager, client: BlockingKernelClient, started: float) -> None:
        self.started = started
        self.manager = manager
        self._client = client

    @property
    def pid(self) -> int:
        """Its process."""
        return int(getattr(self.manager.provisioner, "pid", 0) or 0)

    def run(self, code: str) -> float:
        """Run a cell, as a notebook does; the seconds from the request to the reply."""
        started = time.perf_counter()
        self._reply(self._client.execute(code), code)
        return time.perf_counter() - started

    def value(self, expression: str) -> Any:
        """What an expression is, evaluated beside the notebook: no cell's hooks run, and nothing is bound."""
        message = self._client.execute("", silent=True, user_expressions={"value": expression})
        answer = self._reply(message, expression)["user_expressions"]["value"]
        if answer["status"] != "ok":
            raise RuntimeError(f"{expression}: {answer['ename']}: {answer['evalue']}")
        return ast.literal_eval(answer["data"]["text/plain"])

    def quietly(self, call: str) -> None:
        """A call of a function of `in_kernel/measured.py` there, as a cell that is none of the notebook's."""
        code = f"__import__('measured').{call}"
        self._reply(self._client.execute(code, silent=True), code)

    def measured(self, call: str) -> Any:
        """A call of a function of `in_kernel/measured.py` there."""
        return self.value(f"__import__('measured').{call}")

    def _reply(self, message: str, code: str) -> Mapping[str, Any]:
        deadline = time.monotonic() + CELL_TIMEOUT_S
        while True:
            reply = self._client.get_shell_msg(timeout=max(0.1, deadline - time.monotonic()))
            if reply["parent_header"].get("msg_id") == message:
                break
        content: Mapping[str, Any] = reply["content"]
        if content["status"] != "ok":
            raise RuntimeError(f"{code[:200]}: {content.get('ename')}: {content.get('evalue')}")
        return content


class Notebook:
    """A notebook in a `folder` of its own, which is also its user's home; kernels of `python` have it in turn."""

    def __init__(self, folder: Path, python: Path, **env: str) -> None:
        self.folder = folder
        self.path = folder / "n.ipynb"
        self.state = folder / "state"
        self.pid = 0
        folder.mkdir(parents=True)
        cells = {"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
        self.path.write_text(json.dumps(cells))
        spec = folder / "kernels" / NAME / "kernel.json"
        spec.parent.mkdir(parents=True)
        argv = [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        spec.write_text(json.dumps({"argv": argv, "display_name": NAME, "language": "python"}))
        self._env = {"HOME": str(folder), "REGROW_STATE_DIR": str(self.state), "PYTHONPATH": str(_IN_KERNEL), **env}

    def specs(self) -> KernelSpecManager:
        """Where its kernel is specified, as `NAME`."""
        return KernelSpecManager(kernel_dirs=[str(self.folder / "kernels")])

    def environment(self) -> dict[str, str]:
        """The environment of its kernels, in which nothing of the machine's other notebooks is left."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("REGROW", "XDG", "JPY"))}
        return {**kept, **self._env}

    @contextmanager
    def kernel(self) -> Iterator[Kernel]:
        """A kernel of this notebook, which is killed in the end."""
        manager = KernelManager(kernel_name=NAME, kernel_spec_manager=self.specs())
        started = time.perf_counter()
        nothing = subprocess.DEVNULL
        manager.start_kernel(env=self.environment(), cwd=str(self.folder), stdout=nothing, stderr=nothing)
        client = manager.client()
        client.start_channels()
        try:
            kernel = Kernel(manager, client, started)
            self.pid = kernel.pid
            yield kernel
        finally:
            self.pid = 0
            client.stop_channels()
            manager.shutdown_kernel(now=True)
            manager.cleanup_resources()

    def memory_bytes(self) -> int:
        """Resident memory of the kernel that runs and of its children, in bytes."""
        return memory_of_tree_bytes(self.pid) if self.pid else 0

    def remove(self) -> None:
        """Leave nothing of it."""
        remove(self.folder)

    def forget(self) -> None:
        """Remove what was saved of it."""
        remove(self.state)


def with_session(folder: Path, python: Path, **env: str) -> Notebook:
    """A notebook whose kernels have a session of Regrow's."""
    return Notebook(folder, python, JPY_SESSION_NAME=str(folder / "n.ipynb"), **env)


def with_kishu(folder: Path, python: Path) -> Notebook:
    """A notebook for Kishu, which is told to do without a browser: where there is one it waits for that as well."""
    mode = {"ENV_KISHU_TEST_MODE": "1", "TEST_NOTEBOOK_PATH": str(folder / "n.ipynb"), "KISHU_PATH_ROOT": str(folder)}
    return Notebook(folder, python, **mode)
