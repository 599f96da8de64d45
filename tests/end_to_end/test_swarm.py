"""Servers as services of a Docker Swarm: one of this machine alone, made for these tests and left at their end."""

import asyncio
import contextlib
import re
import secrets
import subprocess
import time

import pytest
from docker.errors import NotFound

from regrow.hub_config.hub_api import HubAPIError
from regrow.spawner.swarm_network import GATEWAY_NETWORK, node_network, service_network

from support.hub import bash, remove_network, running_hub
from support.server_notebooks import MAKE, SLOW, Notebook

pytestmark = pytest.mark.docker

POLL_INTERVAL_S = 1


@pytest.fixture(scope="module")
def swarm(engine):
    """A Swarm of this engine. Containers and bridges that others have on it are not touched."""
    if engine.info()["Swarm"]["LocalNodeState"] != "inactive":
        pytest.skip("this engine is in a Swarm that is not the tests'")
    running = {container.id for container in engine.containers.list(ignore_removed=True)}
    had_gateway = any(network.name == GATEWAY_NETWORK for network in engine.networks.list())
    engine.swarm.init(advertise_addr="127.0.0.1")
    yield engine.swarm
    engine.swarm.leave(force=True)
    if not had_gateway:
        remove_network(engine.networks.get(GATEWAY_NETWORK))
    wait_until_no_swarm_networks(engine)
    # What others stopped or removed meanwhile is theirs to know.
    assert all(state_of(engine, one) in ("running", "exited", "removing", None) for one in running)


@pytest.fixture(scope="module")
def swarm_hub(swarm, engine, notebook_image, foreign_image, tmp_path_factory):
    """A hub of which the administrator has set `Regrow.spawner` and no more."""
    name = f"regrow-test-{secrets.token_hex(3)}"
    config = {
        "Regrow": {"name": name, "spawner": "swarm", "profiles": profiles(notebook_image, foreign_image)},
        "Spawner": {"poll_interval": POLL_INTERVAL_S},
    }
    with running_hub(tmp_path_factory.mktemp("swarm"), config) as hub:
        yield hub
        assert services_of(engine, hub) == []


def profiles(image, foreign_image):
    return [
        {"slug": "small", "name": "Small", "image": image, "cpus": 1, "memory_bytes": 2 * 1024**3},
        {"slug": "gpu", "name": "GPU", "image": image, "gpus": 1},
        {"slug": "absent", "name": "Absent", "image": "regrow/none:such"},
        {"slug": "foreign", "name": "Foreign", "image": foreign_image},
    ]


def wait_until_no_swarm_networks(engine):
    """The engine keeps its part of a Swarm's networks until it leaves, and removes it in the background."""
    deadline = time.monotonic() + 10
    while left := [network.name for network in engine.networks.list() if network.attrs["Scope"] == "swarm"]:
        assert time.monotonic() < deadline, left
        time.sleep(0.1)


def state_of(engine, container_id):
    try:
        return engine.containers.get(container_id).status
    except NotFound:
        return None


def services_of(engine, hub):
    found = engine.services.list(filters={"label": f"io.regrow.data-dir={hub.data_dir}"})
    return sorted(service.name for service in found)


def containers_of(engine, hub):
    found = engine.containers.list(
        all=True, ignore_removed=True, filters={"label": f"io.regrow.data-dir={hub.data_dir}"}
    )
    return sorted(container.name for container in found)


async def eventually_no_containers(engine, hub):
    """The Swarm removes containers that have ended in the background."""
    async with asyncio.timeout(120):
        while containers_of(engine, hub):
            await asyncio.sleep(0.1)


def container_of(engine, hub, user):
    found = engine.containers.list(ignore_removed=True, filters={"label": f"io.regrow.user={user}"})
    assert len(found) == 1, found
    return found[0]


def folder_of(hub, user):
    return hub.data_dir / "users" / user.replace("-", "-2d")


async def test_a_server_starts_runs_a_cell_and_leaves_nothing_but_its_files(swarm_hub, engine, new_user):
    async with swarm_hub.api() as api, new_user(api) as user:
        events = await api.start_server(user, {"profile": "small"})
        told = " ".join(event["message"] for event in events)
        assert "Making a service from" in told
        assert "The container runs on" in told
        assert (await api.run_cell(user, "6 * 7")).value == "42"
        script = "echo home > ~/mine.txt; mkdir ~/projects/faces; echo x > $BUILD/local/include/x.h; sudo id -u"
        assert await bash(api, user, script) == "0\n"
        folder = folder_of(swarm_hub, user)
        assert (folder / "home/mine.txt").read_text() == "home\n"
        assert (folder / "projects/faces").is_dir()
        assert list((folder / "build").glob("*/local/include/x.h"))
        container = container_of(engine, swarm_hub, user)
        await api.stop_server(user)
        assert services_of(engine, swarm_hub) == []
        assert state_of(engine, container.id) in ("exited", "removing", None)
        await eventually_no_containers(engine, swarm_hub)
        await api.start_server(user, {"profile": "small"})
        assert await bash(api, user, "cat ~/mine.txt $BUILD/local/include/x.h") == "home\nx\n"


