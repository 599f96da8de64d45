"""Two people and their projects: what one makes and publishes, the other forks, follows and gives back."""

import contextlib
import secrets
import subprocess
from pathlib import Path

import pytest

from support.hub import bash

MODEL = "head -c 5000000 /dev/urandom > model.bin && sha256sum model.bin | cut -c1-64"


@contextlib.asynccontextmanager
async def two_users(api, new_user):
    async with new_user(api, "ada") as ada, new_user(api, "bob") as bob:
        for user in (ada, bob):
            await api.start_server(user, {})
        yield ada, bob


async def cell(api, user, code, timeout_s=120):
    """What a cell of the user's printed or showed. Fails with its error."""
    done = await api.run_cell(user, code, timeout_s)
    assert not done.error, done.traceback
    return done.stdout + "".join(shown.get("text/plain", "") for shown in done.displays)


async def refusal(api, user, code):
    """What a cell of the user's says that is refused."""
    done = await api.run_cell(user, code, 60)
    assert done.error or "Error" in done.stderr, done
    return f"{done.error} {done.stderr}"


async def test_a_project_goes_from_one_to_the_other_and_back(hub, new_user):
    async with hub.api() as api, two_users(api, new_user) as (ada, bob):
        await cell(api, ada, "%project create faces --template training")
        checksum = (await bash(api, ada, f"cd ~/projects/faces && {MODEL}")).strip()
        await cell(api, ada, "%cd -q ~/projects/faces\n%project publish")
        assert f"{ada}/faces" in await cell(api, bob, "%project list --all")

        await cell(api, bob, f"%fork {ada}/faces as mine")
        said = await bash(
            api, bob, "cd ~/projects/mine && sha256sum model.bin && git log --oneline && git status --short"
        )
        assert checksum in said and "Create faces" in said
        await bash(api, bob, "cd ~/projects/mine && echo 'print(1)' > new.py && rm model.bin")
        assert "new.py" not in await bash(api, ada, "ls ~/projects/faces")
        assert checksum in await bash(api, ada, "sha256sum ~/projects/faces/model.bin")

        await bash(api, ada, "cd ~/projects/faces && echo upstream > NEWS")
        await cell(api, ada, "%project publish")
        await cell(api, bob, "%cd -q ~/projects/mine")
        assert "NEWS" in await cell(api, bob, "%fork --status")
        await cell(api, bob, "%fork --sync")
        assert (await bash(api, bob, "cd ~/projects/mine && cat NEWS new.py")).split() == ["upstream", "print(1)"]

        await cell(api, bob, '%fork --offer "One more file"')
        offers = await cell(api, ada, "%project offers")
        assert "One more file" in offers
        offered = await cell(
            api,
            ada,
            "from regrow.client.hub import HubClient\n"
            f"with HubClient.from_environment() as hub: print(hub.offers('{ada}', 'faces')[0]['id'])",
        )
        await cell(api, ada, f"%fork --accept {offered.strip()}")
        assert "print(1)" in await bash(api, ada, "cat ~/projects/faces/new.py")


async def test_forks_are_there_when_the_server_starts_again(hub, new_user):
    async with hub.api() as api, two_users(api, new_user) as (ada, bob):
        await cell(api, ada, "%project create faces\n%cd -q ~/projects/faces\n%project publish")
        await cell(api, bob, f"%fork {ada}/faces as mine")
        await bash(api, bob, "echo mine > ~/projects/mine/mine")
        await api.stop_server(bob)
        await api.start_server(bob, {})
        assert (await bash(api, bob, "cat ~/projects/mine/mine && ls -d ~/projects/mine/.git")).startswith("mine")


