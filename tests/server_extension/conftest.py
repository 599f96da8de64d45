"""Servers whose kernels write down what they are asked: stand_in_kernel.py."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from support.notebook_server import NotebookServer, notebook_server, until

STAND_IN = Path(__file__).with_name("stand_in_kernel.py")


@dataclass
class Asked:
    """What the kernels of a server were asked."""

    log: Path

    def events(self, event: str = "") -> list[dict[str, Any]]:
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [found for found in map(json.loads, lines) if event in ("", found["event"])]

    def reasons(self) -> list[str]:
        return [save["reason"] for save in self.events("save")]

    def wait(self, event: str, count: int = 1) -> list[dict[str, Any]]:
        """The events of this name, once there are so many."""
        until(lambda: len(self.events(event)) >= count, f"{count} {event}")
        return self.events(event)


@pytest.fixture
def asked(tmp_path: Path) -> Iterator[Asked]:
    asked = Asked(tmp_path / "asked.jsonl")
    yield asked
    for kernel in asked.events("started"):
        with contextlib.suppress(ProcessLookupError):
            os.kill(kernel["pid"], signal.SIGKILL)


@pytest.fixture
def server(tmp_path: Path, asked: Asked) -> Callable[..., AbstractContextManager[NotebookServer]]:
    """`server(*arguments, **environment)` runs one that has the kernels `stand-in`, `bare` and `other-language`."""
    for name, language, more in [
        ("stand-in", "python", []),
        ("bare", "python", ["bare"]),
        ("other-language", "R", []),
    ]:
        spec = tmp_path / "jupyter/kernels" / name
        spec.mkdir(parents=True)
        argv = [sys.executable, str(STAND_IN), str(asked.log), *more, "-f", "{connection_file}"]
        (spec / "kernel.json").write_text(json.dumps({"argv": argv, "display_name": name, "language": language}))

    def run(*arguments: str, **environment: str) -> AbstractContextManager[NotebookServer]:
        return notebook_server(tmp_path, *arguments, JUPYTER_PATH=str(tmp_path / "jupyter"), **environment)

    return run
