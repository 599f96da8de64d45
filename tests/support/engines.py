"""Docker engines beside the machine's own, which they leave as it is; one of them with userns-remap."""

from __future__ import annotations

import contextlib
import pwd
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import docker

# Of its own for the default network, and others for those that a hub makes.
_BRIDGE = "regrow-userns"
_ADDRESS = "10.213.0.1/24"
_POOL = "base=10.213.128.0/17,size=24"
_ALL = "10.213.0.0/16"

_TIMEOUT_S = 60


@contextlib.contextmanager
def remapped_engine() -> Iterator[str]:
    """The URL (for DOCKER_HOST) of an engine with files, bridge and addresses of its own; all is gone in the end.

    Not with `--bridge=none`, which removes the other engine's docker0.
    """
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="regrow-test-engine-")))
        folder.chmod(0o711)  # for the remapped root
        host = f"unix://{folder}/docker.sock"
        if not _has_user("dockremap"):  # made by the engine
            stack.callback(run, "userdel", "dockremap")
        run("ip", "link", "add", _BRIDGE, "type", "bridge")
        stack.callback(run, "ip", "link", "delete", _BRIDGE)
        run("ip", "address", "add", _ADDRESS, "dev", _BRIDGE)
        run("ip", "link", "set", _BRIDGE, "up")
        # The engine leaves the firewall alone, whose chains are the other engine's.
        stack.enter_context(way_out(_ALL))
        options = [
            "--userns-remap=default",
            f"--bridge={_BRIDGE}",
            f"--default-address-pool={_POOL}",
            "--iptables=false",
            "--ip6tables=false",
        ]
        stack.enter_context(running_engine(folder, host, options))
        yield host


@contextlib.contextmanager
def way_out(network: str) -> Iterator[None]:
    """Addresses of `network` reach the outside through this machine."""
    rules = [
        ["filter", "FORWARD", "-s", network, "-j", "ACCEPT"],
        ["filter", "FORWARD", "-d", network, "-j", "ACCEPT"],
        ["nat", "POSTROUTING", "-s", network, "!", "-d", network, "-j", "MASQUERADE"],
    ]
    with contextlib.ExitStack() as stack:
        for table, chain, *rule in rules:
            run("iptables", "-t", table, "-I", chain, *rule)
            stack.callback(run, "iptables", "-t", table, "-D", chain, *rule)
        yield


@contextlib.contextmanager
def running_engine(folder: Path, host: str, options: list[str], inside: Sequence[str] = ()) -> Iterator[None]:
    """An engine that answers at `host` and keeps its files in `folder`, started by the command `inside`."""
    files = [f"--host={host}", f"--data-root={folder}/data", f"--exec-root={folder}/exec", f"--pidfile={folder}/pid"]
    with (folder / "dockerd.log").open("wb") as log:
        engine = subprocess.Popen(
            [*inside, "dockerd", *files, *options], stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    try:
        _wait_until_it_answers(engine, host, folder / "dockerd.log")
        yield
    finally:
        engine.terminate()
        engine.wait(timeout=_TIMEOUT_S)


def copy_image(image: str, host: str) -> None:
    """Have the engine at `host` take `image` from the machine's own engine."""
    with subprocess.Popen(["docker", "save", image], stdout=subprocess.PIPE) as saving:
        run("docker", "--host", host, "load", "--quiet", stdin=saving.stdout)
    assert saving.returncode == 0, f"docker save {image} failed"


def _wait_until_it_answers(engine: subprocess.Popen[bytes], host: str, log: Path) -> None:
    deadline = time.monotonic() + _TIMEOUT_S
    while True:
        assert engine.poll() is None and time.monotonic() < deadline, log.read_text()[-3000:]
        with contextlib.suppress(docker.errors.DockerException):
            return docker.DockerClient(base_url=host).close()
        time.sleep(0.1)


def _has_user(name: str) -> bool:
    return any(user.pw_name == name for user in pwd.getpwall())


def run(*command: str, **options: object) -> None:
    """Run a command that must succeed."""
    subprocess.run(command, check=True, **options)  # type: ignore[call-overload]
