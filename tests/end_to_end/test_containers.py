"""What only containers have: what was installed stays, limits, isolation, and every way in which a start can fail."""

import asyncio
import contextlib
import secrets
import subprocess

import docker
import httpx
import pytest

from regrow.hub_config.hub_api import HubAPIError

from support.engine_socket import EngineSocket
from support.hub import bash, running_hub

pytestmark = pytest.mark.docker


def container_of(engine, hub, user):
    name = f"{hub.name}-{user.replace('-', '-2d')}"
    return engine.containers.get(name)


async def refusal(api, user, options):
    """What the REST API answers to a start that fails at once."""
    with pytest.raises(HubAPIError) as failed:
        await api.request("POST", f"users/{user}/server", options)
    return failed.value


def deployment(image):
    """A hub of its own with one profile."""
    profiles = [{"slug": "only", "name": "Only", "image": image}]
    return {"Regrow": {"name": f"regrow-test-{secrets.token_hex(3)}", "spawner": "docker", "profiles": profiles}}


def containers_of(engine, hub):
    found = engine.containers.list(
        all=True, ignore_removed=True, filters={"label": f"io.regrow.data-dir={hub.data_dir}"}
    )
    return {container.name for container in found}


async def test_what_apt_installed_is_still_there_after_a_stop(docker_hub, engine, new_user):
    async with docker_hub.api() as api, new_user(api) as user:
        await api.start_server(user, {"profile": "small"})
        said = await bash(
            api,
            user,
            "sudo apt-get update -qq && sudo apt-get install -y -qq tree && pip install -q tabulate",
            timeout_s=240,
        )
        before = container_of(engine, docker_hub, user).id
        await api.stop_server(user)
        assert container_of(engine, docker_hub, user).status == "exited"
        await api.start_server(user, {"profile": "small"})
        assert container_of(engine, docker_hub, user).id == before
        said = await bash(api, user, "tree --version; python -c 'import tabulate; print(tabulate.__version__)'")
        assert "tree v" in said and "Error" not in said

        # The same user then takes another profile: the container is made anew, and they are told what it had.
        await bash(api, user, "echo mine > ~/mine.txt")
        await api.stop_server(user)
        events = await api.start_server(user, {"profile": "large"})
        told = "\n".join(event["message"] for event in events)
        assert "made anew because its profile has changed" in told
        assert "Not carried over: apt: tree; pip: tabulate." in told
        assert "regrow packages install" in told
        assert container_of(engine, docker_hub, user).id != before
        said = await bash(api, user, "cat ~/mine.txt; command -v tree || echo no tree; regrow packages")
        assert said.startswith("mine\nno tree") or "no tree" in said
        assert "tree" in said and "tabulate" in said
        said = await bash(api, user, "regrow packages install && command -v tree", timeout_s=240)
        assert "/usr/bin/tree" in said
        assert "tabulate" not in (await bash(api, user, "regrow packages"))


async def test_a_list_that_was_not_reinstalled_is_still_told_the_next_time(docker_hub, new_user):
    async with docker_hub.api() as api, new_user(api) as user:
        await api.start_server(user, {"profile": "small"})
        await bash(api, user, "pip install -q tabulate", timeout_s=120)
        for profile in ("large", "small"):
            await api.stop_server(user)
            events = await api.start_server(user, {"profile": profile})
            assert any("pip: tabulate" in event["message"] for event in events)


async def test_the_profile_limits_the_container(docker_hub, engine, new_user):
    async with docker_hub.api() as api, new_user(api) as user:
        await api.start_server(user, {"profile": "small"})
        host = container_of(engine, docker_hub, user).attrs["HostConfig"]
        assert host["Memory"] == 2 * 1024**3
        assert host["PidsLimit"] == 4096
        assert not host["Privileged"]
        assert not host["CapAdd"]
        assert "NET_RAW" in str(host["CapDrop"])
        assert not any("docker.sock" in bind for bind in host["Binds"])
        said = await bash(api, user, "sudo id -u; sudo mount -t tmpfs none /mnt; ls /var/run/docker.sock")
        assert said.startswith("0") and "denied" in said and "No such file" in said


