"""What goes wrong in the middle: nothing is lost, and nothing is left behind."""

import asyncio
import contextlib
import secrets
import subprocess
import time
from pathlib import Path

import pytest

from regrow.hub_config.hub_api import HubAPIError

from support.engine_socket import EngineSocket
from support.hub import bash, running_hub


def container_name(hub, user):
    return f"{hub.name}-{user.replace('-', '-2d')}"


async def until(condition, timeout_s=30):
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.1)


@pytest.mark.docker
async def test_a_profile_that_cannot_start_gives_the_container_from_before_back(docker_hub, engine, new_user):
    async with docker_hub.api() as api, new_user(api) as user:
        await api.start_server(user, {"profile": "small"})
        await bash(api, user, "sudo touch /opt/installed-by-hand; pip install -q tabulate", timeout_s=120)
        before = engine.containers.get(container_name(docker_hub, user)).id
        await api.stop_server(user)
        with pytest.raises(HubAPIError, match="no GPU"):
            await api.start_server(user, {"profile": "gpu"})
        await until(
            lambda: (
                len(
                    engine.containers.list(
                        all=True, ignore_removed=True, filters={"name": container_name(docker_hub, user)}
                    )
                )
                == 1
            )
        )
        await api.start_server(user, {"profile": "small"})
        assert engine.containers.get(container_name(docker_hub, user)).id == before
        assert "installed-by-hand" in await bash(api, user, "ls /opt; python -c 'import tabulate'")


@pytest.mark.docker
async def test_a_container_that_its_user_broke_can_be_made_anew(docker_hub, new_user):
    async with docker_hub.api() as api, new_user(api) as user:
        await api.start_server(user, {"profile": "small"})
        await bash(api, user, "echo kept > ~/kept.txt; pip uninstall -q -y tornado")
        await api.stop_server(user)
        with pytest.raises(HubAPIError, match="choose a new container on this page"):
            await api.start_server(user, {"profile": "small"})
        events = await api.start_server(user, {"profile": "small", "anew": True})
        assert any("made anew because you asked for it" in event["message"] for event in events)
        assert await bash(api, user, "cat ~/kept.txt") == "kept\n"
        # It was asked for once.
        await api.stop_server(user)
        events = await api.start_server(user)
        assert not any("anew" in event["message"] for event in events)


@pytest.mark.docker
async def test_a_token_is_worth_nothing_once_its_server_has_stopped(docker_hub, engine, new_user):
    async with docker_hub.api() as api, new_user(api) as user:
        seen = set()
        for _ in range(2):
            await api.start_server(user, {"profile": "small"})
            token = (await bash(api, user, "echo $JUPYTERHUB_API_TOKEN")).strip()
            assert len(token) >= 32
            environment = engine.containers.get(container_name(docker_hub, user)).attrs["Config"]["Env"]
            assert not any("TOKEN" in variable for variable in environment)
            seen.add(token)
            await api.stop_server(user)
            tokens = await docker_hub.admin("GET", f"users/{user}/tokens")
            assert not any(found["note"].startswith("Server at") for found in tokens["api_tokens"])
        assert len(seen) == 2


async def test_a_hub_killed_in_the_middle_of_a_start_leaves_one_server_in_the_end(hub, new_user, engine):
    async with hub.api() as api, new_user(api) as user:
        starting = asyncio.create_task(api.start_server(user))
        await asyncio.sleep(0.4)
        hub.kill()
        with contextlib.suppress(HubAPIError):
            await starting
        hub.start()
        with contextlib.suppress(HubAPIError):
            await api.stop_server(user)
        await api.start_server(user)
        assert (await api.run_cell(user, "1 + 1")).value == "2"
        count = "pgrep -fc '[r]egrow-singleuser|[j]upyterhub-singleuser' -u $(id -u)"
        if hub.config["Regrow"]["spawner"] == "docker":
            assert (await bash(api, user, count)).strip() in ("1", "2")  # tini and the server
            names = engine.containers.list(all=True, ignore_removed=True, filters={"name": container_name(hub, user)})
            assert len(names) == 1
        else:
            home = str(hub.data_dir / "users" / user.replace("-", "-2d") / "home")
            assert len(servers_with_home(home)) == 1


