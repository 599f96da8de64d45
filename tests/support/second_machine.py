"""A second machine for a Swarm: an engine in a network namespace, joined to this machine by a cable of its own."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from support.engines import run, running_engine, way_out

#: This machine's address on the cable.
FIRST_ADDRESS = "10.214.0.1"
_NETWORK = "10.214.0.0/24"
_NAME = "regrow-two"
_NEAR, _FAR = "regrow-near", "regrow-far"


@dataclass(frozen=True)
class Machine:
    """The second machine: its engine (for DOCKER_HOST), and its address on the cable."""

    host: str
    address: str

    def run(self, *command: str) -> None:
        """Run `command` in the machine's network."""
        run(*_inside(), *command)


@contextlib.contextmanager
def second_machine() -> Iterator[Machine]:
    """The machine, with files of its own and this machine's file system otherwise; it is gone in the end."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="regrow-test-machine-")))
        run("ip", "netns", "add", _NAME)
        stack.callback(run, "ip", "netns", "delete", _NAME)
        run("ip", "link", "add", _NEAR, "type", "veth", "peer", "name", _FAR, "netns", _NAME)
        run("ip", "address", "add", f"{FIRST_ADDRESS}/24", "dev", _NEAR)
        run("ip", "link", "set", _NEAR, "up")
        machine = Machine(f"unix://{folder}/docker.sock", "10.214.0.2")
        machine.run("ip", "link", "set", "lo", "up")
        machine.run("ip", "address", "add", f"{machine.address}/24", "dev", _FAR)
        machine.run("ip", "link", "set", _FAR, "up")
        machine.run("ip", "route", "add", "default", "via", FIRST_ADDRESS)
        stack.enter_context(way_out(_NETWORK))
        stack.enter_context(running_engine(folder, machine.host, [], inside=_inside()))
        yield machine


def _inside() -> list[str]:
    # `ip netns exec` would take a mount namespace of its own, in which nobody sees the engine's mounts.
    return ["nsenter", f"--net=/run/netns/{_NAME}"]