async def test_a_mount_made_on_the_hubs_side_later_is_seen_in_the_running_container(docker_hub, new_user):
    async with docker_hub.api() as api, new_user(api) as user:
        await api.start_server(user, {"profile": "small"})
        await bash(api, user, "mkdir -p ~/projects/faces/data")
        folder = docker_hub.data_dir / "users" / user.replace("-", "-2d") / "projects/faces/data"
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", folder], check=True)
        try:
            (folder / "from_the_hub.txt").write_text("later\n")
            assert (await bash(api, user, "cat ~/projects/faces/data/from_the_hub.txt")) == "later\n"
        finally:
            subprocess.run(["umount", folder], check=True)


async def test_two_users_cannot_reach_each_other(docker_hub, engine, new_user):
    async with docker_hub.api() as api, new_user(api, "alice") as alice, new_user(api, "bob") as bob:
        await asyncio.gather(api.start_server(alice, {"profile": "small"}), api.start_server(bob, {"profile": "small"}))
        # Files: all that bob has mounted is searched, which finds his own and nothing of alice's.
        name = f"{secrets.token_hex(8)}.txt"
        for user in (alice, bob):
            said = await bash(
                api, user, f"mkdir ~/projects/faces && echo {user} | tee ~/{name} ~/projects/faces/{name} $BUILD/{name}"
            )
            assert said == f"{user}\n"
        mounts = r"""$(awk '$5 !~ "^/(proc|sys|dev)(/|$)" {print $5}' /proc/self/mountinfo)"""
        said = await bash(api, bob, f"sudo find {mounts} -xdev -name {name} -exec cat {{}} + | sort | uniq -c", 120)
        count, owner = said.split()
        assert int(count) >= 3 and owner == bob
        # Network: nothing of the other answers, the hub and the outside do.
        networks = container_of(engine, docker_hub, alice).attrs["NetworkSettings"]["Networks"]
        address = networks[docker_hub.name]["IPAddress"]
        probe = (
            "import socket\n"
            "def reach(host, port):\n"
            "    with socket.socket() as s:\n"
            "        s.settimeout(3)\n"
            "        return s.connect_ex((host, port)) == 0\n"
            f"import os, urllib.parse\nhub = urllib.parse.urlsplit(os.environ['JUPYTERHUB_API_URL'])\n"
            f"print(reach({address!r}, 8888), reach(hub.hostname, hub.port))"
        )
        assert (await api.run_cell(bob, probe)).stdout == "False True\n"
        # Tokens: bob's container can't act for alice, nor for an administrator.
        ask = (
            "import os, urllib.request, urllib.error\n"
            "def status(path, method='GET'):\n"
            "    url = os.environ['JUPYTERHUB_API_URL'] + path\n"
            "    headers = {'Authorization': 'token ' + os.environ['JUPYTERHUB_API_TOKEN']}\n"
            "    try:\n"
            "        return urllib.request.urlopen(urllib.request.Request(url, headers=headers, method=method)).status\n"
            "    except urllib.error.HTTPError as error:\n"
            "        return error.code\n"
            f"print(status('/users/{alice}'), status('/users'), status('/users/{alice}/server', 'DELETE'), status('/proxy'))"
        )
        answers = (await api.run_cell(bob, ask)).stdout.split()
        assert len(answers) == 4 and set(answers) <= {"403", "404"}, answers
        assert (await api.server_model(alice))["ready"]
        # The proxy: alice's server takes alice's token, and neither that of bob's server nor one of bob himself.
        show = "import os; print(os.environ['JUPYTERHUB_API_TOKEN'])"
        alices, bobs = [(await api.run_cell(user, show)).stdout.strip() for user in (alice, bob)]
        bob_himself = await api.mint_token(bob)
        async with httpx.AsyncClient(base_url=f"{docker_hub.url}/user/{alice}/", trust_env=False) as proxy:
            for token, status in [(alices, 200), (bobs, 403), (bob_himself.token, 403)]:
                for path in ("api/contents", f"files/{name}"):
                    answer = await proxy.get(path, headers={"Authorization": f"token {token}"})
                    assert answer.status_code == status, (path, answer.text)


