"""Containers of an engine that runs with userns-remap, where root inside is nobody outside."""

import os
import re
import secrets
import subprocess
import sys
from pathlib import Path

import docker
import pytest

from support.engines import copy_image, remapped_engine
from support.hub import bash, running_hub

pytestmark = pytest.mark.docker

FIRST_UID = 100000  # of the range that the engine gives to the containers' users on a machine that has no other


@pytest.fixture(scope="module")
def remapped_host(slim_image):
    """What DOCKER_HOST is for an engine with userns-remap that has the image."""
    with remapped_engine() as host:
        copy_image(slim_image, host)
        yield host


@pytest.fixture(scope="module")
def remapped(remapped_host):
    """A client of that engine."""
    client = docker.DockerClient(base_url=remapped_host)
    yield client
    client.close()


@pytest.fixture(scope="module")
def remapped_hub(remapped_host, slim_image, tmp_path_factory):
    """A hub whose servers are containers of that engine."""
    only = [{"slug": "only", "name": "Only", "image": slim_image}]
    config = {"Regrow": {"name": f"regrow-test-{secrets.token_hex(3)}", "spawner": "docker", "profiles": only}}
    environment = {"DOCKER_HOST": remapped_host}
    with running_hub(tmp_path_factory.mktemp("remapped"), config, environment=environment) as hub:
        yield hub


def container_of(client, user):
    (found,) = client.containers.list(ignore_removed=True, filters={"label": f"io.regrow.user={user}"})
    return found


def uid_of(pid):
    """Whose process `pid` is, as this machine counts."""
    line = re.search(r"^Uid:\s+(\d+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    return int(line[1])


async def test_root_in_a_container_is_nobody_outside(remapped_hub, remapped, new_user):
    async with remapped_hub.api() as api, new_user(api) as user:
        await api.start_server(user)
        script = "sudo id -u; id -u; cat /proc/self/uid_map; sudo sh -c 'sleep 7654 & echo started' >/dev/null 2>&1"
        said = (await bash(api, user, script)).split()
        assert said[:2] == ["0", "1000"]
        assert said[2:] == ["0", str(FIRST_UID), "65536"]
        container = container_of(remapped, user)
        assert uid_of(container.attrs["State"]["Pid"]) == FIRST_UID + 1000
        processes = container.top(ps_args="-eo pid,args")["Processes"]
        (roots,) = [pid for pid, command in processes if command == "sleep 7654"]
        assert uid_of(roots) == FIRST_UID
        host = container.attrs["HostConfig"]
        assert not host["Privileged"] and not host["CapAdd"] and host["UsernsMode"] == ""


async def test_the_volumes_are_the_users_and_what_root_makes_in_them_is_not_the_hosts_roots(remapped_hub, new_user):
    async with remapped_hub.api() as api, new_user(api) as user:
        await api.start_server(user)
        script = "touch ~/mine ~/projects/mine $BUILD/local/mine && sudo touch ~/roots && stat -c %U ~/mine ~/roots"
        assert (await bash(api, user, script)) == "jovyan\nroot\n"
        folder = remapped_hub.data_dir / "users" / user.replace("-", "-2d")
        assert (folder / "home/mine").stat().st_uid == FIRST_UID + 1000
        assert (folder / "projects/mine").stat().st_uid == FIRST_UID + 1000
        (built,) = (folder / "build").glob("*/local/mine")
        assert built.stat().st_uid == FIRST_UID + 1000
        assert (folder / "home/roots").stat().st_uid == FIRST_UID
        # What is the host's root's is nobody's inside, and stays as it is.
        hosts = folder / "projects/hosts"
        hosts.write_text("root's on the host")
        hosts.chmod(0o600)
        said = await bash(api, user, "sudo cat ~/projects/hosts; stat -c %U ~/projects/hosts")
        assert "Permission denied" in said and "nobody" in said


async def test_a_cell_runs_and_apt_get_installs(remapped_hub, new_user):
    async with remapped_hub.api() as api, new_user(api) as user:
        await api.start_server(user)
        assert (await api.run_cell(user, "6 * 7")).value == "42"
        install = "sudo apt-get update -qq && sudo apt-get install -y -qq tree >/dev/null && tree --version"
        assert "tree v" in await bash(api, user, install, timeout_s=240)
        await api.stop_server(user)
        await api.start_server(user)
        assert "tree v" in await bash(api, user, "tree --version")


async def test_a_mount_made_on_the_hubs_side_later_is_seen_in_the_running_container(remapped_hub, new_user):
    async with remapped_hub.api() as api, new_user(api) as user:
        await api.start_server(user)
        await bash(api, user, "mkdir ~/projects/data")
        folder = remapped_hub.data_dir / "users" / user.replace("-", "-2d") / "projects/data"
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", folder], check=True)
        try:
            (folder / "from_the_hub.txt").write_text("later\n")
            assert (await bash(api, user, "cat ~/projects/data/from_the_hub.txt")) == "later\n"
        finally:
            subprocess.run(["umount", folder], check=True)


def test_the_doctor_says_that_root_is_remapped(remapped_host, tmp_path):
    done = subprocess.run(
        [Path(sys.prefix) / "bin/regrow", "doctor", f"--data-dir={tmp_path}", "--spawner=docker"],
        env={**os.environ, "DOCKER_HOST": remapped_host},
        capture_output=True,
        text=True,
    )
    assert f"root in a container is user {FIRST_UID} here" in done.stdout, done.stdout + done.stderr
