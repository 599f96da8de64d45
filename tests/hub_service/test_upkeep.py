"""What the service does by itself from time to time."""

import hashlib
import shutil
import time
from datetime import timedelta

import pytest
from sqlalchemy import select

from regrow.client.working import publish, snapshot
from regrow.hub_service import large_objects, quotas, recycle_bin
from regrow.hub_service.errors import Refused
from regrow.hub_service.registry.tables import Project, StoredObject, now
from regrow.hub_service.repositories import is_scattered
from regrow.hub_service.service import Limits
from regrow.hub_service.upkeep import Upkeep
from regrow.projects.pointers import Pointer
from regrow.store import Store

from support.git_endpoint import wait_for
from support.service import noise, quiet, state

DAY_S = 24 * 3600.0


@pytest.fixture
def upkeep(hub):
    """The upkeep of the running service, beside the service's own."""
    return Upkeep(hub.service)


def packs(hub, model):
    return len(list((hub.places.repository(model["id"]) / "objects/pack").glob("*.pack")))


def test_repositories_of_many_pushes_are_repacked_also_where_one_is_damaged(hub, new_project, acting, upkeep):
    project = new_project("ada", "faces", {"a": b"0"})
    damaged = new_project("ada", "damaged", {"a": b"0"})
    with acting("ada") as client:
        for number in range(21):
            (project.folder / "a").write_text(str(number))
            snapshot(client, project, quiet)
        model = client.project("ada", "faces")
        broken = hub.places.repository(client.project("ada", damaged.name)["id"])
        (broken / "HEAD").unlink()
        for number in range(20):
            shutil.copyfile(broken / "config", broken / f"objects/pack/pack-{number}.pack")
        assert is_scattered(hub.places.repository(model["id"]))
        expected = [each["id"] for each in client.snapshots("ada", "faces")]
        upkeep.run()
        assert packs(hub, model) < 4
        assert [each["id"] for each in client.snapshots("ada", "faces")] == expected
        (project.folder / "a").write_text("after")
        last = snapshot(client, project, quiet).model["id"]
        client.publish("ada", "faces", {"visibility": "hub", "snapshot": last}, quiet)
    with acting("bob") as client:
        client.fork("ada", "faces", "mine", "", quiet)
    assert state(hub.projects("bob") / "mine") == state(project.folder)


def later(hub, after_s):
    """What is done from time to time, so much later."""
    Upkeep(hub.service, lambda: time.time() + after_s).run()


def pointer_of(content):
    return Pointer(hashlib.sha256(content).hexdigest(), len(content))


def test_large_files_that_were_stored_and_never_noted_are_removed_an_hour_later(hub, new_project, acting):
    project = new_project("ada", "faces", {"model.bin": noise(1)})
    lost, never_there = pointer_of(noise(2)), pointer_of(noise(4))
    with acting("ada") as client:
        snapshot(client, project, quiet)
    noted = {Pointer(oid, 0).name for oid in quotas.brought(hub.service, "ada")}
    large_objects.begin(hub.service, [lost, never_there])
    with hub.service.store.writer() as writer:
        writer.keep(lost.name, writer.put(noise(2)))
    later(hub, 3000)
    assert set(hub.service.store.names()) == {*noted, lost.name}
    later(hub, 3700)
    assert set(hub.service.store.names()) == noted
    with hub.service.session() as session:
        assert {Pointer(oid, 0).name for oid in session.scalars(select(StoredObject.oid))} == noted


def test_what_others_keep_in_the_store_stays_whatever_its_name_is_and_whoever_deletes_the_same(
    hub, new_project, acting, upkeep
):
    """Another hub's, or a script's."""
    theirs, same = pointer_of(noise(2)), pointer_of(noise(1))
    with hub.service.store.writer() as writer:
        writer.keep(theirs.name, writer.put(noise(2)))
        writer.keep(same.name, writer.put(noise(1)))
        writer.keep("of/others", writer.put(noise(3)))
    there = {theirs.name, same.name, "of/others"}
    project = new_project("ada", "faces", {"model.bin": noise(1), "own.bin": noise(4)})
    with acting("ada") as client:
        snapshot(client, project, quiet)
        assert set(hub.service.store.names()) == {*there, pointer_of(noise(4)).name}
        for after_s in (0, 3700, 2 * DAY_S):
            later(hub, after_s)
        project_id = client.project("ada", "faces")["id"]
        client.delete("ada", "faces")
        client.purge(project_id)
    later(hub, 2 * DAY_S)
    assert set(hub.service.store.names()) == there