async def test_a_groups_build_is_shared_and_read_only_for_those_whom_the_admin_names(docker_hub, engine, new_user):
    group = f"team-{secrets.token_hex(3)}"
    async with docker_hub.api() as api, new_user(api, "writer") as writer, new_user(api, "reader") as reader:
        await docker_hub.admin("POST", f"groups/{group}", {"users": []})
        await docker_hub.admin("POST", f"groups/{group}/users", {"users": [writer, reader]})
        await docker_hub.admin("PUT", f"groups/{group}/properties", {"build_read_only": [reader]})
        await asyncio.gather(
            api.start_server(writer, {"profile": "small"}), api.start_server(reader, {"profile": "small"})
        )
        team = f"$BUILD/groups/{group}/local"
        said = await bash(api, writer, f"echo '#define TEAM 7' > {team}/include/team.h && echo written")
        assert said == "written\n"
        program = '%%cpp\n#include <team.h>\n#include <cstdio>\nint main() { std::printf("%d", TEAM); }'
        assert "7" in (await api.run_cell(reader, program)).stdout
        said = await bash(api, reader, f"sudo touch {team}/include/mine.h")
        assert "Read-only file system" in said
        # One's own prefix goes before the group's.
        await bash(api, reader, "echo '#define TEAM 8' > $BUILD/local/include/team.h")
        assert "8" in (await api.run_cell(reader, program)).stdout
        await docker_hub.admin("DELETE", f"groups/{group}")


@pytest.fixture(scope="module")
def other_compiler_image(engine, notebook_image):
    """An administrator's image: ours with another compiler."""
    image = f"regrow-test-gcc11:{secrets.token_hex(3)}"
    install = "apt-get update -qq && apt-get install -y -qq --no-install-recommends g++-11"
    link = "ln -sf gcc-11 /usr/bin/gcc && ln -sf g++-11 /usr/bin/g++"
    build_derived(engine, image, notebook_image, f"USER root\nRUN {install} && {link}\nUSER jovyan")
    yield image
    engine.images.remove(image, force=True)


async def test_a_library_is_not_seen_by_an_image_that_it_was_not_built_for(
    notebook_image, other_compiler_image, new_user, tmp_path
):
    install = """set -e
cd ~/projects
echo 'int leaf();' > $BUILD/local/include/leaf.h
echo 'int leaf() { return 42; }' > leaf.cpp
g++ -shared -fPIC leaf.cpp -o $BUILD/local/lib/libleaf.so
printf '#include <leaf.h>\n#include <iostream>\nint main() { std::cout << leaf() << std::endl; }\n' > main.cpp
g++ main.cpp -lleaf -o program
pip install -q --prefix=$BUILD/local tabulate
basename $BUILD
"""
    use = """cd ~/projects
g++ -fsyntax-only main.cpp && echo include
echo 'int main() {}' | g++ -Wl,--no-as-needed -x c++ - -lleaf -o /tmp/linked && echo linker
./program && echo loader
python -c 'import tabulate' && echo python
"""
    config = deployment(notebook_image)
    config["Regrow"]["profiles"].append({"slug": "other", "name": "Other", "image": other_compiler_image})
    with running_hub(tmp_path / "hub", config) as hub:
        async with hub.api() as api, new_user(api) as user:
            await api.start_server(user, {"profile": "only"})
            abi = (await bash(api, user, install, 120)).strip()
            assert abi.endswith("gcc12")
            assert await bash(api, user, use) == "include\nlinker\n42\nloader\npython\n"

            await api.stop_server(user)
            await api.start_server(user, {"profile": "other"})
            assert (await bash(api, user, "g++ -dumpversion; basename $BUILD")).split() == ["11", f"{abi[:-2]}11"]
            said = await bash(api, user, use)
            for message in (
                "leaf.h: No such file or directory",
                "cannot find -lleaf",
                "libleaf.so: cannot open shared object file",
                "No module named 'tabulate'",
            ):
                assert message in said
            assert not {"include", "linker", "loader", "python"} & set(said.splitlines())
            listing = await api.run_cell(user, "%build")
            assert f"Not used, as it was built for {abi}: " in str(listing.displays)

            await api.stop_server(user)
            await api.start_server(user, {"profile": "only"})
            assert await bash(api, user, use) == "include\nlinker\n42\nloader\npython\n"


