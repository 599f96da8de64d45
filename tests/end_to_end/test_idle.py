"""Servers that nobody uses are stopped, when the administrator says so."""

import asyncio
from pathlib import Path

from support.hub import running_hub


def cullers(hub):
    """Process ids of jupyterhub-idle-culler with this hub's API in its environment."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            mine = f":{hub.hub_port}/".encode() in (process / "environ").read_bytes()
            culler = b"jupyterhub_idle_culler" in (process / "cmdline").read_bytes()
        except OSError:
            continue
        if mine and culler:
            found.append(int(process.name))
    return found


async def test_an_idle_server_is_stopped_and_a_killed_hub_leaves_no_culler(tmp_path, new_user):
    config = {"Regrow": {"spawner": "local", "idle_timeout_s": 4}}
    with running_hub(tmp_path / "hub", config) as hub:
        async with hub.api() as api, new_user(api) as user:
            await api.start_server(user)
            async with asyncio.timeout(180):
                while (await api.user_model(user))["servers"]:
                    await asyncio.sleep(0.5)
        assert len(cullers(hub)) == 1
        hub.kill()
        async with asyncio.timeout(10):
            while cullers(hub):
                await asyncio.sleep(0.1)
        hub.start()
        assert len(cullers(hub)) == 1
