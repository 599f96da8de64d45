"""Notebook servers as local processes, where there is no container engine.

For one machine and one trusted team: every server runs as the hub's own user, so users are not protected from each
other. The volumes, the launcher, the kernels and the magics are those of a container.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from subprocess import DEVNULL, STDOUT
from typing import Any

from jupyterhub.spawner import LocalProcessSpawner
from traitlets import Int, default

from regrow.spawner.base import RegrowSpawner
from regrow.spawner.volumes import Owner, safe_name

# What has not ended in the grace is asked once more, and then killed.
_LAST_WORD_S = 5
_LAST_LINES = 12
_LAST_BYTES = 4000


class RegrowLocalSpawner(RegrowSpawner, LocalProcessSpawner):  # type: ignore[misc]
    """One process per server, in the user's own folders, with a log file beside them."""

    started_at = Int(0, help="Start of the process in clock ticks since boot: tells a reused pid from our own.")

    @default("cmd")
    def _cmd_default(self) -> list[str]:
        return [str(Path(sys.prefix) / "bin" / "regrow-singleuser")]

    @default("interrupt_timeout")
    def _interrupt_timeout_default(self) -> int:
        # JupyterHub's first word to a local server.
        return self.stop_grace_s

    @default("term_timeout")
    def _term_timeout_default(self) -> int:
        return _LAST_WORD_S

    @property
    def log_file(self) -> Path:
        """Where the server's output goes; it outlives the hub, so it can't be the hub's own output."""
        return self._beside_home(".log")

    def get_args(self) -> list[str]:
        # jupyter-server refuses root unless told; a hub run by root has said so already.
        return [*super().get_args(), *(["--allow-root"] if os.geteuid() == 0 else [])]

    def make_preexec_fn(self, name: str) -> None:
        """Nothing: the process keeps the hub's user."""

    def user_env(self, env: dict[str, str]) -> dict[str, str]:
        volumes = self.volumes_of_user
        roots = [volumes.build, *(build.path for build in self.group_builds)]
        return {
            **env,
            "USER": self.user.name,
            "HOME": str(volumes.home),
            "PATH": f"{Path(sys.prefix) / 'bin'}:{env.get('PATH', os.defpath)}",
            "SHELL": "/bin/bash",
            "REGROW_PROJECTS": str(volumes.home / "projects"),
            "REGROW_BUILD_ROOTS": ":".join(map(str, roots)),
        }

    async def start(self) -> tuple[str, int]:
        if self.profile.gpus:
            self.say(10, "Local processes share this machine's GPUs: the profile's number is not enforced.")
        self.make_volumes(Owner(os.getuid(), os.getgid()))
        await self._end_untracked()
        projects = self.volumes_of_user.home / "projects"
        if not projects.is_symlink() and not projects.exists():
            projects.symlink_to("../projects")
        self.say(30, "Starting the notebook server as a local process.")
        with self.log_file.open("wb") as log:
            self.popen_kwargs = {
                "cwd": self.volumes_of_user.home,
                "stdin": DEVNULL,
                "stdout": log,
                "stderr": STDOUT,
            }
            host, port = await super().start()
        self.started_at = _started_at(self.pid)
        self._pid_file.write_text(f"{self.pid} {self.started_at}")
        self.say(60, "Waiting for JupyterLab.")
        await self.wait_listening(host, port, self._has_died, self._last_lines)
        return host, port

    @property
    def _pid_file(self) -> Path:
        return self._beside_home(".pid")

    def _beside_home(self, suffix: str) -> Path:
        """A file of this one server of the user's, where only the hub writes."""
        return self.volumes_of_user.root / f"server-{safe_name(self.name)}{suffix}"

    async def _end_untracked(self) -> None:
        """End a server that a hub started and didn't live to write down."""
        if not self._pid_file.exists():
            return
        pid, started_at = map(int, self._pid_file.read_text().split())
        if started_at and _started_at(pid) == started_at:
            self.log.warning("Ending process %d, a server of %s that no hub knows.", pid, self._log_name)
            self.pid, self.started_at = pid, started_at
            await self.stop()
        self._pid_file.unlink()
        self.clear_state()

    async def poll(self) -> int | None:
        if self.proc is None and self.pid and _started_at(self.pid) != self.started_at:
            self.clear_state()
            return 0
        status: int | None = await super().poll()
        return status

    async def delete_forever(self) -> None:
        """Called when the user is deleted: their files go where nobody finds them by name."""
        self.discard_volumes()

    def load_state(self, state: dict[str, Any]) -> None:
        super().load_state(state)
        self.started_at = state.get("started_at", 0)

    def get_state(self) -> dict[str, Any]:
        return {**super().get_state(), **({"started_at": self.started_at} if self.pid else {})}

    async def _has_died(self) -> bool:
        return await LocalProcessSpawner.poll(self) is not None

    async def _last_lines(self) -> str:
        with self.log_file.open("rb") as log:
            log.seek(max(0, self.log_file.stat().st_size - _LAST_BYTES))
            lines = log.read().decode(errors="replace").splitlines()
        return "\n".join(lines[-_LAST_LINES:])


def _started_at(pid: int) -> int:
    """When process `pid` started, in clock ticks since boot (proc_pid_stat(5)); 0 where none runs under that number."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    fields = stat.rpartition(")")[2].split()
    return 0 if fields[0] == "Z" else int(fields[19])
