"""What a user waits for: from the request for a server until it answers."""

from __future__ import annotations

import asyncio
import secrets
import time

from bench.spawn.hubs import Hub
from regrow.hub_config.hub_api import HubAPI


def new_container(hub: Hub) -> float:
    """Seconds from request to ready for a user who never had a server."""
    return asyncio.run(_new_users(hub, 1))


def users_at_once(hub: Hub, count: int) -> float:
    """Seconds until all of some new users, who ask at the same moment, are ready."""
    return asyncio.run(_new_users(hub, count))


class ReturningUser:
    """One user who comes back again and again to a server that was stopped."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._name = ""

    def returns(self) -> float:
        """Seconds from request to ready for the stopped server."""
        return asyncio.run(self._return())

    async def _return(self) -> float:
        async with HubAPI(self._hub.url, self._hub.token) as api:
            if not self._name:
                self._name = _new_name()
                await api.create_user(self._name)
                await _seconds_to_ready(api, self._name)
                await api.stop_server(self._name)
            seconds = await _seconds_to_ready(api, self._name)
            await api.stop_server(self._name)
            return seconds


async def _new_users(hub: Hub, count: int) -> float:
    async with HubAPI(hub.url, hub.token) as api:
        names = [_new_name() for _ in range(count)]
        for name in names:
            await api.create_user(name)
        started = time.perf_counter()
        await asyncio.gather(*(_seconds_to_ready(api, name) for name in names))
        seconds = time.perf_counter() - started
        await asyncio.gather(*(api.delete_user(name) for name in names))
        return seconds


async def _seconds_to_ready(api: HubAPI, user: str) -> float:
    """Ready: the hub's progress stream says so, and the server answers through the proxy."""
    started = time.perf_counter()
    await api.start_server(user)
    await api.server_request(user, "GET", "api/status")
    return time.perf_counter() - started


def _new_name() -> str:
    return f"bench-{secrets.token_hex(4)}"