async def test_a_container_killed_from_outside_is_seen_at_the_next_poll(docker_hub, engine, new_user):
    async with docker_hub.api() as api, new_user(api) as user:
        await api.start_server(user, {"profile": "small"})
        container_of(engine, docker_hub, user).kill()
        async with asyncio.timeout(20):
            while (await api.user_model(user))["servers"]:
                await asyncio.sleep(0.5)
        await api.start_server(user, {"profile": "small"})
        assert (await api.run_cell(user, "1 + 1")).value == "2"


@pytest.mark.parametrize(
    ("profile", "status", "message"),
    [
        ("foreign", 409, "jovyan"),
        ("absent", 409, "regrow images build"),
        ("gpu", 409, "no GPU that containers can use"),
    ],
)
async def test_a_start_that_cannot_work_says_why_and_leaves_nothing(
    docker_hub, engine, new_user, profile, status, message
):
    async with docker_hub.api() as api, new_user(api) as user:
        before = containers_of(engine, docker_hub)
        volumes = {volume.name for volume in engine.volumes.list()}
        failure = await refusal(api, user, {"profile": profile})
        assert message in str(failure)
        assert failure.status == status
        assert containers_of(engine, docker_hub) == before
        assert {volume.name for volume in engine.volumes.list()} == volumes
        model = await api.user_model(user)
        assert not model["servers"]
        tokens = await docker_hub.admin("GET", f"users/{user}/tokens")
        assert tokens["api_tokens"] == []
        # Nothing of the failure is in the way of the next start.
        await api.start_server(user, {"profile": "small"})


async def test_a_server_that_ends_before_it_is_ready_is_removed_and_its_last_words_shown(
    notebook_image, engine, new_user, tmp_path
):
    broken = f"regrow-test-broken:{secrets.token_hex(3)}"
    build_derived(
        engine,
        broken,
        notebook_image,
        "RUN printf '#!/bin/sh\\necho the disk is made of cheese; exit 3\\n' > /opt/regrow/bin/regrow-singleuser",
    )
    config = deployment(broken)
    try:
        with running_hub(tmp_path / "hub", config) as hub:
            async with hub.api() as api, new_user(api) as user:
                with pytest.raises(HubAPIError, match="made of cheese"):
                    await api.start_server(user)
                assert containers_of(engine, hub) == set()
    finally:
        engine.images.remove(broken, force=True)


async def test_a_full_disk_is_said_on_the_page_and_by_the_api(notebook_image, new_user, tmp_path):
    config = deployment(notebook_image)
    with running_hub(tmp_path / "hub", config) as hub:
        users = hub.data_dir / "users"
        users.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "nr_inodes=1", "tmpfs", users], check=True)
        try:
            async with hub.api() as api, new_user(api) as user:
                failure = await refusal(api, user, {})
                assert "No space left on device" in str(failure)
                assert failure.status == 409
                subprocess.run(["mount", "-o", "remount,nr_inodes=100000", users], check=True)
                await api.start_server(user)
        finally:
            subprocess.run(["umount", users], check=True)