async def test_the_profile_limits_the_container(swarm_hub, engine, new_user):
    async with swarm_hub.api() as api, new_user(api) as user:
        await api.start_server(user, {"profile": "small"})
        container = container_of(engine, swarm_hub, user)
        host = container.attrs["HostConfig"]
        assert host["Memory"] == 2 * 1024**3
        assert host["NanoCpus"] == 10**9
        assert host["PidsLimit"] == 4096
        assert not host["Privileged"] and not host["CapAdd"]
        assert {"NET_RAW", "MKNOD"} <= set(host["CapDrop"])
        assert (await bash(api, user, "df --output=size -B1 /dev/shm | tail -1")).strip() == str(2 * 1024**3)


async def test_a_mount_made_on_the_hubs_side_later_is_seen_in_the_running_container(swarm_hub, new_user):
    async with swarm_hub.api() as api, new_user(api) as user:
        await api.start_server(user, {"profile": "small"})
        await bash(api, user, "mkdir -p ~/projects/faces/data")
        folder = folder_of(swarm_hub, user) / "projects/faces/data"
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", folder], check=True)
        try:
            (folder / "from_the_hub.txt").write_text("later\n")
            assert (await bash(api, user, "cat ~/projects/faces/data/from_the_hub.txt")) == "later\n"
        finally:
            subprocess.run(["umount", folder], check=True)


async def test_two_users_cannot_reach_each_others_servers(swarm_hub, engine, new_user):
    async with swarm_hub.api() as api, new_user(api, "alice") as alice, new_user(api, "bob") as bob:
        await asyncio.gather(api.start_server(alice, {"profile": "small"}), api.start_server(bob, {"profile": "small"}))
        network = container_of(engine, swarm_hub, alice).attrs["NetworkSettings"]
        inside = network["Networks"][service_network(swarm_hub.name)]
        (published,) = network["Ports"]["8888/tcp"]
        assert published["HostIp"] == "127.0.0.1"
        machine = await bash(api, bob, "python3 -c 'import os; print(os.environ[\"JUPYTERHUB_API_URL\"])'")
        hub_address = re.search("//(.*):", machine)[1]
        places = [
            (inside["IPAddress"], 8888),
            (inside["Gateway"], int(published["HostPort"])),
            (hub_address, int(published["HostPort"])),
            (hub_address, swarm_hub.hub_port),
        ]
        probe = (
            "import socket\n"
            "def reach(place):\n"
            "    with socket.socket() as s:\n"
            "        s.settimeout(3)\n"
            "        return s.connect_ex(place) == 0\n"
            f"print([reach(place) for place in {places!r}])"
        )
        assert (await api.run_cell(bob, probe)).stdout == "[False, False, False, True]\n"


async def test_a_hub_that_was_killed_finds_its_servers_again(swarm_hub, engine, new_user):
    async with swarm_hub.api() as api, new_user(api) as user:
        await api.start_server(user, {"profile": "small"})
        await api.run_cell(user, "kept = 41")
        before = container_of(engine, swarm_hub, user).id
        swarm_hub.kill()
        swarm_hub.start()
        assert (await api.server_model(user))["ready"]
        assert (await api.run_cell(user, "kept + 1")).value == "42"
        assert container_of(engine, swarm_hub, user).id == before


async def test_a_container_that_is_killed_from_outside_is_seen_within_a_poll(swarm_hub, engine, new_user):
    async with swarm_hub.api() as api, new_user(api) as user:
        await api.start_server(user, {"profile": "small"})
        container_of(engine, swarm_hub, user).kill()
        async with asyncio.timeout(POLL_INTERVAL_S + 60):
            while (await api.user_model(user))["servers"]:
                await asyncio.sleep(0.2)
        assert services_of(engine, swarm_hub) == []
        await api.start_server(user, {"profile": "small"})
        assert (await api.run_cell(user, "1 + 1")).value == "2"


@pytest.mark.parametrize(
    ("profile", "message"),
    [
        ("gpu", "No machine of this deployment has a free GPU for the profile GPU .*no suitable node"),
        ("absent", "regrow images build"),
        ("foreign", "jovyan"),
    ],
)
async def test_a_start_that_cannot_work_says_why_within_seconds_and_leaves_nothing(
    swarm_hub, engine, new_user, profile, message
):
    async with swarm_hub.api() as api, new_user(api) as user:
        started = time.monotonic()
        with pytest.raises(HubAPIError, match=message):
            await api.start_server(user, {"profile": profile})
        assert time.monotonic() - started < 90  # long before the start would be given up
        assert services_of(engine, swarm_hub) == []
        await eventually_no_containers(engine, swarm_hub)
        assert (await swarm_hub.admin("GET", f"users/{user}/tokens"))["api_tokens"] == []
        # Nothing of the failure is in the way of the next start, nor is the GPU still asked for.
        await api.start_server(user, {"profile": "small"})


