"""A second Docker engine, with userns-remap, beside the machine's own, which it leaves as it is."""

from __future__ import annotations

import contextlib
import pwd
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import docker

# Of its own for the default network, and others for those that a hub makes.
_BRIDGE = "regrow-userns"
_ADDRESS = "10.213.0.1/24"
_POOL = "base=10.213.128.0/17,size=24"
_ALL = "10.213.0.0/16"

# It leaves the firewall alone, whose chains are the other engine's, so containers' way out is opened here.
_RULES = [
    ["filter", "FORWARD", "-s", _ALL, "-j", "ACCEPT"],
    ["filter", "FORWARD", "-d", _ALL, "-j", "ACCEPT"],
    ["nat", "POSTROUTING", "-s", _ALL, "!", "-d", _ALL, "-j", "MASQUERADE"],
]
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
            stack.callback(_run, "userdel", "dockremap")
        _run("ip", "link", "add", _BRIDGE, "type", "bridge")
        stack.callback(_run, "ip", "link", "delete", _BRIDGE)
        _run("ip", "address", "add", _ADDRESS, "dev", _BRIDGE)
        _run("ip", "link", "set", _BRIDGE, "up")
        for table, chain, *rule in _RULES:
            _run("iptables", "-t", table, "-I", chain, *rule)
            stack.callback(_run, "iptables", "-t", table, "-D", chain, *rule)
        with (folder / "dockerd.log").open("wb") as log:
            engine = subprocess.Popen(
                [
                    "dockerd",
                    "--userns-remap=default",
                    f"--host={host}",
                    f"--data-root={folder}/data",
                    f"--exec-root={folder}/exec",
                    f"--pidfile={folder}/pid",
                    f"--bridge={_BRIDGE}",
                    f"--default-address-pool={_POOL}",
                    "--iptables=false",
                    "--ip6tables=false",
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        stack.callback(engine.wait, timeout=_TIMEOUT_S)
        stack.callback(engine.terminate)
        _wait_until_it_answers(engine, host, folder / "dockerd.log")
        yield host


def copy_image(image: str, host: str) -> None:
    """Have the engine at `host` take `image` from the machine's own engine."""
    with subprocess.Popen(["docker", "save", image], stdout=subprocess.PIPE) as saving:
        _run("docker", "--host", host, "load", "--quiet", stdin=saving.stdout)
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


def _run(*command: str, **options: object) -> None:
    subprocess.run(command, check=True, **options)  # type: ignore[call-overload]
