"""The jupyter-server extension: snapshots of this server's projects, on a timer and before the server stops."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import suppress
from subprocess import DEVNULL, PIPE

from jupyter_server.extension.application import ExtensionApp
from jupyter_server.serverapp import ServerApp
from traitlets import Float

_COMMAND = (sys.executable, "-P", "-m", "regrow.client.automatic")


class RegrowExtension(ExtensionApp):
    """Regrow's part of a notebook server."""

    name = "regrow"

    snapshot_interval_s = Float(
        600, min=0, config=True, help="Seconds between automatic snapshots of the projects. 0: none on a timer."
    )
    last_snapshot_timeout_s = Float(
        8, min=0, config=True, help="Most seconds that a stop waits for the snapshots before it. Containers have 10."
    )

    _timer: asyncio.Task[None] | None = None

    async def _start_jupyter_server_extension(self, serverapp: ServerApp) -> None:
        # By itself a server without a terminal ends at SIGINT, JupyterHub's first word to a local one, as it stands.
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, serverapp.stop)
        if self.snapshot_interval_s and os.environ.get("REGROW_SERVICE_URL"):
            self._timer = asyncio.create_task(self._on_a_timer())

    async def stop_extension(self) -> None:
        """Take the snapshots before the stop; what takes too long is left to the timer's last ones."""
        if self._timer is None:
            return
        self._timer.cancel()
        with suppress(asyncio.CancelledError):
            await self._timer
        try:
            async with asyncio.timeout(self.last_snapshot_timeout_s):
                await self._snapshots("stop")
        except TimeoutError:
            self.log.warning("The snapshots before the stop took too long: those of the timer are the last ones.")

    async def _on_a_timer(self) -> None:
        while True:
            await asyncio.sleep(self.snapshot_interval_s)
            await self._snapshots("timer")

    async def _snapshots(self, reason: str) -> None:
        """In a process of its own: it imports what the server does not need, and may end when it likes."""
        process = await asyncio.create_subprocess_exec(*_COMMAND, reason, stdin=DEVNULL, stdout=DEVNULL, stderr=PIPE)
        try:
            _, said = await process.communicate()
        except asyncio.CancelledError:
            with suppress(ProcessLookupError):
                process.terminate()
            raise
        for line in said.decode(errors="replace").splitlines():
            self.log.warning("Snapshots: %s", line)
