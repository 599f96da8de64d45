"""`regrow smoke`, run as people run it, against a real hub."""

import asyncio
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_hub import TinyHub

from regrow.hub_config.hub_api import HubAPI
from regrow.hub_config.smoke import SmokeFailure, smoke

REGROW = str(Path(sys.executable).parent / "regrow")
STEPS = [
    "reach the hub",
    "make the user",
    "start the server",
    "start a kernel",
    "run a cell",
    "stop the server",
    "remove the user",
]


def environment(token: str | None, home: Path) -> dict[str, str]:
    env = {key: value for key, value in os.environ.items() if not key.startswith(("REGROW_", "XDG_"))}
    return env | {"HOME": str(home)} | ({"REGROW_API_TOKEN": token} if token else {})


def run(*args: str, token: str | None = None, home: Path = Path("/nonexistent")) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [REGROW, "smoke", *args], capture_output=True, text=True, timeout=120, env=environment(token, home)
    )


async def smoke_users(hub: HubAPI) -> list[str]:
    return [user["name"] for user in await hub.request("GET", "users") if "smoke" in user["name"]]


async def test_a_whole_session_works_and_each_step_is_timed(a_hub: TinyHub, hub: HubAPI) -> None:
    done = await asyncio.to_thread(run, f"--url={a_hub.url}", token=a_hub.token)
    assert done.returncode == 0, done.stdout + done.stderr
    timed = dict(re.findall(r"^([a-z ]+?) +(\d+\.\d\d)  ", done.stdout, re.MULTILINE))
    assert [step for step in timed if step in STEPS] == STEPS
    assert float(timed["all"]) >= float(timed["start the server"]) > 0.1
    assert re.search(r"run a cell .* \d+ \* \d+ = \d+", done.stdout)
    assert await smoke_users(hub) == []
    assert a_hub.token not in done.stdout + done.stderr


async def test_the_token_is_found_where_regrow_up_puts_it(a_hub: TinyHub, tmp_path: Path) -> None:
    file = tmp_path / ".local/share/regrow/hub/cli_token"
    file.parent.mkdir(parents=True)
    file.write_text(a_hub.token + "\n")
    done = await asyncio.to_thread(run, f"--url={a_hub.url}", home=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


async def test_a_spawn_that_fails_is_told_with_its_cause_and_leaves_nothing(a_hub: TinyHub, hub: HubAPI) -> None:
    done = await asyncio.to_thread(run, f"--url={a_hub.url}", "--profile=broken", token=a_hub.token)
    assert done.returncode == 1
    assert "Failed to start the server" in done.stderr
    assert "The image regrow/nowhere is not on this machine" in done.stderr
    assert "Traceback" not in done.stderr
    assert re.search(r"start the server +\d.* FAILED", done.stdout)
    assert await smoke_users(hub) == []


async def test_a_cell_that_raises_is_told_with_its_error_and_leaves_nothing(a_hub: TinyHub, hub: HubAPI) -> None:
    done = await asyncio.to_thread(run, f"--url={a_hub.url}", "--profile=raising", token=a_hub.token)
    assert done.returncode == 1
    assert "Failed to run a cell" in done.stderr and "OSError: no paper" in done.stderr
    assert await smoke_users(hub) == []


async def test_a_server_that_takes_too_long_is_a_failure_and_leaves_nothing(a_hub: TinyHub, hub: HubAPI) -> None:
    done = await asyncio.to_thread(
        run, f"--url={a_hub.url}", "--profile=slow", "--start-timeout-s=2", token=a_hub.token
    )
    assert done.returncode == 1
    assert "within 2 s" in done.stderr
    assert await smoke_users(hub) == []


def test_a_hub_that_is_down_is_a_failure_that_says_so() -> None:
    done = run("--url=http://127.0.0.1:9", token="any")
    assert done.returncode == 1
    assert "Failed to reach the hub" in done.stderr and "regrow up" in done.stderr


async def test_a_wrong_token_is_a_failure_that_says_so(a_hub: TinyHub) -> None:
    done = await asyncio.to_thread(run, f"--url={a_hub.url}", token="wrong")
    assert done.returncode == 1
    assert "Failed to make the user" in done.stderr and "Check the token" in done.stderr


@pytest.mark.parametrize("number, status", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
async def test_a_signal_in_the_middle_removes_the_user(
    a_hub: TinyHub, hub: HubAPI, number: signal.Signals, status: int
) -> None:
    process = await asyncio.create_subprocess_exec(
        REGROW,
        "smoke",
        f"--url={a_hub.url}",
        "--profile=slow",
        env=environment(a_hub.token, Path("/nonexistent")),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout
    lines = [await asyncio.wait_for(process.stdout.readline(), 30) for _ in range(4)]
    assert lines[3].startswith(b"make the user")
    await asyncio.sleep(1)  # by then the server is starting
    process.send_signal(number)
    stdout, stderr = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == status, stdout + stderr
    assert b"interrupted" in stdout and b"are removed" in stdout and b"Traceback" not in stderr
    assert await smoke_users(hub) == []


async def test_a_user_who_exists_is_left_alone(hub: HubAPI) -> None:
    await hub.create_user("smoker")
    with pytest.raises(SmokeFailure, match=r"Failed to make the user.*409"):
        await smoke(hub, "smoker", report=lambda line: None)
    assert (await hub.user_model("smoker"))["name"] == "smoker"
    await hub.delete_user("smoker")


async def test_keep_leaves_the_user_and_their_running_server(a_hub: TinyHub, hub: HubAPI) -> None:
    done = await asyncio.to_thread(run, f"--url={a_hub.url}", "--keep", token=a_hub.token)
    assert done.returncode == 0, done.stdout + done.stderr
    (user,) = await smoke_users(hub)
    assert (await hub.server_model(user))["ready"]
    assert f"{user} and their server are kept" in done.stdout
    await hub.delete_user(user)


async def test_what_cannot_be_removed_is_named(a_hub: TinyHub, hub: HubAPI) -> None:
    """A hub that dies in the middle can't remove anything: smoke says what it leaves, and where to look."""
    lines: list[str] = []
    async with HubAPI(a_hub.url, a_hub.token) as ours:

        def report(line: str) -> None:
            lines.append(line)
            if line.startswith("make the user"):
                ours.url = "http://127.0.0.1:9"  # as if the hub had gone

        with pytest.raises(SmokeFailure, match=r"Failed to start the server.*could not be reached"):
            await smoke(ours, "orphan", report=report)
        ours.url = a_hub.url
    assert "orphan and their server could not be removed" in lines[-1] and "/hub/admin" in lines[-1]
    await hub.delete_user("orphan")


@pytest.mark.parametrize(
    "args, message",
    [
        (["--colour=red"], "There is no option --colour"),
        (["twice"], "'twice' is one argument too many"),
        (["--url=hub"], "'hub' is not the URL of a hub"),
        (["--start-timeout-s=soon"], "soon"),
        (["--token-file=/nonexistent/token"], "/nonexistent/token cannot be read"),
        ([], "No API token"),
    ],
)
def test_bad_usage_is_exit_status_2(args: list[str], message: str) -> None:
    done = run(*args, token="any" if args and "token" not in args[0] else None)
    assert done.returncode == 2
    assert message in done.stderr and "Traceback" not in done.stderr