async def test_an_engine_that_is_gone_is_said_and_running_servers_are_not_given_up(
    notebook_image, engine, new_user, tmp_path
):
    config = deployment(notebook_image) | {"Spawner": {"poll_interval": 1}}
    with EngineSocket(tmp_path / "engine.sock") as socket:
        environment = {"DOCKER_HOST": f"unix://{socket.path}"}
        with running_hub(tmp_path / "hub", config, environment=environment) as hub:
            async with hub.api() as api, new_user(api) as busy, new_user(api) as late:
                await api.start_server(busy)
                with socket.closed():
                    await asyncio.sleep(3)  # more than one poll
                    assert (await api.server_model(busy))["ready"]
                    failure = await refusal(api, late, {})
                    assert "Docker engine doesn't answer" in str(failure)
                    assert failure.status == 409
                assert (await api.run_cell(busy, "1 + 1")).value == "2"
                await api.start_server(late)


async def test_a_start_that_takes_too_long_leaves_no_container(notebook_image, engine, new_user, tmp_path):
    slow = f"regrow-test-slow:{secrets.token_hex(3)}"
    build_derived(
        engine, slow, notebook_image, "RUN printf '#!/bin/sh\\nsleep 600\\n' > /opt/regrow/bin/regrow-singleuser"
    )
    config = deployment(slow) | {"Spawner": {"start_timeout": 5}}
    try:
        with running_hub(tmp_path / "hub", config) as hub:
            async with hub.api() as api, new_user(api) as user:
                with pytest.raises(HubAPIError):
                    await api.start_server(user)
                async with asyncio.timeout(30):
                    while containers_of(engine, hub):
                        await asyncio.sleep(0.5)
    finally:
        engine.images.remove(slow, force=True)


async def test_a_container_of_somebody_elses_is_not_touched(docker_hub, engine, notebook_image, new_user):
    async with docker_hub.api() as api, contextlib.AsyncExitStack() as stack:
        user = await stack.enter_async_context(new_user(api))
        name = f"{docker_hub.name}-{user.replace('-', '-2d')}"
        stranger = engine.containers.run(notebook_image, ["sleep", "600"], name=name, detach=True)
        try:
            failure = await refusal(api, user, {"profile": "small"})
            assert "this deployment did not make" in str(failure)
            assert failure.status == 409
            await stack.aclose()  # the user is deleted
            stranger.reload()
            assert stranger.status == "running"
        finally:
            stranger.remove(force=True)


async def test_an_image_built_from_ours_just_works_and_its_packages_are_not_the_users(
    notebook_image, engine, new_user, tmp_path
):
    derived = f"regrow-test-derived:{secrets.token_hex(3)}"
    build_derived(engine, derived, notebook_image, "USER root\nRUN echo theirs > /etc/ours\nUSER jovyan")
    config = deployment(derived)
    try:
        with running_hub(tmp_path / "hub", config) as hub:
            async with hub.api() as api, new_user(api) as user:
                await api.start_server(user)
                assert (await bash(api, user, "cat /etc/ours")) == "theirs\n"
                # The administrator builds it again: the container follows, the home stays.
                await api.stop_server(user)
                build_derived(engine, derived, notebook_image, "USER root\nRUN echo newer > /etc/ours\nUSER jovyan")
                events = await api.start_server(user)
                assert any(f"the image {derived} has changed" in event["message"] for event in events)
                assert (await bash(api, user, "cat /etc/ours")) == "newer\n"
    finally:
        engine.images.remove(derived, force=True)


async def test_ten_users_at_once_all_get_their_server(docker_hub, new_user):
    async with docker_hub.api() as api, contextlib.AsyncExitStack() as stack:
        users = [await stack.enter_async_context(new_user(api)) for _ in range(10)]
        await asyncio.gather(*(api.start_server(user, {"profile": "small"}) for user in users))
        for user in users:
            assert (await api.server_model(user))["ready"]


def build_derived(engine: docker.DockerClient, tag: str, base: str, lines: str) -> None:
    """An administrator's image: ours and a few lines."""
    done = subprocess.run(
        ["docker", "build", "--quiet", "--force-rm", "--network=host", "--tag", tag, "-"],
        input=f"FROM {base}\n{lines}\n".encode(),
        env={"DOCKER_BUILDKIT": "0", "PATH": "/usr/local/bin:/usr/bin:/bin"},
        capture_output=True,
    )
    assert done.returncode == 0, done.stderr.decode()
