"""A fork and its parent: what each learns of the other, merges, and offers."""

import pytest

from regrow.client.hub import HubError
from regrow.client.upstream import accept, news, offer, sync
from regrow.client.working import fork, publish
from regrow.projects.errors import ProjectError
from regrow.projects.merge import MergeConflict

from support.service import noise, quiet, state


@pytest.fixture
def pair(new_project, acting):
    """ada's published project, and bob's fork of it."""
    faces = new_project("ada", "faces", {"a": b"1\n", "b": b"1\n", "model.bin": noise(1)})
    with acting("ada") as client:
        publish(client, faces, "hub", "", quiet)
    with acting("bob") as client:
        mine = fork(client, "ada", "faces", "mine", quiet).working
    return faces, mine


def test_a_fork_is_told_what_has_changed_and_merges_it(pair, acting):
    faces, mine = pair
    with acting("bob") as client:
        assert news(client, mine, quiet).is_up_to_date
    (faces.folder / "a").write_text("2\n")
    (faces.folder / "model.bin").write_bytes(noise(2))
    (mine.folder / "b").write_text("3\n")
    with acting("ada") as client:
        publish(client, faces, "hub", "", quiet)
    with acting("bob") as client:
        told = news(client, mine, quiet)
        assert (told.parent, told.is_up_to_date) == ("ada/faces", False)
        assert (told.status.here, told.status.there, told.status.both) == (["b"], ["a", "model.bin"], [])
        sync(client, mine, None, quiet)
        assert news(client, mine, quiet).is_up_to_date
    assert (mine.folder / "a").read_text() == "2\n"
    assert (mine.folder / "b").read_text() == "3\n"
    assert (mine.folder / "model.bin").read_bytes() == noise(2)


def test_a_conflict_is_told_and_nothing_is_half_merged(pair, acting):
    faces, mine = pair
    (faces.folder / "a").write_text("2\n")
    (faces.folder / "b").write_text("2\n")
    (mine.folder / "a").write_text("3\n")
    before = state(mine.folder)
    with acting("ada") as client:
        publish(client, faces, "hub", "", quiet)
    with acting("bob") as client:
        with pytest.raises(MergeConflict, match="a: changed on both sides"):
            sync(client, mine, None, quiet)
        assert state(mine.folder) == before
        sync(client, mine, {"a": "theirs"}, quiet)
    assert state(mine.folder) == state(faces.folder)


def test_an_offer_is_accepted_by_the_parents_owner(pair, acting):
    faces, mine = pair
    (mine.folder / "a").write_text("better\n")
    (mine.folder / "new.bin").write_bytes(noise(3))
    with acting("bob") as client:
        made = offer(client, mine, "A better a", quiet)
        with pytest.raises(HubError, match="Only ada can say"):
            client.decide(made["id"], "accepted")
    with acting("ada") as client:
        (seen,) = client.offers("ada", "faces")
        assert (seen["fork"], seen["message"], seen["state"]) == ("bob/mine", "A better a", "open")
        accept(client, faces, seen["id"][:6], None, quiet)
        assert client.offers("ada", "faces")[0]["state"] == "accepted"
    assert (faces.folder / "a").read_text() == "better\n"
    assert (faces.folder / "new.bin").read_bytes() == noise(3)


def test_an_offer_can_be_declined_or_withdrawn_once(pair, acting):
    _, mine = pair
    with acting("bob") as client:
        first, second = (offer(client, mine, f"Take {number}", quiet) for number in range(2))
        client.decide(second["id"], "withdrawn")
    with acting("ada") as client:
        assert client.decide(first["id"], "declined")["state"] == "declined"
        with pytest.raises(HubError, match="That offer was withdrawn already"):
            client.decide(second["id"], "accepted")


def test_what_is_a_fork_of_nothing_has_nobody_to_merge_from(new_project, acting):
    alone = new_project("ada", "alone", {"a": b"1"})
    with acting("ada") as client:
        for ask in (lambda: news(client, alone, quiet), lambda: offer(client, alone, "", quiet)):
            with pytest.raises(ProjectError, match="ada/alone is a fork of no project that you can see"):
                ask()
