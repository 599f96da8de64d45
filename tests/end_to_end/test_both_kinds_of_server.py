"""What holds for containers and for local processes alike."""

import asyncio
from contextlib import suppress

import pytest

from regrow.hub_config.hub_api import HubAPIError

from support.hub import bash


async def test_a_server_is_a_machine_with_a_compiler_and_the_build_environment(hub, new_user):
    async with hub.api() as api, new_user(api) as user:
        events = await api.start_server(user)
        assert [event["progress"] for event in events] == sorted(event["progress"] for event in events)
        assert "Waiting for JupyterLab." in [event["message"] for event in events]
        cell = await api.run_cell(user, "import os; print(os.environ['BUILD']); print(os.getcwd())")
        build, _ = cell.stdout.split()
        assert "x86_64-glibc" in build or "aarch64-glibc" in build
        cell = await api.run_cell(user, '%%cpp\n#include <cstdio>\nint main() { std::puts("compiled"); }')
        assert "compiled" in cell.stdout


async def test_what_is_built_in_one_project_is_found_by_programs_in_another(hub, new_user):
    install = """set -e
mkdir -p ~/projects/one ~/projects/two
cd ~/projects/one
echo 'int answer();' > answer.h
echo 'int answer() { return 42; }' > answer.cpp
g++ -shared -fPIC answer.cpp -o libanswer.so
cp answer.h $BUILD/local/include
cp libanswer.so $BUILD/local/lib
echo installed
"""
    use = """set -e
cd ~/projects/two
printf '#include <answer.h>\n#include <iostream>\nint main() { std::cout << answer(); }\n' > main.cpp
g++ main.cpp -lanswer -o main
./main
"""
    async with hub.api() as api, new_user(api) as user:
        await api.start_server(user)
        assert await bash(api, user, install) == "installed\n"
        await api.stop_server(user)
        await api.start_server(user)
        assert await bash(api, user, use) == "42"
        cell = "%%cpp -lanswer\n#include <answer.h>\n#include <iostream>\nstd::cout << answer();"
        await api.run_cell(user, "%cd ~/projects/two")
        assert (await api.run_cell(user, cell)).stdout == "42"


async def test_home_and_projects_are_there_again_after_a_stop(hub, new_user):
    async with hub.api() as api, new_user(api) as user:
        await api.start_server(user)
        await bash(api, user, "echo kept > ~/note.txt")
        await bash(api, user, "mkdir -p ~/projects/faces && echo data > ~/projects/faces/data.txt")
        await api.stop_server(user)
        await api.start_server(user)
        said = await bash(api, user, "cat ~/note.txt ~/projects/faces/data.txt")
        assert said.split() == ["kept", "data"]


async def test_a_hub_killed_with_minus_nine_finds_its_servers_again(hub, new_user):
    async with hub.api() as api, new_user(api) as user:
        await api.start_server(user)
        await api.run_cell(user, "survivor = 123")
        hub.kill()
        hub.start()
        assert (await api.server_model(user))["ready"]
        cell = await api.run_cell(user, "print(survivor)")
        assert cell.stdout == "123\n"


async def test_a_profile_that_is_not_on_offer_is_refused_with_400(hub, new_user):
    async with hub.api() as api, new_user(api) as user:
        for options, message in [
            ({"profile": "../../root"}, "There is no profile '../../root' for you"),
            ({"profile": ["cpu"]}, "There is no profile"),
            ({"profile": "<script>"}, "no profile '<script>'"),
            ({"image": "evil", "profile": "small"}, "Unknown option 'image'"),
            ({"mem_limit": "1T"}, "Unknown option 'mem_limit'"),
        ]:
            with pytest.raises(HubAPIError, match=message.replace(".", r"\.")) as refused:
                await api.start_server(user, options)
            assert refused.value.status == 400
        await api.start_server(user, {})


async def test_names_with_markup_or_a_path_are_refused_by_the_hub(hub):
    async with hub.api() as api:
        for name in ["../etc", "<b>x</b>", "a b", "x" * 300, "-rf"]:
            with pytest.raises(HubAPIError) as refused:
                await api.create_user(name)
            assert refused.value.status == 400


async def test_a_server_that_died_is_seen_at_the_next_poll(hub, new_user):
    async with hub.api() as api, new_user(api) as user:
        await api.start_server(user)
        with suppress(HubAPIError):  # the server is gone before it can answer
            await api.run_cell(user, "import os, signal; os.kill(os.getppid(), signal.SIGKILL)")
        async with asyncio.timeout(20):
            while (await api.user_model(user))["servers"]:
                await asyncio.sleep(0.5)
        await api.start_server(user)


async def test_the_files_of_a_deleted_user_are_not_found_by_the_next_of_that_name(hub, new_user):
    async with hub.api() as api:
        async with new_user(api) as user:
            await api.start_server(user)
            await bash(api, user, "echo private > ~/secret.txt")
        await api.create_user(user)
        await api.start_server(user)
        said = await bash(api, user, "ls ~")
        assert "secret.txt" not in said
        await api.delete_user(user)
        kept = list((hub.data_dir / "deleted").glob("*/home/secret.txt"))
        assert len([path for path in kept if path.read_text() == "private\n"]) >= 1
