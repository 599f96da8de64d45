"""Snapshots that nobody asks for: on a timer, and before a server stops."""

import asyncio
import time

import pytest

from support.hub import bash, running_hub

MAKE = """
from regrow.client.hub import HubClient
from regrow.client.working import create
from regrow.projects.create import create_empty
with HubClient.from_environment() as hub:
    working, _ = create(hub, "faces", create_empty)
(working.folder / "a").write_text("one")
"""
LAST = """cd ~/projects/faces && last=$(git for-each-ref --format='%(refname)' refs/regrow/snapshots | tail -1) && \
git log -1 --format=%b $last | sed -n 's/Regrow-Reason: //p' && git show $last:a"""


@pytest.fixture
def hub(tmp_path, interval_s):
    """A hub whose servers take snapshots so often."""
    config = {
        "Regrow": {"spawner": "local"},
        "Spawner": {"args": [f"--RegrowExtension.snapshot_interval_s={interval_s}"]},
    }
    with running_hub(tmp_path / "hub", config) as hub:
        yield hub


@pytest.mark.parametrize("interval_s", [0.5])
async def test_what_has_changed_is_kept_on_a_timer(hub):
    async with hub.api() as api:
        await start(api)
        deadline = time.monotonic() + 30
        while (await bash(api, "ada", LAST)).split() != ["timer", "one"]:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.2)


@pytest.mark.parametrize("interval_s", [3600])
async def test_what_has_changed_is_kept_before_the_server_stops(hub):
    async with hub.api() as api:
        await start(api)
        await api.stop_server("ada")
        await api.start_server("ada", {})
        assert (await bash(api, "ada", LAST)).split() == ["stop", "one"]


async def start(api):
    await api.create_user("ada")
    await api.start_server("ada", {})
    assert not (await api.run_cell("ada", MAKE)).error
