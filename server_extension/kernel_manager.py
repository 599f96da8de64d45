"""The server's manager of kernels, whose kernels save before they stop."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager

from .kernel_control import MESSAGE_TYPES
from .saving import KernelSaves

#: In a kernel's environment: `no` keeps it from restoring what was saved for its notebook.
RESTORE = "REGROW_RESTORE"
#: jupyter-server puts the notebook there.
NOTEBOOK = "JPY_SESSION_NAME"

_reason: ContextVar[str] = ContextVar("reason", default="shutdown")


class SavingKernelManager(AsyncMappingKernelManager):
    """What stops a kernel has it save first: its user, the culler, a restart that somebody asked for.

    The server's own stop is not here: the extension has all kernels save at once, before the server ends them. A
    kernel that died is started again by its own manager and not through this one.
    """

    saves: KernelSaves | None = None
    #: Called with the id of a kernel whose notebook may have another name now.
    notebook_changed: Callable[[str], object] | None = None

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)  # type: ignore[no-untyped-call]
        # A kernel that is asked to save is not in use for that.
        self.untracked_message_types = [*self.untracked_message_types, *MESSAGE_TYPES]

    async def start_kernel(self, **kwargs: Any) -> str:  # type: ignore[override]
        env = kwargs.get("env") or {}
        notebook = env.get(NOTEBOOK, "")
        if notebook.endswith(".ipynb"):
            # Of a session without a name, jupyter-server says the path as it is in the REST API.
            kwargs["env"] = {**env, NOTEBOOK: str(Path(self.root_dir) / notebook)}
        return str(await super().start_kernel(**kwargs))

    async def shutdown_kernel(  # type: ignore[override]
        self, kernel_id: str, now: bool = False, restart: bool = False
    ) -> None:
        if not now:
            kernel, reason = self.get_kernel(kernel_id), _reason.get()
            used = getattr(kernel, "last_activity", None)
            await self._save(reason, kernel)
            if reason == "cull" and getattr(kernel, "last_activity", None) != used:
                self.log.info("Kernel %s is in use again: it is not culled.", kernel_id)
                return
        await super().shutdown_kernel(kernel_id, now=now, restart=restart)  # type: ignore[no-untyped-call]

    async def cull_kernel_if_idle(self, kernel_id: str) -> None:
        token = _reason.set("cull")
        try:
            await super().cull_kernel_if_idle(kernel_id)  # type: ignore[no-untyped-call]
        finally:
            _reason.reset(token)

    async def restart_kernel(self, kernel_id: str, now: bool = False) -> Any:  # type: ignore[override]
        """Somebody asked for it, so they want a clean kernel."""
        if not now:
            await self._save("restart", self.get_kernel(kernel_id))
        super().update_env(kernel_id=kernel_id, env={RESTORE: "no"})
        try:
            return await super().restart_kernel(kernel_id, now=now)  # type: ignore[no-untyped-call]
        finally:
            super().update_env(kernel_id=kernel_id, env={RESTORE: os.environ.get(RESTORE, "")})

    def update_env(self, *, kernel_id: str, env: dict[str, str]) -> None:
        super().update_env(kernel_id=kernel_id, env=env)
        if NOTEBOOK in env and self.notebook_changed:
            self.notebook_changed(kernel_id)

    async def _save(self, reason: str, kernel: Any) -> None:
        if self.saves:
            await self.saves.before(reason, kernel)


def saving(manager_class: type) -> type:
    """`manager_class`, which an administrator or a user may have chosen, with what `SavingKernelManager` adds.

    A class that is none of jupyter-server's asynchronous ones is returned as it is.
    """
    if manager_class is AsyncMappingKernelManager or not issubclass(manager_class, AsyncMappingKernelManager):
        return SavingKernelManager if manager_class is AsyncMappingKernelManager else manager_class
    return type(f"Saving{manager_class.__name__}", (SavingKernelManager, manager_class), {})
