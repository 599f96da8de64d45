"""Facts about the Docker engine and the host that it runs on."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import Any

import docker
from docker.errors import APIError, DockerException
from requests.exceptions import ConnectionError as NoConnection
from requests.exceptions import Timeout

from regrow.images.engine import connect
from regrow.images.errors import EngineMissing
from regrow.spawner.errors import StartError
from regrow.spawner.volumes import mount_points

#: What the engine's client raises when the engine answers with an error, or not at all.
ENGINE_ERRORS = (APIError, DockerException, NoConnection, Timeout)


class EngineError(Exception):
    """The engine cannot be used; the message says what to do."""


def engine_answers() -> bool:
    """Whether there is a Docker engine that this process may use."""
    try:
        connect(timeout_s=5).close()
    except EngineMissing:
        return False
    return True


def remapped_root(info: dict[str, Any]) -> int:
    """The host's user id of a container's root: 0, or more where the daemon runs with `userns-remap`.

    `info` is the engine's answer to `GET /info`. The engine names its data folder after the range that it uses
    (https://docs.docker.com/engine/security/userns-remap/), which is the only place that tells it.
    """
    if not any("name=userns" in option for option in info.get("SecurityOptions") or ()):
        return 0
    folder = Path(info["DockerRootDir"]).name
    found = re.fullmatch(r"(\d+)\.(\d+)", folder)
    if not found:
        raise EngineError(
            f"The engine remaps user ids, but its data folder {folder!r} doesn't say to which range, "
            "so the owner of users' folders is unknown."
        )
    return int(found[1])


def ensure_network(client: docker.APIClient, name: str) -> str:
    """Make the bridge network `name` where it is missing, and return its gateway: the host as containers see it.

    Containers on it reach the hub and the outside, not each other.
    """
    if not client.networks(names=[f"^{re.escape(name)}$"]):
        client.create_network(
            name,
            driver="bridge",
            options={"com.docker.network.bridge.enable_icc": "false"},
            labels={"io.regrow.deployment": name},
        )
    network = client.inspect_network(name)
    if network["Options"].get("com.docker.network.bridge.enable_icc") != "false":
        raise EngineError(
            f"The network {name!r} lets containers reach each other. Remove it (docker network rm {name}) so that it "
            "is made anew, or choose another Regrow.name."
        )
    return str(network["IPAM"]["Config"][0]["Gateway"])


def share_mounts(folder: Path) -> bool:
    """See to it that what is mounted below `folder` later reaches containers that already run.

    True when `folder` is on a mount that propagates (or could be put on one, which takes root); False when containers
    will only see what was mounted before they started.
    """
    if propagates(folder):
        return True
    if os.geteuid() != 0:
        return False
    for command in (["mount", "--bind", str(folder), str(folder)], ["mount", "--make-rshared", str(folder)]):
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            return False
    return propagates(folder)


def propagates(folder: Path) -> bool:
    """Whether mounts made below `folder` later reach containers that bind it.

    They do where the mount that it is on is shared: `shared:N` in its optional fields, proc_pid_mountinfo(5).
    """
    optional = [
        fields[6 : fields.index("-")]
        for fields in (line.split(" ") for line in Path("/proc/self/mountinfo").read_text().splitlines())
    ]
    where = folder.resolve()
    above = [
        (len(point.parts), number, any(field.startswith("shared:") for field in optional[number]))
        for number, point in enumerate(mount_points())
        if where == point or point in where.parents
    ]
    return max(above)[2]


def explain(error: Exception, what: str) -> StartError:
    """`error` of the engine while it did `what`, as a message for the user who waits for a server."""
    if isinstance(error, APIError):
        answer = str(error.explanation or error)
        if "could not select device driver" in answer or "nvidia" in answer.lower():
            return StartError(
                f"This machine has no GPU that containers can use: the Docker engine says {answer!r}. Choose a "
                "profile without a GPU. An administrator can install the NVIDIA driver and container toolkit.",
                reason="gpu",
                status_code=409,
            )
        if "no space left on device" in answer.lower():
            return StartError(
                f"The Docker engine's disk is full while it {what}. Your files are as they were. An administrator can "
                "make room (docker system df shows what takes it) and you can try again.",
                reason="disk",
                status_code=409,
            )
        return StartError(f"The Docker engine failed while it {what}: {answer}", reason="engine")
    return StartError(
        f"The Docker engine doesn't answer while it {what}. Your files are as they were. An administrator can start "
        "it (systemctl start docker) and you can try again.",
        reason="engine",
        status_code=409,
    )
