"""Which notebook a kernel belongs to, also after the notebook was renamed or moved."""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE
from pathlib import Path, PurePosixPath
from typing import Any

from jupyter_core.utils import ensure_async
from jupyter_server.serverapp import ServerApp

from .kernel_control import MOVED, Kernel, NoAnswer, ask, speaks_python
from .kernel_manager import NOTEBOOK

#: What jupyter-server says of files, https://jupyter-server.readthedocs.io/en/latest/operators/configuring-logging.html
CONTENTS_EVENTS = "https://events.jupyter.org/jupyter_server/contents_service/v1"

_TIMEOUT_S = 10.0
# -I: none of the modules in `$BUILD`, which are for kernels.
_MOVE = (sys.executable, "-I", "-m", "regrow.server_extension.move_states")


async def kernel_of(session_manager: Any, kernel_manager: Any, path: str) -> Kernel | None:
    """The kernel of the notebook `path` of the REST API; None where none runs."""
    for session in await ensure_async(session_manager.list_sessions()):
        if session["path"].strip("/") == path:
            kernel: Kernel = kernel_manager.get_kernel(session["kernel"]["id"])
            return kernel
    return None


class Notebooks:
    """Follows the notebooks of `serverapp`: what is kept of one, and its kernel, have its new name soon after.

    Only what goes through the server is seen, not `mv` in a terminal.
    """

    def __init__(self, serverapp: ServerApp) -> None:
        self._serverapp = serverapp
        self._log = serverapp.log
        self._one_at_a_time = asyncio.Lock()
        self._telling: set[asyncio.Task[None]] = set()

    async def on_event(self, logger: Any, schema_id: str, data: dict[str, Any]) -> None:
        """jupyter-server's listener: it passes these three by name."""
        if data["action"] == "delete":
            async with self._one_at_a_time:
                await self._forget_kept(PurePosixPath(data["path"].strip("/")))
        elif data["action"] == "rename":
            old, new = (PurePosixPath(data[field].strip("/")) for field in ("source_path", "path"))
            async with self._one_at_a_time:
                # First what is kept: it takes the place of what there is under the new name.
                await self._move_kept(old, new)
                await self._rename_sessions(old, new)

    def session_changed(self, kernel_id: str) -> None:
        """The session of a kernel may have another path: a front end says so after it has saved under another name."""
        task = asyncio.create_task(self._tell(kernel_id))
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def _rename_sessions(self, old: PurePosixPath, new: PurePosixPath) -> None:
        """A front end does so too for the notebook that it shows, a little later and with the same outcome."""
        sessions = self._serverapp.session_manager
        for session in await ensure_async(sessions.list_sessions()):
            path = PurePosixPath(session["path"].strip("/"))
            if path.suffix != ".ipynb" or not path.is_relative_to(old):
                continue
            moved = new / path.relative_to(old)
            names = {"name": moved.name} if session["name"] == path.name else {}
            await ensure_async(sessions.update_session(session["id"], path=str(moved), **names))

    async def _tell(self, kernel_id: str) -> None:
        try:
            async with self._one_at_a_time:
                session = await ensure_async(self._serverapp.session_manager.get_session(kernel_id=kernel_id))
            kernel: Any = self._serverapp.kernel_manager.get_kernel(kernel_id)
            path = self._absolute(session["path"])
            if path.suffix != ".ipynb":
                return
            # For a restart. A front end changes the path and the name of a session one after the other.
            kernel.update_env(env={NOTEBOOK: str(path)})
            if speaks_python(kernel):
                await ask(kernel, MOVED, {"path": str(path)}, timeout_s=_TIMEOUT_S)
        except NoAnswer as error:
            self._log.info("Kernel %s does not know that its notebook was moved. %s", kernel_id, error)
        except Exception:
            self._log.exception("Kernel %s does not know that its notebook was moved.", kernel_id)

    async def _forget_kept(self, gone: PurePosixPath) -> None:
        if gone.suffix in (".ipynb", ""):  # without a suffix it may have been a folder
            await self._run(gone)

    async def _move_kept(self, old: PurePosixPath, new: PurePosixPath) -> None:
        if ".ipynb" in (old.suffix, new.suffix) or self._absolute(str(new)).is_dir():
            await self._run(old, new)

    async def _run(self, *names: PurePosixPath) -> None:
        paths = [os.fsencode(self._absolute(str(name))) for name in names]
        # In a process of its own: it imports the store.
        process = await asyncio.create_subprocess_exec(*_MOVE, *paths, stdin=DEVNULL, stdout=DEVNULL, stderr=PIPE)
        _, said = await process.communicate()
        if process.returncode:
            what = said.decode(errors="replace").strip()
            self._log.warning("What was saved of %s is still under its old name: %s", names[0], what)

    def _absolute(self, path: str) -> Path:
        return Path(self._serverapp.root_dir) / path.strip("/")
