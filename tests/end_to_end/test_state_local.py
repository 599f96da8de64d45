"""Stops of local servers: by the culler, by a signal, and where a kernel hangs."""

import asyncio
import os
import signal
import time
from pathlib import Path

import pytest

from support.hub import running_hub
from support.server_notebooks import MAKE, Notebook

GRACE_S = 10


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    """A hub that stops idle servers after seconds, and gives a stop a few."""
    config = {
        "Regrow": {"spawner": "local", "idle_timeout_s": 15},
        "RegrowSpawner": {"stop_grace_s": GRACE_S},
        "Spawner": {"poll_interval": 1},
        # How often it looks for what servers say of their activity.
        "JupyterHub": {"last_activity_interval": 2},
    }
    with running_hub(tmp_path_factory.mktemp("hub"), config) as hub:
        yield hub


async def opened(api, user):
    await api.start_server(user, {})
    notebook = Notebook(api, user)
    await notebook.make()
    await notebook.open()
    return notebook


async def gone(api, user):
    async with asyncio.timeout(120):
        while (await api.user_model(user))["servers"]:
            await asyncio.sleep(0.2)


def server_of(hub, user):
    """The process of a user's server."""
    folder = hub.data_dir / "users" / user.replace("-", "-2d")
    return int((folder / "server-.pid").read_text().split()[0])


async def test_the_culler_is_a_pause(hub, new_user):
    async with hub.api() as api, new_user(api) as user:
        notebook = await opened(api, user)
        await notebook.run(MAKE % "left alone")
        await gone(api, user)
        await api.start_server(user, {})
        await notebook.open()
        await notebook.check("left alone")


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL], ids=str)
async def test_a_signal_from_elsewhere_is_a_pause(hub, new_user, signum):
    async with hub.api() as api, new_user(api) as user:
        notebook = await opened(api, user)
        before = time.time()
        await notebook.run(MAKE % "signalled")
        if signum == signal.SIGKILL:
            await notebook.autosaved(before)
        os.kill(server_of(hub, user), signum)
        await gone(api, user)
        await api.start_server(user, {})
        await notebook.open()
        await notebook.check("signalled")


async def test_a_kernel_that_hangs_holds_a_stop_for_no_longer_than_the_grace(hub, new_user):
    async with hub.api() as api, new_user(api) as user:
        notebook = await opened(api, user)
        before = time.time()
        await notebook.run(MAKE % "before it hung")
        await notebook.autosaved(before)
        os.kill(int(await notebook.run("import os; os.getpid()")), signal.SIGSTOP)
        server = server_of(hub, user)
        started = time.monotonic()
        await api.stop_server(user)
        assert 7 < time.monotonic() - started < GRACE_S + 5 + 15
        assert not Path(f"/proc/{server}").exists()
        await api.start_server(user, {})
        await notebook.open()
        await notebook.check("before it hung")


async def test_an_idle_kernel_is_culled_and_comes_back_while_its_server_goes_on(tmp_path, new_user):
    config = {"Regrow": {"spawner": "local", "kernel_idle_timeout_s": 4}}
    with running_hub(tmp_path / "hub", config) as hub:
        async with hub.api() as api, new_user(api) as user:
            notebook = await opened(api, user)
            await notebook.run(MAKE % "of an idle kernel")
            async with asyncio.timeout(120):
                while await notebook.request("GET", "api/kernels"):
                    await asyncio.sleep(0.5)
            await notebook.open()
            await notebook.check("of an idle kernel")
