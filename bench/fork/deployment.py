"""A deployment with a service that runs and two users, and what those do: through the client, as the magics do it."""

from __future__ import annotations

import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import httpx

from regrow.client import working
from regrow.client.hub import HubClient
from regrow.client.working import Working
from regrow.hub_config.ports import is_free
from regrow.hub_service.mounts import unmount
from regrow.spawner.volumes import Owner, make_user_volumes, mount_points, user_volumes

#: Below it is the service; and the variable that tells it what its users know.
PREFIX = "/services/regrow/"
SECRET = "BENCH_SECRET"
UP_TIMEOUT_S = 60
USERS = ADA, BOB = ("ada", "bob")
_CHECKOUT = Path(__file__).parents[2]


@dataclass
class Deployment:
    """One deployment in a folder. `fork` and `fork_and_snapshot` return seconds, `disk_of_a_fork` bytes."""

    data_dir: Path
    port: int
    secret: str
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    @contextmanager
    def acting(self, user: str) -> Iterator[HubClient]:
        """What is done with the client is done as in `user`'s server."""
        os.environ["REGROW_PROJECTS"] = str(self.projects_of(user))
        with HubClient(f"http://127.0.0.1:{self.port}{PREFIX}", f"{user}-{self.secret}") as hub:
            yield hub

    def projects_of(self, user: str) -> Path:
        """Where a user's projects are."""
        return user_volumes(self.data_dir, user).projects

    def publish(self, project: Working) -> None:
        """Have the owner of `project` let the others see it as it is now."""
        with self.acting(project.owner) as hub:
            working.publish(hub, project, "hub", "", _quiet)

    def made_fork(self, user: str, source: Working) -> Working:
        """A fork that stays."""
        with self.acting(user) as hub:
            return working.fork(hub, source.owner, source.name, self._name(), _quiet).working

    def fork(self, user: str, source: Working, file: str) -> float:
        """Fork, list the new project, and read `file` in it."""
        with self._forked(user, source, file) as (_, took):
            return took

    def fork_and_snapshot(self, user: str, source: Working, file: str) -> float:
        """The same, and take the fork's first snapshot of its own."""
        with self._forked(user, source, file) as (made, took), self.acting(user) as hub:
            started = time.monotonic()
            working.snapshot(hub, made, _quiet)
            return took + time.monotonic() - started

    def disk_of_a_fork(self, user: str, source: Working, file: str) -> float:
        """What a fork takes of the deployment's disk, by what all of its files take."""
        before = self._allocated_bytes()
        with self._forked(user, source, file):
            return self._allocated_bytes() - before

    def filesystem_of_a_fork(self, user: str, source: Working, file: str) -> float:
        """What a fork takes of the deployment's disk, by what the filesystem has left."""
        os.sync()
        before = _free_bytes(self.data_dir)
        with self._forked(user, source, file):
            os.sync()
            # Others write to the same disk: a ratio needs a value above 0.
            return max(1, before - _free_bytes(self.data_dir))

    @contextmanager
    def _forked(self, user: str, source: Working, file: str) -> Iterator[tuple[Working, float]]:
        name = self._name()
        os.sync()
        started = time.monotonic()
        with self.acting(user) as hub:
            forked = working.fork(hub, source.owner, source.name, name, _quiet)
            use(forked.working.folder, file)
            took = time.monotonic() - started
            yield forked.working, took
            hub.delete(user, name)
            hub.purge(forked.model["id"])

    def _allocated_bytes(self) -> int:
        # Not what is mounted: that is counted where its layers are.
        command = ["du", "--summarize", "--one-file-system", "--block-size=1", str(self.data_dir)]
        return int(subprocess.run(command, check=True, capture_output=True).stdout.split()[0])

    def _name(self) -> str:
        return f"fork-{next(self._numbers)}"


@contextmanager
def deployment(folder: Path) -> Iterator[Deployment]:
    """A new deployment in `folder`, its service running. Nothing is mounted there afterwards."""
    data_dir = folder / "data"
    made = Deployment(data_dir, _free_port(), secrets.token_hex(16))
    for user in USERS:
        make_user_volumes(user_volumes(data_dir, user), Owner(os.geteuid(), os.getegid()))
    log = folder / "service.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "bench.fork.service", str(data_dir), str(made.port)],
            cwd=_CHECKOUT,
            env={**os.environ, SECRET: made.secret},
            stdout=output,
            stderr=output,
        )
    try:
        _wait_until_up(made, process, log)
        yield made
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()
        for point in reversed(mount_points()):
            if data_dir in point.parents:
                unmount(point)


def use(folder: Path, file: str) -> None:
    """What a working tree is usable by: its top is listed, and a file of it read."""
    if not list(folder.iterdir()) or not (folder / file).read_bytes():
        raise RuntimeError(f"{folder} is not what was forked")


def _wait_until_up(made: Deployment, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + UP_TIMEOUT_S
    while process.poll() is None and time.monotonic() < deadline:
        try:
            httpx.get(f"http://127.0.0.1:{made.port}{PREFIX}api/openapi.json", trust_env=False).raise_for_status()
            return
        except httpx.HTTPError:
            time.sleep(0.1)
    raise RuntimeError(f"The service to measure did not start. The end of its log:\n{log.read_text()[-3000:]}")


def _free_port() -> int:
    while True:
        port = 20000 + secrets.randbelow(10000)
        if is_free("127.0.0.1", port):
            return port


def _free_bytes(folder: Path) -> int:
    status = os.statvfs(folder)
    return status.f_bfree * status.f_frsize


def _quiet(message: str) -> None:
    """Nobody watches."""
