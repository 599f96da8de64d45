"""What stops a container beside the hub, and how long each may take."""

import asyncio
import secrets
import time

import pytest

from support.hub import running_hub
from support.server_notebooks import MAKE, SLOW, Notebook

pytestmark = pytest.mark.docker


def container_of(engine, hub, user):
    return engine.containers.get(f"{hub.name}-{user.replace('-', '-2d')}")


async def opened(api, user, profile="small"):
    await api.start_server(user, {"profile": profile})
    notebook = Notebook(api, user)
    await notebook.make()
    await notebook.open()
    return notebook


async def stopped(api, user):
    """Wait until the hub has noticed that the server is gone."""
    async with asyncio.timeout(120):
        while (await api.user_model(user))["servers"]:
            await asyncio.sleep(0.2)


async def test_docker_stop_leaves_as_much_time_as_the_hub(docker_hub, engine, new_user):
    async with docker_hub.api() as api, new_user(api) as user:
        notebook = await opened(api, user)
        container = container_of(engine, docker_hub, user)
        assert container.attrs["Config"]["StopTimeout"] == 60
        await notebook.run(MAKE % "stopped by hand")
        await notebook.run(SLOW)
        started = time.monotonic()
        await asyncio.to_thread(container.stop)
        assert 10 < time.monotonic() - started < 60
        container.reload()
        assert container.attrs["State"]["ExitCode"] == 0, "it ended by itself"
        await stopped(api, user)
        await api.start_server(user, {"profile": "small"})
        await notebook.open()
        await notebook.check("stopped by hand")
        assert await notebook.run("type(slow).__name__") == "'Slow'"


async def test_a_container_that_is_killed_has_the_last_autosave(docker_hub, engine, new_user):
    async with docker_hub.api() as api, new_user(api) as user:
        notebook = await opened(api, user)
        before = time.time()
        await notebook.run(MAKE % "saved by itself")
        await notebook.autosaved(before)
        container_of(engine, docker_hub, user).kill()
        await stopped(api, user)
        await api.start_server(user, {"profile": "small"})
        await notebook.open()
        await notebook.check("saved by itself")


async def test_variables_come_along_into_a_container_that_is_made_anew(docker_hub, engine, new_user):
    async with docker_hub.api() as api, new_user(api) as user:
        notebook = await opened(api, user)
        first = container_of(engine, docker_hub, user).id
        await notebook.run(MAKE % "of the container before")
        await api.stop_server(user)
        await api.start_server(user, {"profile": "large"})
        assert container_of(engine, docker_hub, user).id != first
        await notebook.open()
        await notebook.check("of the container before")


async def test_a_kernel_that_hangs_holds_a_stop_for_no_longer_than_the_grace(
    notebook_image, engine, tmp_path, new_user
):
    profiles = [{"slug": "only", "name": "Only", "image": notebook_image}]
    name = f"regrow-test-{secrets.token_hex(3)}"
    config = {
        "Regrow": {"name": name, "spawner": "docker", "profiles": profiles},
        "RegrowSpawner": {"stop_grace_s": 15},
    }
    with running_hub(tmp_path / "hub", config) as hub:
        async with hub.api() as api, new_user(api) as user:
            notebook = await opened(api, user, "only")
            before = time.time()
            await notebook.run(MAKE % "before it hung")
            await notebook.autosaved(before)
            pid = await notebook.run("import os; os.getpid()")
            container = container_of(engine, hub, user)
            assert container.attrs["Config"]["StopTimeout"] == 15
            assert container.exec_run(["kill", "-STOP", pid]).exit_code == 0
            started = time.monotonic()
            await api.stop_server(user)
            assert 10 < time.monotonic() - started < 15 + 20
            await api.start_server(user, {})
            await notebook.open()
            await notebook.check("before it hung")