async def test_a_machine_that_cannot_run_the_container_is_named_with_its_reason(
    swarm, engine, notebook_image, new_user, tmp_path
):
    missing = str(tmp_path / "not_there")
    config = deployment(notebook_image) | {"DockerSpawner": {"volumes": {missing: "/data"}}}
    with running_hub(tmp_path / "hub", config) as hub:
        async with hub.api() as api, new_user(api) as user:
            with pytest.raises(HubAPIError, match=f"could not be started on {engine.info()['Name']}: .*{missing}"):
                await api.start_server(user)
            assert services_of(engine, hub) == []


async def test_a_server_that_ends_before_it_is_ready_is_removed_and_its_last_words_shown(
    swarm, engine, notebook_image, new_user, tmp_path
):
    config = deployment(notebook_image) | {"Spawner": {"cmd": ["sh", "-c", "echo the disk is made of cheese; exit 3"]}}
    with running_hub(tmp_path / "hub", config) as hub:
        async with hub.api() as api, new_user(api) as user:
            with pytest.raises(HubAPIError, match="made of cheese"):
                await api.start_server(user)
            assert services_of(engine, hub) == []
            await eventually_no_containers(engine, hub)


async def test_a_start_that_takes_too_long_leaves_no_service(swarm, engine, notebook_image, new_user, tmp_path):
    config = deployment(notebook_image) | {"Spawner": {"cmd": ["sleep", "600"], "start_timeout": 4}}
    with running_hub(tmp_path / "hub", config) as hub:
        async with hub.api() as api, new_user(api) as user:
            with pytest.raises(HubAPIError):
                await api.start_server(user)
            async with asyncio.timeout(120):
                while services_of(engine, hub):
                    await asyncio.sleep(0.2)
            await eventually_no_containers(engine, hub)


async def test_a_service_of_somebody_elses_is_not_touched(swarm_hub, engine, notebook_image, new_user):
    async with swarm_hub.api() as api, contextlib.AsyncExitStack() as stack:
        user = await stack.enter_async_context(new_user(api))
        name = f"{swarm_hub.name}-{user.replace('-', '-2d')}"
        stranger = engine.services.create(notebook_image, ["sleep", "600"], name=name)
        try:
            with pytest.raises(HubAPIError, match="this deployment did not make"):
                await api.start_server(user, {"profile": "small"})
            await stack.aclose()  # the user is deleted
            assert engine.services.get(name).attrs["Spec"]["Mode"]["Replicated"]["Replicas"] == 1
        finally:
            stranger.remove()


def test_a_network_that_lets_containers_reach_each_other_is_refused(swarm, engine, notebook_image, tmp_path):
    config = deployment(notebook_image)
    name = config["Regrow"]["name"]
    subprocess.run(["docker", "network", "create", "--config-only", node_network(name)], check=True)
    with pytest.raises(AssertionError, match="lets containers reach each other"), running_hub(tmp_path, config):
        pass
    assert not engine.networks.list(names=[name])


def deployment(image):
    """A hub of its own with one profile."""
    only = [{"slug": "only", "name": "Only", "image": image}]
    return {"Regrow": {"name": f"regrow-test-{secrets.token_hex(3)}", "spawner": "swarm", "profiles": only}}


async def test_variables_survive_a_stop_and_a_machine_that_is_drained(swarm_hub, engine, new_user):
    async with swarm_hub.api() as api, new_user(api) as user:
        await api.start_server(user, {"profile": "small"})
        notebook = Notebook(api, user)
        await notebook.make()
        await notebook.open()
        await notebook.run(MAKE % "before the stop")
        await api.stop_server(user)
        await api.start_server(user, {"profile": "small"})
        await notebook.open()
        await notebook.check("before the stop")

        await notebook.run("secret = 'before the drain'")
        await notebook.run(SLOW)
        started = time.monotonic()
        with drained(engine):
            async with asyncio.timeout(120):
                while (await api.user_model(user))["servers"]:
                    await asyncio.sleep(0.2)
            assert time.monotonic() - started > 10, "longer than the engine's own grace"
        await api.start_server(user, {"profile": "small"})
        await notebook.open()
        await notebook.check("before the drain")
        assert await notebook.run("type(slow).__name__") == "'Slow'"


@contextlib.contextmanager
def drained(engine):
    """The machine takes no services, and those that it has are stopped."""
    (node,) = engine.nodes.list()
    node.update({**node.attrs["Spec"], "Availability": "drain"})
    try:
        yield
    finally:
        node.reload()
        node.update({**node.attrs["Spec"], "Availability": "active"})