def servers_with_home(home):
    """Processes of regrow-singleuser whose HOME is `home`."""
    lines = subprocess.run(["pgrep", "-f", "regrow-singleuser"], capture_output=True, text=True).stdout.split()
    found = []
    for pid in lines:
        with contextlib.suppress(OSError), Path(f"/proc/{pid}/environ").open() as environ:
            if f"HOME={home}\0" in environ.read():
                found.append(pid)
    return found


@pytest.mark.docker
async def test_the_next_user_of_a_name_gets_nothing_of_one_deleted_while_the_engine_was_away(
    notebook_image, engine, tmp_path
):
    profiles = [{"slug": "only", "name": "Only", "image": notebook_image}]
    config = {"Regrow": {"name": f"regrow-test-{secrets.token_hex(3)}", "spawner": "docker", "profiles": profiles}}
    with EngineSocket(tmp_path / "engine.sock") as socket:
        environment = {"DOCKER_HOST": f"unix://{socket.path}"}
        with running_hub(tmp_path / "hub", config, environment=environment) as hub:
            async with hub.api() as api:
                await api.create_user("alice")
                await api.start_server("alice")
                await bash(api, "alice", "echo secret > ~/secret.txt; sudo cp ~/secret.txt /opt/secret.txt")
                await api.stop_server("alice")
                with socket.closed():
                    await api.delete_user("alice")
                await api.create_user("alice")
                events = await api.start_server("alice")
                assert any("a user of your name had it before you" in event["message"] for event in events)
                assert "secret" not in await bash(api, "alice", "ls ~ /opt")
                await api.delete_user("alice")


@pytest.mark.docker
async def test_a_stop_while_the_engine_is_away_leaves_no_server_behind_for_long(notebook_image, engine, tmp_path):
    profiles = [{"slug": "only", "name": "Only", "image": notebook_image}]
    config = {"Regrow": {"name": f"regrow-test-{secrets.token_hex(3)}", "spawner": "docker", "profiles": profiles}}
    with EngineSocket(tmp_path / "engine.sock") as socket:
        environment = {"DOCKER_HOST": f"unix://{socket.path}"}
        with running_hub(tmp_path / "hub", config, environment=environment) as hub:
            async with hub.api() as api:
                await api.create_user("alice")
                await api.start_server("alice")
                with socket.closed(), contextlib.suppress(HubAPIError):
                    await api.stop_server("alice", timeout_s=10)
                await api.start_server("alice")
                assert (await api.run_cell("alice", "1 + 1")).value == "2"
                await api.delete_user("alice")


async def test_deleting_a_named_server_leaves_its_users_files(tmp_path):
    config = {"Regrow": {"spawner": "local"}, "JupyterHub": {"allow_named_servers": True}}
    with running_hub(tmp_path / "hub", config) as hub:
        async with hub.api() as api:
            await api.create_user("alice")
            await api.start_server("alice")
            await bash(api, "alice", "echo kept > ~/kept.txt")
            await api.start_server("alice", server_name="second")
            await api.stop_server("alice", "second")
            await api.request("DELETE", "users/alice/servers/second", {"remove": True})
            assert await bash(api, "alice", "cat ~/kept.txt") == "kept\n"
            await api.delete_user("alice")


async def test_the_hub_answers_while_servers_start(hub, new_user):
    """Nothing that a start does may block the hub's event loop."""
    async with hub.api() as api, contextlib.AsyncExitStack() as stack:
        users = [await stack.enter_async_context(new_user(api)) for _ in range(3)]
        starting = [asyncio.create_task(api.start_server(user)) for user in users]
        slowest = 0.0
        while not all(task.done() for task in starting):
            began = time.monotonic()
            await api.request("GET", "")
            slowest = max(slowest, time.monotonic() - began)
            await asyncio.sleep(0.05)
        await asyncio.gather(*starting)
        assert slowest < 5
