"""`regrow doctor`: what this machine has for Regrow, what it lacks, and how to get that."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import docker
from traitlets.config import Application, catch_config_error

from regrow.hub_config.deployment import Regrow
from regrow.hub_config.ports import is_free
from regrow.hub_config.proxy import ProxyError, proxy_command
from regrow.hub_service.trees import KINDS, kind_for
from regrow.images.build import image_exists
from regrow.images.engine import connect
from regrow.images.errors import EngineMissing
from regrow.spawner.engine import EngineError, propagates, remapped_root
from regrow.spawner.profiles import ProfileError

_GIB = 1024**3
_LOW_DISK_BYTES = 10 * _GIB


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. `state` is `ok`, `note` (works, with a limit) or `missing` (the hub can't run)."""

    what: str
    state: str
    says: str


class DoctorApp(Application):
    """Look at this machine and say what Regrow would lack here, and how to get it.

    Exit status 0 when `regrow up` can work, 1 when something that it needs is missing.
    """

    name = "regrow doctor"
    description = __doc__
    examples = "regrow doctor"
    classes = [Regrow]
    aliases = {"data-dir": "Regrow.data_dir", "name": "Regrow.name", "spawner": "Regrow.spawner"}
    flags = {}

    @catch_config_error
    def initialize(self, argv: Any = None) -> None:
        super().initialize(argv)
        if self.extra_args:
            print(f"regrow doctor takes no argument {self.extra_args[0]!r}.", file=sys.stderr)
            self.exit(2)

    def start(self) -> None:
        findings = examine(Regrow(config=self.config))
        width = max(len(finding.what) for finding in findings)
        marks = {"ok": "ok     ", "note": "note   ", "missing": "MISSING"}
        for finding in findings:
            print(f"{marks[finding.state]}  {finding.what:{width}}  {finding.says}")
        self.exit(1 if any(finding.state == "missing" for finding in findings) else 0)


def examine(regrow: Regrow) -> list[Finding]:
    """Everything `regrow doctor` looks at, in the order in which `regrow up` needs it."""
    findings = [
        _python(),
        _proxy(),
        _data_dir(Path(regrow.data_dir)),
        _disk("disk", Path(regrow.data_dir)),
        _forks(Path(regrow.data_dir)),
        _port(8000),
    ]
    if regrow.spawner == "local":
        findings.append(_tools())
    return findings + _engine(regrow)


def _python() -> Finding:
    return Finding("Python", "ok", ".".join(map(str, sys.version_info[:3])))


def _proxy() -> Finding:
    try:
        proxy_command()
    except ProxyError:
        return Finding("proxy", "note", "configurable-http-proxy is not installed; regrow up installs it")
    return Finding("proxy", "ok", "configurable-http-proxy is installed")


def _data_dir(data_dir: Path) -> Finding:
    existing = next(folder for folder in (data_dir, *data_dir.parents) if folder.exists())
    if not os.access(existing, os.W_OK):
        return Finding("data_dir", "missing", f"{data_dir} can't be written; choose another with --data-dir")
    if existing == data_dir and data_dir.stat().st_mode & 0o077:
        return Finding("data_dir", "note", f"others may look into {data_dir}; regrow up sets its mode to 0700")
    return Finding("data_dir", "ok", str(data_dir))


def _disk(what: str, folder: Path) -> Finding:
    existing = next(above for above in (folder, *folder.parents) if above.exists())
    free = shutil.disk_usage(existing).free
    if free < _LOW_DISK_BYTES:
        return Finding(
            what, "note", f"{free / _GIB:.1f} GiB are free for {folder}; an image takes some GiB, users more"
        )
    return Finding(what, "ok", f"{free / _GIB:.0f} GiB are free for {folder}")


def _forks(data_dir: Path) -> Finding:
    existing = next(folder for folder in (data_dir, *data_dir.parents) if folder.exists())
    if not os.access(existing, os.W_OK):
        return Finding("forks", "note", f"how they would be made is not known: {existing} can't be written")
    kind = kind_for(existing)
    return Finding("forks", "note" if kind == "copy" else "ok", KINDS[kind])


