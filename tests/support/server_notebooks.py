"""Notebooks on a user's server, as the tests of saved state use them."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from regrow.hub_config.hub_api import HubAPI, HubAPIError

DEADLINE_S = 120

#: A cell whose variables are one small, one that others share, and one that is larger than a pickle's own buffer.
MAKE = """
import numpy
lost = (number for number in range(3))
rows = numpy.arange(300_000.0)
first = rows[:3]
names = {"ada": [1, 2]}
again = names
secret = %r
"""
#: A variable that takes longer to save than the ten seconds that an engine gives by itself.
SLOW = """
class Slow:
    def __reduce__(self):
        import time
        time.sleep(15)
        return (Slow, ())
slow = Slow()
"""
#: What those of `MAKE` are afterwards.
LOOK = "first[0] = 7; (secret, float(rows[0]), float(rows[-1]), names is again)"


@dataclass
class Notebook:
    """The notebook `path` on the server of `user`, opened as JupyterLab does."""

    api: HubAPI
    user: str
    path: str = "projects/work/a.ipynb"
    kernel: str = ""

    async def request(self, method: str, path: str, body: Any = None) -> Any:
        return await self.api.server_request(self.user, method, path, body)

    async def make(self) -> None:
        """Make the notebook's file, and the folder."""
        folder = self.path.rpartition("/")[0]
        await self.request("PUT", f"api/contents/{folder}", {"type": "directory"})
        cells = {"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
        await self.request("PUT", f"api/contents/{self.path}", {"type": "notebook", "content": cells})

    async def open(self) -> None:
        """Start its kernel, or find the one that runs."""
        body = {"path": self.path, "name": self.path.rpartition("/")[2], "type": "notebook"}
        session = await self.request("POST", "api/sessions", {**body, "kernel": {"name": "python3"}})
        self.kernel = session["kernel"]["id"]

    async def run(self, code: str, timeout_s: float = DEADLINE_S) -> str | None:
        cell = await self.api.run_cell(self.user, code, timeout_s, kernel_id=self.kernel)
        assert not cell.error, cell.traceback
        return cell.value

    async def status(self) -> dict[str, Any]:
        """What the server says is saved; empty where it knows nothing."""
        try:
            status: dict[str, Any] = await self.request("GET", f"regrow/api/state?{urlencode({'path': self.path})}")
        except HubAPIError as error:
            assert error.status == 404, error
            return {}
        return status

    async def moved(self, path: str) -> None:
        """The notebook was renamed to `path`: wait until what is kept has followed."""
        self.path = path
        async with asyncio.timeout(DEADLINE_S):
            while not await self.status():
                await asyncio.sleep(0.2)

    async def autosaved(self, since: float) -> dict[str, Any]:
        """The status once there was an autosave after `since`."""
        end = time.monotonic() + DEADLINE_S
        while True:
            status = await self.status()
            if status.get("state") == "saved" and status["saved_at"] >= since:
                return status
            assert time.monotonic() < end, f"no autosave: {status}"
            await asyncio.sleep(0.3)

    async def check(self, secret: str) -> None:
        """Fail unless the variables of `MAKE % secret` are there."""
        value = await self.run(LOOK)
        assert value == str((secret, 7.0, 299999.0, True)), value