async def test_stock_git_and_git_lfs_work_from_a_laptop_with_a_token(hub, new_user, tmp_path):
    async with hub.api() as api, two_users(api, new_user) as (ada, bob):
        await cell(api, ada, "%project create faces --template training")
        checksum = (await bash(api, ada, f"cd ~/projects/faces && {MODEL}")).strip()
        await cell(api, ada, "%cd -q ~/projects/faces\n%project publish --private\n%project snapshot")
        await cell(api, ada, "%project publish --hub")
        tokens = {user: await api.mint_token(user, expires_in_s=600) for user in (ada, bob)}
        url = f"{hub.url}/services/regrow/git/{ada}/faces.git"

        def git(user, *arguments, cwd=tmp_path, fails=False):
            # As a person's credential helper would say it.
            helper = f"!f() {{ echo username={user}; echo password={tokens[user].token}; }}; f"
            command = [
                "git",
                "-c",
                f"credential.helper={helper}",
                "-c",
                "user.name=x",
                "-c",
                "user.email=x@example.org",
            ]
            done = subprocess.run([*command, *arguments], cwd=cwd, capture_output=True, text=True)
            assert bool(done.returncode) == fails, done.stderr
            return done.stdout + done.stderr

        git(ada, "clone", "--quiet", url, "laptop")
        found = subprocess.run(["sha256sum", "laptop/model.bin"], cwd=tmp_path, capture_output=True, text=True)
        assert found.stdout.startswith(checksum)
        (tmp_path / "laptop/from_laptop.txt").write_text("hello")
        git(ada, "add", "from_laptop.txt", cwd=tmp_path / "laptop")
        git(ada, "commit", "--quiet", "-m", "From a laptop", cwd=tmp_path / "laptop")
        git(ada, "push", "--quiet", "origin", "HEAD:refs/heads/laptop", cwd=tmp_path / "laptop")
        fetched = await bash(
            api, ada, "cd ~/projects/faces && git fetch -q origin && git show origin/laptop:from_laptop.txt"
        )
        assert fetched == "hello"
        git(bob, "clone", "--quiet", url, "bobs")
        assert "fork it to change it" in git(
            bob, "push", "origin", "HEAD:refs/heads/x", cwd=tmp_path / "bobs", fails=True
        )


@pytest.mark.docker
async def test_a_fork_in_containers_costs_what_it_changes(docker_hub, new_user):
    async with docker_hub.api() as api, two_users(api, new_user) as (ada, bob):
        await cell(api, ada, "%project create large")
        await bash(api, ada, "cd ~/projects/large && head -c 200000000 /dev/urandom > weights.bin")
        await cell(api, ada, "%cd -q ~/projects/large\n%project publish")
        await cell(api, bob, f"%fork {ada}/large as mine")
        kind, options = (await bash(api, bob, "findmnt -no FSTYPE,OPTIONS ~/projects/mine")).split()
        assert kind == "overlay"
        (upper,) = (Path(each.partition("=")[2]) for each in options.split(",") if each.startswith("upperdir="))
        assert docker_hub.data_dir in upper.parents
        used = sum(file.lstat().st_size for file in upper.rglob("*") if file.is_file())
        assert used < 2 * 1024 * 1024
        await bash(api, bob, "cd ~/projects/mine && sudo rm -rf .git && echo x > weights.bin")
        assert (await bash(api, ada, "stat -c %s ~/projects/large/weights.bin")).strip() == "200000000"


@pytest.mark.docker
async def test_a_fork_says_which_added_packages_it_lacks(docker_hub, new_user):
    async with docker_hub.api() as api, two_users(api, new_user) as (ada, bob):
        # What pip writes last when it installs something.
        about = "Metadata-Version: 2.1\\nName: added-by-ada\\nVersion: 1.0\\n"
        place = "$(python -c 'import site; print(site.getsitepackages()[0])')/added_by_ada-1.0.dist-info"
        await bash(api, ada, f'mkdir "{place}" && printf "{about}" > "{place}/METADATA"')
        await cell(api, ada, "%project create faces\n%cd -q ~/projects/faces\n%project publish")
        said = await cell(api, bob, f"%fork {ada}/faces as mine")
        assert "added-by-ada" in said and "regrow packages install --list-file=" in said
        listed = await bash(api, bob, "cat ~/projects/mine/.git/regrow/packages.json")
        assert '"pip": ["added-by-ada"]' in listed and '"apt": []' in listed


async def test_what_is_private_is_nobody_elses(hub, new_user):
    async with hub.api() as api, two_users(api, new_user) as (ada, bob):
        await cell(api, ada, "%project create secret\n%cd -q ~/projects/secret\n%project snapshot")
        assert f"There is no project {ada}/secret that you can see" in await refusal(api, bob, f"%fork {ada}/secret")
        assert "secret" not in await cell(api, bob, "%project list --all")
        token = secrets.token_hex(16)
        said = await bash(api, bob, f"curl -s -H 'Authorization: token {token}' ${{REGROW_SERVICE_URL}}api/projects")
        assert "not known to this hub" in said
