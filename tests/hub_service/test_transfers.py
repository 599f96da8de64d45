"""What travels between a project and the hub: what has changed, whatever was committed."""

import pytest

from regrow.client.upstream import accept, news, offer, sync
from regrow.client.working import fork, publish, snapshot
from regrow.hub_service.repositories import size_bytes

from support.service import noise, quiet

KIB = 1024
# Small files that their owner has never committed: no commit that both sides have leads to them.
FILES = {f"data/{number}.bin": noise(number, 20 * KIB) for number in range(100)}
FEW_BYTES = 200 * KIB


@pytest.fixture
def faces(new_project, acting):
    """ada's project, published."""
    project = new_project("ada", "faces", FILES)
    with acting("ada") as client:
        publish(client, project, "hub", "", quiet)
    return project


def of(hub, client, owner, name):
    return size_bytes(hub.places.repository(client.project(owner, name)["id"]))


def objects(working):
    return size_bytes(working.folder / ".git/objects") + size_bytes(working.folder / ".git/regrow")


def test_a_snapshot_sends_what_has_changed_since_the_last_one(hub, faces, acting):
    with acting("ada") as client:
        before = of(hub, client, "ada", "faces")
        for number in range(3):
            (faces.folder / "data/1.bin").write_bytes(noise(number, 20 * KIB))
            snapshot(client, faces, quiet)
        assert of(hub, client, "ada", "faces") - before < FEW_BYTES


def test_the_first_snapshot_of_a_fork_sends_what_the_fork_has_changed(hub, faces, acting):
    with acting("bob") as client:
        mine = fork(client, "ada", "faces", "mine", quiet).working
        (mine.folder / "data/1.bin").write_bytes(noise(1000, 20 * KIB))
        before = of(hub, client, "bob", "mine")
        snapshot(client, mine, quiet)
        assert of(hub, client, "bob", "mine") - before < FEW_BYTES


def test_a_merge_fetches_what_has_changed(faces, acting):
    with acting("bob") as client:
        mine = fork(client, "ada", "faces", "mine", quiet).working
    (faces.folder / "data/1.bin").write_bytes(noise(1000, 20 * KIB))
    with acting("ada") as client:
        publish(client, faces, "hub", "", quiet)
    before = objects(mine)
    with acting("bob") as client:
        assert news(client, mine, quiet).status.there == ["data/1.bin"]
        sync(client, mine, None, quiet)
        (mine.folder / "data/2.bin").write_bytes(noise(1001, 20 * KIB))
        offered = offer(client, mine, "take it", quiet)
    assert objects(mine) - before < FEW_BYTES
    before = objects(faces)
    with acting("ada") as client:
        accept(client, faces, offered["id"], None, quiet)
    assert objects(faces) - before < FEW_BYTES
