"""`regrow up` as an administrator runs it: a process with a terminal's output and Ctrl-C."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import httpx

from support.ports import free_port


@dataclass
class Up:
    """One `regrow up` after the other, on one folder and port."""

    folder: Path
    arguments: list[str]
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def data_dir(self) -> Path:
        return self.folder / "data"

    @property
    def command(self) -> list[str]:
        regrow = str(Path(sys.prefix) / "bin/regrow")
        return [regrow, "up", f"--port={self.port}", f"--data-dir={self.data_dir}", *self.arguments]

    @property
    def output(self) -> str:
        """What it printed since it was started first."""
        return (self.folder / "up.log").read_text()

    @property
    def password(self) -> str:
        """The administrator's password, as it was printed."""
        found = re.search(r"password +(\S+)", self.output)
        assert found, self.output
        return found[1]

    def start(self, timeout_s: float = 600) -> Up:
        """Run it until the hub answers."""
        with (self.folder / "up.log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command,
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline and self.process.poll() is None:
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(f"{self.url}/hub/api/", trust_env=False).status_code == 200:
                    return self
            time.sleep(0.2)
        raise AssertionError(f"regrow up did not come up:\n{self.output[-5000:]}")

    def ctrl_c(self) -> None:
        """What Ctrl-C in its terminal does: SIGINT to the whole process group."""
        assert self.process
        os.killpg(self.process.pid, signal.SIGINT)
        # A server that is being stopped has a minute to save what its kernels have.
        self.process.wait(timeout=90)


def up(folder: Path, *arguments: str) -> Up:
    """A `regrow up` that is not started yet."""
    folder.mkdir(parents=True, exist_ok=True)
    return Up(folder, list(arguments), free_port(1, 81))