def _port(port: int) -> Finding:
    if is_free("127.0.0.1", port):
        return Finding("port", "ok", f"{port} is free")
    return Finding("port", "note", f"{port} is taken (by a running hub?); regrow up --port takes another")


def _tools() -> Finding:
    missing = [tool for tool in ("g++", "cmake", "ninja", "git", "pkg-config") if not shutil.which(tool)]
    if missing:
        return Finding(
            "toolchain",
            "note",
            f"without {', '.join(missing)} local servers can't build C++. "
            "apt-get install build-essential cmake ninja-build git pkg-config",
        )
    return Finding("toolchain", "ok", "g++, cmake, ninja, git, pkg-config")


def _engine(regrow: Regrow) -> list[Finding]:
    try:
        client = connect(timeout_s=5)
    except EngineMissing as error:
        return [Finding("containers", "note" if regrow.spawner == "local" else "missing", str(error))]
    try:
        info = client.info()
        looks: list[Callable[[docker.APIClient, dict[str, Any], Regrow], list[Finding]]] = [
            _containers,
            _engine_disk,
            _isolation,
            _propagation,
            _gpus,
            _images,
        ]
        return [finding for look in looks for finding in look(client, info, regrow)]
    finally:
        client.close()


def _containers(client: docker.APIClient, info: dict[str, Any], regrow: Regrow) -> list[Finding]:
    swarm = info.get("Swarm", {}).get("LocalNodeState")
    findings = [Finding("containers", "ok", f"Docker engine {info['ServerVersion']}, Swarm {swarm}")]
    if regrow.spawner == "swarm" and swarm != "active":
        findings.append(Finding("swarm", "missing", "this engine is in no Swarm. docker swarm init"))
    elif regrow.spawner == "swarm" and not info["Swarm"].get("ControlAvailable"):
        findings.append(Finding("swarm", "missing", "this engine is a worker; the hub runs on a manager's machine"))
    return findings


def _engine_disk(client: docker.APIClient, info: dict[str, Any], regrow: Regrow) -> list[Finding]:
    folder = Path(info["DockerRootDir"])
    # An engine on another machine keeps its images and containers there.
    return [_disk("engine's disk", folder)] if folder.exists() else []


def _isolation(client: docker.APIClient, info: dict[str, Any], regrow: Regrow) -> list[Finding]:
    try:
        first = remapped_root(info)
    except EngineError as error:
        return [Finding("userns-remap", "missing", str(error))]
    if first:
        return [Finding("userns-remap", "ok", f"root in a container is user {first} here")]
    return [
        Finding(
            "userns-remap",
            "note",
            "off: root in a container is root here, held back by capabilities and seccomp alone. Set "
            '{"userns-remap": "default"} in /etc/docker/daemon.json',
        )
    ]


def _propagation(client: docker.APIClient, info: dict[str, Any], regrow: Regrow) -> list[Finding]:
    data_dir = Path(regrow.data_dir)
    if propagates(data_dir):
        return [Finding("mounts", "ok", "mounts made later reach running containers")]
    if os.geteuid() == 0:
        return [Finding("mounts", "ok", f"regrow up makes {data_dir} a shared mount, so later mounts reach containers")]
    return [
        Finding(
            "mounts",
            "note",
            f"mounts made later don't reach running containers. As root: mount --bind {data_dir} {data_dir} && "
            f"mount --make-rshared {data_dir}",
        )
    ]


def _gpus(client: docker.APIClient, info: dict[str, Any], regrow: Regrow) -> list[Finding]:
    if "nvidia" in (info.get("Runtimes") or {}):
        return [Finding("GPU", "ok", "the engine has the NVIDIA runtime")]
    return [Finding("GPU", "note", "the engine has no NVIDIA runtime. With a GPU: install nvidia-container-toolkit")]


def _images(client: docker.APIClient, info: dict[str, Any], regrow: Regrow) -> list[Finding]:
    try:
        profiles = regrow.parsed_profiles()
    except ProfileError as error:
        return [Finding("profiles", "missing", str(error))]
    images = sorted({profile.image for profile in profiles})
    return [
        Finding("image", "ok", image)
        if image_exists(image)
        else Finding("image", "note", f"{image} is not built; regrow up or regrow images build does it")
        for image in images
    ]