def test_large_files_that_are_noted_in_that_hour_stay(hub, new_project):
    content = noise(1)
    new_project("ada", "faces", {"model.bin": content})
    late = pointer_of(content)
    large_objects.begin(hub.service, [late])
    with hub.service.session() as session, session.begin():
        session.get_one(StoredObject, late.oid).begun_at = now() - timedelta(seconds=7200)
    with hub.service.store.writer() as writer:
        writer.keep(late.name, writer.put(content))
    large_objects.begin(hub.service, [late])  # once more, by another operation
    later(hub, 0)
    with hub.client("ada") as client:
        assert any("kept" in line for line in client.keep_large("ada", "faces", "faces", ["model.bin"]))
    later(hub, 2 * DAY_S)
    assert list(hub.service.store.names()) == [late.name]


def test_a_large_file_that_its_last_owner_deletes_while_another_sends_it_is_still_the_hubs_to_remove(
    hub, new_project, acting
):
    ids = {}
    for user in ("ada", "bob"):
        project = new_project(user, "faces", {"model.bin": noise(1)})
        with acting(user) as client:
            ids[user] = client.project(user, "faces")["id"]
            if user == "ada":
                snapshot(client, project, quiet)
    large = pointer_of(noise(1))
    large_objects.begin(hub.service, [large])  # bob's
    with hub.client("ada") as client:
        client.delete("ada", "faces")
        client.purge(ids["ada"])
    assert list(hub.service.store.names()) == []
    with hub.service.store.writer() as writer:
        writer.keep(large.name, writer.put(noise(1)))
    with hub.service.session() as session:
        large_objects.add(hub.service, session.get_one(Project, ids["bob"]), [large])
    later(hub, 2 * DAY_S)
    assert list(hub.service.store.names()) == [large.name]
    with hub.client("bob") as client:
        client.delete("bob", "faces")
        client.purge(ids["bob"])
    assert list(hub.service.store.names()) == []


def test_the_store_is_collected_once_a_day(hub):
    began = time.time()
    earlier = Store.open(str(hub.folder / "store"), hub.folder / "earlier", now=lambda: began - 3 * DAY_S)
    with earlier, earlier.writer() as writer:
        writer.put(noise(1))
    condemned = hub.folder / "store/condemned"

    def run(after_s):
        Upkeep(hub.service, lambda: began + after_s).run()
        return len(list(condemned.iterdir())) if condemned.exists() else 0

    assert run(0) == 0
    assert run(DAY_S - 60) == 0
    assert run(DAY_S + 60) == 1


class TestAfterItsTimeInTheRecycleBin:
    @pytest.fixture
    def limits(self):
        return Limits(bin_s=3600)

    def test_a_project_is_removed_for_good(self, hub, new_project, acting, upkeep):
        project = new_project("ada", "faces", {"model.bin": noise(1)})
        with acting("ada") as client:
            snapshot(client, project, quiet)
            client.delete("ada", "faces")
            (deleted,) = client.recycle_bin()
            upkeep.run()
            assert client.recycle_bin() == [deleted]
            with hub.service.session() as session, session.begin():
                session.get_one(Project, deleted["id"]).deleted_at = now() - timedelta(seconds=3601)
            upkeep.run()
            assert client.recycle_bin() == []
        assert list(hub.places.repositories.iterdir()) == list(hub.places.bin.iterdir()) == []
        assert list(hub.service.store.names()) == []


def test_a_project_that_is_put_back_when_it_is_about_to_be_removed_for_good_stays(hub, new_project, acting):
    project = new_project("ada", "faces", {"model.bin": noise(1)})
    with acting("ada") as client:
        publish(client, project, "hub", "", quiet)
        before = state(project.folder)
        client.delete("ada", "faces")
        with hub.service.session() as session:
            found = session.get_one(Project, client.recycle_bin()[0]["id"])
        client.undelete(found.id)
        recycle_bin.purge(hub.service, found)
        assert [each["name"] for each in client.projects()] == ["faces"]
        assert client.project("ada", "faces")["published"] is not None
        assert len(quotas.brought(hub.service, "ada")) == len(list(hub.service.store.names())) == 1
    assert state(project.folder) == before


def test_a_project_that_was_just_removed_for_good_is_not_put_back(hub, new_project, acting):
    new_project("ada", "faces")
    with acting("ada") as client:
        client.delete("ada", "faces")
        with hub.service.session() as session:
            found = session.get_one(Project, client.recycle_bin()[0]["id"])
        recycle_bin.purge(hub.service, found)
        with pytest.raises(Refused, match="faces was removed for good a moment ago"):
            recycle_bin.undelete(hub.service, found)
        assert client.projects() == client.recycle_bin() == []


def test_the_service_does_so_by_itself(hub):
    assert wait_for(hub.places.collected.exists)
