"""The jupyter-server extension: what a server keeps by itself, on a timer, on request and before it stops."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import suppress
from subprocess import DEVNULL, PIPE
from typing import Any

from jupyter_server.extension.application import ExtensionApp
from jupyter_server.gateway.gateway_client import GatewayClient
from jupyter_server.serverapp import ServerApp
from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager
from traitlets import Float, default
from traitlets.config import Config
from traitlets.utils.importstring import import_item

from .handlers import HANDLERS
from .kernel_manager import SavingKernelManager, saving
from .saving import KernelSaves
from .sessions import CONTENTS_EVENTS, Notebooks
from .stopping import kernel_idle_timeout, stop_budget_s

_COMMAND = (sys.executable, "-P", "-m", "regrow.client.automatic")


class RegrowExtension(ExtensionApp):
    """Regrow's part of a notebook server."""

    name = "regrow"

    snapshot_interval_s = Float(
        600, min=0, config=True, help="Seconds between automatic snapshots of the projects. 0: none on a timer."
    )
    stop_timeout_s = Float(
        min=0,
        config=True,
        help="""Most seconds that a stop of the server waits until its kernels have saved and the snapshots are taken,
        and that the end of one kernel waits until it has saved. Default: what RegrowSpawner.stop_grace_s leaves.""",
    )
    restart_timeout_s = Float(
        10, min=0, config=True, help="Most seconds that the restart of a kernel waits until it has saved."
    )

    _timer: asyncio.Task[None] | None = None
    _stop: asyncio.Task[None] | None = None
    _saves: KernelSaves | None = None

    @default("stop_timeout_s")
    def _stop_timeout_default(self) -> float:
        return stop_budget_s(os.environ)

    # Before the server is made

    def _link_jupyter_server_extension(self, serverapp: ServerApp) -> None:
        super()._link_jupyter_server_extension(serverapp)
        if GatewayClient.instance(parent=serverapp).gateway_enabled:
            return  # its kernels run elsewhere
        chosen = serverapp.config.ServerApp.get("kernel_manager_class", AsyncMappingKernelManager)
        manager = saving(import_item(chosen) if isinstance(chosen, str) else chosen)
        serverapp.update_config(Config({"ServerApp": {"kernel_manager_class": manager}}))
        serverapp.update_config(kernel_idle_timeout(os.environ, serverapp.config))

    # Once its parts are made

    def initialize_settings(self) -> None:
        assert self.serverapp and self.serverapp.event_logger
        manager: Any = self.serverapp.kernel_manager
        if not isinstance(manager, SavingKernelManager):
            return
        notebooks = Notebooks(self.serverapp)
        manager.saves = self._saves = KernelSaves(self.log, self._timeout_s)
        manager.notebook_changed = notebooks.session_changed
        self.serverapp.event_logger.add_listener(schema_id=CONTENTS_EVENTS, listener=notebooks.on_event)

    def initialize_handlers(self) -> None:
        self.handlers.extend(HANDLERS)

    def _timeout_s(self, reason: str) -> float:
        return min(self.restart_timeout_s, self.stop_timeout_s) if reason == "restart" else self.stop_timeout_s

    async def _start_jupyter_server_extension(self, serverapp: ServerApp) -> None:
        # By itself a server without a terminal ends at SIGINT, JupyterHub's first word to a local one, as it stands.
        asyncio.get_running_loop().add_signal_handler(signal.SIGINT, serverapp.stop)
        if self.snapshot_interval_s and os.environ.get("REGROW_SERVICE_URL"):
            self._timer = asyncio.create_task(self._on_a_timer())

    # Stopping

    async def stop_extension(self) -> None:
        """Have what is there saved. A second signal, which makes the server come here again, waits for the first."""
        if self._stop is None:
            self._stop = asyncio.create_task(self._before_the_stop())
        await asyncio.shield(self._stop)

    async def _before_the_stop(self) -> None:
        await asyncio.gather(self._last_saves(), self._last_snapshots())

    async def _last_saves(self) -> None:
        if self._saves and self.serverapp:
            manager: Any = self.serverapp.kernel_manager
            await self._saves.before_the_stop([manager.get_kernel(kernel) for kernel in manager.list_kernel_ids()])

    async def _last_snapshots(self) -> None:
        """Take the snapshots before the stop; what takes too long is left to the timer's last ones."""
        if self._timer is None:
            return
        self._timer.cancel()
        with suppress(asyncio.CancelledError):
            await self._timer
        try:
            async with asyncio.timeout(self.stop_timeout_s):
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
