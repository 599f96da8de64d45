"""`regrow token`, run as people run it, against a real hub."""

import os
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
from tiny_hub import TinyHub

from regrow.hub_config.hub_api import HubAPI

REGROW = str(Path(sys.executable).parent / "regrow")


def run(*args: str, token: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [REGROW, "token", *args],
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | {"REGROW_API_TOKEN": token, "HOME": "/nonexistent"},
    )


@pytest.fixture
async def tess(hub: HubAPI) -> AsyncIterator[str]:
    await hub.create_user("tess")
    yield "tess"
    await hub.delete_user("tess")


def who_is(a_hub: TinyHub, token: str) -> dict:
    answer = httpx.get(f"{a_hub.url}/hub/api/user", headers={"Authorization": f"token {token}"}, trust_env=False)
    return answer.raise_for_status().json()


async def test_only_the_token_is_on_stdout_and_it_is_the_users(a_hub: TinyHub, hub: HubAPI, tess: str) -> None:
    done = run(tess, f"--url={a_hub.url}", token=a_hub.token)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1 and len(done.stdout.split()) == 1
    assert who_is(a_hub, done.stdout.strip())["name"] == "tess"
    assert "access:servers!user=tess" in done.stderr and "expires: never" in done.stderr
    assert done.stdout.strip() not in done.stderr


async def test_scopes_expiry_and_note_are_as_asked_for(a_hub: TinyHub, hub: HubAPI, tess: str) -> None:
    done = run(
        tess,
        f"--url={a_hub.url}",
        "--scopes=access:servers!user, read:users:activity!user",
        "--expires-in-s=600",
        "--note=nightly backup",
        token=a_hub.token,
    )
    assert done.returncode == 0, done.stderr
    scopes = who_is(a_hub, done.stdout.strip())["scopes"]
    assert "access:servers!user=tess" in scopes and not [scope for scope in scopes if "admin" in scope]
    (token,) = [
        each
        for each in (await hub.request("GET", "users/tess/tokens"))["api_tokens"]
        if each["note"] == "nightly backup"
    ]
    left = datetime.fromisoformat(token["expires_at"]) - datetime.now(UTC)
    assert 500 < left.total_seconds() <= 600
    assert token["expires_at"] in done.stderr


def test_a_user_who_is_not_there_is_named(a_hub: TinyHub) -> None:
    done = run("nobody", f"--url={a_hub.url}", token=a_hub.token)
    assert (done.returncode, done.stdout) == (1, "")
    assert "The hub has no user nobody. No token was made." in done.stderr


def test_a_scope_that_the_user_does_not_hold_is_refused(a_hub: TinyHub, tess: str) -> None:
    done = run(tess, f"--url={a_hub.url}", "--scopes=shutdown", token=a_hub.token)
    assert (done.returncode, done.stdout) == (1, "")
    assert "shutdown" in done.stderr and "not held by User tess" in done.stderr


def test_a_scope_that_does_not_exist_is_refused(a_hub: TinyHub, tess: str) -> None:
    done = run(tess, f"--url={a_hub.url}", "--scopes=everything", token=a_hub.token)
    assert done.returncode == 1
    assert "everything" in done.stderr


def test_a_token_that_may_not_mint_tokens_is_told_so(a_hub: TinyHub, tess: str) -> None:
    done = run(tess, f"--url={a_hub.url}", token=a_hub.weak_token)
    assert done.returncode == 1
    assert "Check the token" in done.stderr


def test_a_hub_that_is_down_is_told_as_such() -> None:
    done = run("tess", "--url=http://127.0.0.1:9", token="any")
    assert done.returncode == 1
    assert "could not be reached" in done.stderr and "regrow up" in done.stderr


@pytest.mark.parametrize("args", [[], ["a", "b"], ["a", "--expires-in-s=-1"], ["a", "--admin=yes"]])
def test_bad_usage_is_exit_status_2(args: list[str]) -> None:
    done = run(*args, token="any")
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr
