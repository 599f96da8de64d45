"""The REST API of what is saved: `regrow/api/state?path=NOTEBOOK` (docs/state.md)."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from tornado import web
from tornado.iostream import StreamClosedError

from regrow.state.places import state_dir, status_file

from .kernel_control import ANSWER_TIMEOUT_S, NoAnswer, speaks_python
from .saving import save
from .sessions import kernel_of
from .state_files import notebook_path, read_status

_LOOK_S = 0.5
_SIGN_OF_LIFE_S = 15.0


class _StateHandler(APIHandler):
    auth_resource = "regrow_state"
    # A page that shows the status must not keep its server from being idle.
    _track_activity = False

    def notebook(self) -> Path:
        """The notebook that is asked about, or the answer 404."""
        path = self.get_argument("path", strip=False)
        found = notebook_path(self.serverapp.root_dir, path) if self.serverapp else None
        if found is None:
            raise web.HTTPError(404, f"There is no notebook {path!r} below this server's folder.")
        return found

    def status_file(self) -> Path:
        return status_file(state_dir(os.environ), self.notebook())


class StateHandler(_StateHandler):
    """What is saved of a notebook's kernel, and saving it now."""

    @web.authenticated
    @authorized
    async def get(self) -> None:
        status = read_status(self.status_file())
        if status is None:
            raise web.HTTPError(
                404, f"Nothing is known of {self.get_argument('path')!r}: its kernel has not saved yet."
            )
        self.finish(json.dumps(status))

    @web.authenticated
    @authorized
    async def post(self) -> None:
        self.notebook()
        path = self.get_argument("path", strip=False)
        kernel = await kernel_of(self.session_manager, self.kernel_manager, path.strip("/"))
        if kernel is None:
            raise web.HTTPError(404, f"No kernel of {path!r} runs. Open the notebook first.")
        if not speaks_python(kernel):
            raise web.HTTPError(409, f"The kernel of {path!r} is not Python's, and only Python's variables are saved.")
        try:
            reply = await save(kernel, "request", self.settings["regrow"].stop_timeout_s, ANSWER_TIMEOUT_S)
        except NoAnswer as error:
            raise web.HTTPError(504, f"The kernel of {path!r} did not save. {error}") from error
        self.finish(json.dumps({"saved": bool(reply.get("saved")), "message": str(reply.get("message", ""))}))


class StateEventsHandler(_StateHandler):
    """The status as server-sent events: once at the beginning if there is one, then whenever it has changed."""

    _gone = False

    def on_connection_close(self) -> None:
        self._gone = True

    @web.authenticated
    @authorized
    async def get(self) -> None:
        file = self.status_file()
        self.set_header("Content-Type", "text/event-stream")
        self.set_header("Cache-Control", "no-cache")
        last: Any = None
        loop = asyncio.get_running_loop()
        said_at = loop.time() - _SIGN_OF_LIFE_S
        while not self._gone:
            status = read_status(file)
            if status is not None and status != last:
                last = status
                self.write(f"data: {json.dumps(status)}\n\n")
            elif loop.time() - said_at >= _SIGN_OF_LIFE_S:
                self.write(": \n\n")
            else:
                await asyncio.sleep(_LOOK_S)
                continue
            said_at = loop.time()
            try:
                await self.flush()
            except StreamClosedError:
                return


HANDLERS = [("/regrow/api/state", StateHandler), ("/regrow/api/state/events", StateEventsHandler)]
