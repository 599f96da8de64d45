"""A real kernel over its real protocol: run a cell, and see what a notebook would see."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager


@dataclass
class Outcome:
    """What a cell did. `arrivals` are the times of stream messages, in seconds after the request."""

    status: str = ""
    ename: str = ""
    evalue: str = ""
    traceback: str = ""
    stdout: str = ""
    stderr: str = ""
    displays: list[dict[str, Any]] = field(default_factory=list)
    arrivals: list[float] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def result(self) -> str:
        """The plain text of the last thing that was displayed."""
        return str(self.displays[-1]["text/plain"]) if self.displays else ""


class Kernel:
    """A running kernel."""

    def __init__(self, manager: KernelManager, client: BlockingKernelClient, home: Path) -> None:
        self.manager = manager
        self.client = client
        self.home = home

    def run(self, code: str, timeout: float = 120) -> Outcome:
        """Run a cell to its end."""
        return self.finish(self.start(code), timeout)

    def ok(self, code: str, timeout: float = 120) -> Outcome:
        """Run a cell that must succeed."""
        outcome = self.run(code, timeout)
        assert outcome.status == "ok", outcome
        return outcome

    def start(self, code: str) -> tuple[str, Outcome, float]:
        """Send a cell, and go on."""
        return self.client.execute(code), Outcome(), time.monotonic()

    def read_until(self, started: tuple[str, Outcome, float], text: str, timeout: float = 60) -> None:
        """Follow a started cell until its standard output holds `text`."""
        deadline = time.monotonic() + timeout
        while text not in started[1].stdout:
            assert time.monotonic() < deadline, started[1]
            assert not self._read(started, deadline), started[1]

    def finish(self, started: tuple[str, Outcome, float], timeout: float = 120) -> Outcome:
        """Follow a started cell to its end."""
        deadline = time.monotonic() + timeout
        while not self._read(started, deadline):
            pass
        message, outcome, begun = started
        while True:
            reply = self.client.get_shell_msg(timeout=max(0.1, deadline - time.monotonic()))
            if reply["parent_header"].get("msg_id") == message:
                break
        outcome.status = reply["content"]["status"]
        outcome.seconds = time.monotonic() - begun
        return outcome

    def _read(self, started: tuple[str, Outcome, float], deadline: float) -> bool:
        """Take one message; True when the kernel is idle again."""
        message, outcome, begun = started
        got = self.client.get_iopub_msg(timeout=max(0.1, deadline - time.monotonic()))
        if got["parent_header"].get("msg_id") != message:
            return False
        kind, content = got["msg_type"], got["content"]
        if kind == "stream":
            outcome.arrivals.append(time.monotonic() - begun)
            if content["name"] == "stdout":
                outcome.stdout += content["text"]
            else:
                outcome.stderr += content["text"]
        elif kind in ("display_data", "execute_result", "update_display_data"):
            outcome.displays.append(content["data"])
        elif kind == "error":
            outcome.ename, outcome.evalue = content["ename"], content["evalue"]
            outcome.traceback = "\n".join(content["traceback"])
        return bool(kind == "status" and content["execution_state"] == "idle")

    def complete(self, text: str, timeout: float = 30) -> list[str]:
        """What the Tab key offers after `text`."""
        message = self.client.complete(text, len(text))
        deadline = time.monotonic() + timeout
        while True:
            reply = self.client.get_shell_msg(timeout=max(0.1, deadline - time.monotonic()))
            if reply["parent_header"].get("msg_id") == message:
                return list(reply["content"]["matches"])

    def interrupt(self) -> None:
        """What the notebook's stop button does."""
        self.manager.interrupt_kernel()


@contextlib.contextmanager
def a_kernel(home: Path, env: Mapping[str, str], cwd: Path | None = None) -> Iterator[Kernel]:
    """A kernel of its own, with `home` as HOME and the working directory `cwd` (or home)."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("REGROW", "XDG", "BUILD"))}
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel(env={**kept, "HOME": str(home), **env}, cwd=str(cwd or home))
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)
        yield Kernel(manager, client, home)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
        manager.cleanup_resources()


MakeKernel = Callable[..., Kernel]


def build_environment(root: Path) -> dict[str, str]:
    """What `regrow-singleuser` sets for a build volume in `root`."""
    prefix = root / "abi-1" / "local"
    prefix.mkdir(parents=True, exist_ok=True)
    return {"BUILD": str(prefix.parent), "REGROW_BUILD_PREFIXES": str(prefix)}
