"""What is left when the disk is full, when many do the same at once, and when programs go on."""

import contextlib
import os
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from regrow.client.hub import HubError
from regrow.client.working import fork, publish, snapshot
from regrow.hub_service import finding, forking, large_objects, publishing, quotas, recycle_bin
from regrow.hub_service.errors import Refused
from regrow.hub_service.viewer import Viewer
from regrow.projects.errors import ProjectError
from regrow.projects.pointers import Pointer

from support.service import MIB, disk, noise, quiet, state

FILES = {f"data/{number}.csv": b"%d\n" % number for number in range(20)} | {"model.bin": noise(1)}


def viewer(hub, user):
    return Viewer(user, hub.places.user_id(user))


def assert_meanwhile_is_kept(hub):
    """What appears in a user's folder under the name of a fork while the fork is made stays, and the fork is not."""
    there = hub.projects("ada") / "mine"

    def put(make):
        def progress(message):
            if message == "Making the fork":
                make()

        with hub.service.session() as session:
            ada = viewer(hub, "ada")
            source = finding.find(session, ada, "ada", "faces")
        return lambda: forking.fork(hub.service, ada, source, "mine", "", progress)

    def folder():
        there.mkdir()
        (there / "precious").write_text("x")

    for make, is_kept in (
        (folder, lambda: (there / "precious").read_text() == "x"),
        (lambda: there.write_text("x"), lambda: there.read_text() == "x"),
        (lambda: there.symlink_to(hub.projects("bob")), lambda: there.is_symlink()),
    ):
        with pytest.raises((Refused, OSError)) as said:
            put(make)()
        assert is_kept()
        assert isinstance(said.value, Refused), said.value
        assert "can't be put into your projects" in str(said.value)
        shutil.rmtree(there) if there.is_dir() and not there.is_symlink() else there.unlink()
    with hub.client("ada") as client:
        assert [each["name"] for each in client.projects()] == ["faces"]
    assert list(hub.places.trees.iterdir()) == []
    assert list(hub.projects("bob").iterdir()) == []
    put(lambda: None)()
    assert (there / "model.bin").exists()


@pytest.fixture
def faces(new_project, acting):
    """ada's project, published."""
    project = new_project("ada", "faces", FILES)
    with acting("ada") as client:
        publish(client, project, "hub", "", quiet)
    return project


def test_what_appears_where_a_fork_is_to_be_is_kept(hub, faces):
    assert_meanwhile_is_kept(hub)


class TestWhereForksAreCopies:
    @pytest.fixture
    def data_dir(self, without_reflinks):
        return without_reflinks

    def test_what_its_owner_put_there_meanwhile_is_not_taken(self, hub, faces):
        assert_meanwhile_is_kept(hub)


# A full disk


class TestOnASmallDisk:
    @pytest.fixture
    def data_dir(self, tmp_path):
        with disk(tmp_path, "ext4", 96 * MIB, "-m", "0") as folder:
            yield folder

    @pytest.fixture
    def room(self, data_dir):
        """`with room(bytes):` leaves that much on the disk."""

        @contextlib.contextmanager
        def room(left):
            filler = data_dir / "filler"
            with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
                while True:
                    file.write(bytes(4096))
            os.truncate(filler, filler.stat().st_size - left)
            try:
                yield
            finally:
                filler.unlink()

        return room

    @pytest.mark.parametrize("left", [0, 64 * 1024, MIB, 3 * MIB, 5 * MIB])
    def test_publishing_fails_whole_and_says_why(self, hub, new_project, acting, room, left):
        files = {"a.bin": noise(1), "b.bin": noise(2), "c": noise(3, MIB - 1), "d": noise(4, MIB - 1)}
        big = new_project("ada", "big", files)
        with acting("ada") as client:
            sent = snapshot(client, big, quiet).model["id"]
            with room(left), pytest.raises(HubError, match="disk is full") as said:
                client.publish("ada", "big", {"visibility": "hub", "snapshot": sent}, quiet)
            assert said.value.status == 507
            assert client.project("ada", "big")["visibility"] == "private"
            assert client.project("ada", "big")["published"] is None
            assert list(hub.places.layers.iterdir()) == []
            client.publish("ada", "big", {"visibility": "hub", "snapshot": sent}, quiet)
        with acting("bob") as client:
            mine = fork(client, "ada", "big", "mine", quiet).working
        assert state(mine.folder) == state(big.folder)

    def test_nothing_is_made_and_what_is_there_can_be_deleted(self, hub, faces, acting, room):
        with acting("ada") as client:
            before = [each["name"] for each in client.projects()]
            with room(0):
                for ask in (lambda: client.create("new"), lambda: fork(client, "ada", "faces", "mine", quiet)):
                    with pytest.raises((HubError, ProjectError, OSError)):
                        ask()
                assert [each["name"] for each in client.projects()] == before
                client.delete("ada", "faces")
                (deleted,) = client.recycle_bin()
                client.purge(deleted["id"])
            client.create("new")
        assert len(list(hub.places.repositories.iterdir())) == 1
        assert list(hub.places.trees.iterdir()) == []


# Many at once


def at_once(*work):
    """Do all at the same time; what each returned or raised."""
    ready = threading.Barrier(len(work))

    def run(each):
        ready.wait()
        try:
            return each()
        except HubError as error:
            return error

    with ThreadPoolExecutor(len(work)) as threads:
        return list(threads.map(run, work))


def to_fork(hub, user, name):
    def work():
        with hub.client(user) as client:
            return client.fork("ada", "faces", name, "", quiet)

    return work


def test_many_forks_of_one_project_at_once_are_all_made_on_one_layer(hub, new_project, acting):
    project = new_project("ada", "faces", FILES)
    with acting("ada") as client:
        snapshot(client, project, quiet)
        publish(client, project, "hub", "", quiet)
    done = at_once(*(to_fork(hub, user, f"fork{number}") for number in range(4) for user in ("ada", "bob")))
    assert [each for each in done if isinstance(each, HubError)] == []
    for user in ("ada", "bob"):
        for number in range(4):
            assert state(hub.projects(user) / f"fork{number}") == state(project.folder)
    assert len(list(hub.places.layers.iterdir())) == 1


def test_of_two_who_take_a_name_at_once_one_gets_it_and_the_other_is_told(hub, faces):
    with hub.client("ada") as client:
        for number in range(5):
            for work in (lambda name=f"new{number}": client.create(name), to_fork(hub, "ada", f"fork{number}")):
                errors = [each for each in at_once(*[work] * 4) if isinstance(each, HubError)]
                assert len(errors) == 3
                assert all("already" in str(each) for each in errors), errors
        names = sorted(each["name"] for each in client.projects())
    assert names == sorted(["faces", *(f"{kind}{number}" for kind in ("fork", "new") for number in range(5))])


def test_a_fork_stands_on_its_layer_whatever_happens_to_its_parent_while_it_is_made(hub, faces):
    expected = state(faces.folder)
    with hub.service.session() as session:
        source = finding.find(session, viewer(hub, "ada"), "ada", "faces")

    def unpublish(message):
        if message == "Making the fork":
            publishing.publish(hub.service, source, "private", "", frozenset(), "", quiet)
            recycle_bin.delete(hub.service, source)
            recycle_bin.purge_expired(hub.service)

    made, _ = forking.fork(hub.service, viewer(hub, "bob"), source, "mine", "", unpublish)
    assert state(hub.projects("bob") / "mine") == expected
    recycle_bin.delete(hub.service, made)
    recycle_bin.purge(hub.service, made)
    assert list(hub.places.layers.iterdir()) == []


def test_forks_made_while_their_parent_is_published_again_and_again_are_whole(hub, faces, acting):
    versions = [state(faces.folder)]
    published = threading.Event()

    def publishing():
        with hub.client("ada") as client, acting("ada"):
            for number in range(6):
                (faces.folder / "data/1.csv").write_text(f"version {number}")
                (faces.folder / "new.bin").write_bytes(noise(number))
                versions.append(state(faces.folder))
                publish(client, faces, "hub", "", quiet)
                client.publish("ada", "faces", {"visibility": "private"}, quiet)
                publish(client, faces, "hub", "", quiet)
            published.set()

    def forks():
        made = []
        while not published.is_set():
            try:
                name = f"fork{len(made)}"
                to_fork(hub, "bob", name)()
                made.append(name)
            except HubError as error:
                assert error.status == 404, error
        return made

    with ThreadPoolExecutor(2) as threads:
        writer, reader = threads.submit(publishing), threads.submit(forks)
        writer.result()
        made = reader.result()
    assert len(made) > 2
    for name in made:
        assert state(hub.projects("bob") / name) in versions


def test_a_project_deleted_for_good_while_it_is_forked_leaves_a_whole_fork_or_none(hub, new_project, acting):
    for number in range(4):
        name = f"gone{number}"
        project = new_project("ada", name, FILES | {"own.bin": noise(50 + number)})
        expected = state(project.folder)
        with acting("ada") as client:
            publish(client, project, "hub", "", quiet)

        def deleting(name=name, number=number):
            time.sleep(0.02 * number)
            with hub.client("ada") as client:
                project_id = client.project("ada", name)["id"]
                client.delete("ada", name)
                client.purge(project_id)

        def taking(name=name):
            with hub.client("bob") as client:
                return client.fork("ada", name, f"of-{name}", "", quiet)

        gone, forked = at_once(deleting, taking)
        assert gone is None
        folder = hub.projects("bob") / f"of-{name}"
        if isinstance(forked, HubError):
            assert forked.status in (404, 409), forked
            assert not folder.exists()
        else:
            assert state(folder) == expected
            with acting("bob") as client:
                again = fork(client, "bob", f"of-{name}", f"again-{name}", quiet).working.folder
            assert state(again) == expected
    with hub.client("bob") as client:
        assert all(each["parent"] == "" for each in client.projects("of-gone", owner="bob"))


def test_a_large_file_that_its_last_owner_deletes_when_another_has_just_sent_it_is_not_noted_as_there(hub, new_project):
    first, second = new_project("ada", "first", {"a.bin": noise(1)}), new_project("bob", "second")
    with hub.client("ada") as client:
        list(client.keep_large("ada", "first", "first", ["a.bin"]))
        ((oid, size),) = quotas.brought(hub.service, "ada").items()
        project_id = client.project("ada", first.name)["id"]
        client.delete("ada", "first")
        client.purge(project_id)
    with hub.service.session() as session:
        bobs = finding.find(session, viewer(hub, "bob"), "bob", second.name)
    with pytest.raises(Refused, match="was removed a moment ago. Try again"):
        large_objects.add(hub.service, bobs, [Pointer(oid, size)])
    assert quotas.brought(hub.service, "bob") == {}


def test_a_large_file_sent_while_its_last_owner_deletes_it_is_kept(hub, new_project):
    for number in range(6):
        content = noise(70 + number)
        first = new_project("ada", f"first{number}", {"a.bin": content})
        second = new_project("bob", f"second{number}", {"a.bin": content})

        def keep(owner, working):
            with hub.client(owner) as client:
                return [
                    line["kept"]["pointer"]
                    for line in client.keep_large(owner, working.name, working.name, ["a.bin"])
                    if "kept" in line
                ]

        keep("ada", first)
        with hub.client("ada") as client:
            project_id = client.project("ada", first.name)["id"]
            client.delete("ada", first.name)
            purging = lambda client=client, project_id=project_id: client.purge(project_id)  # noqa: E731
            _, kept = at_once(purging, lambda second=second: keep("bob", second))
        if isinstance(kept, HubError):
            assert "Try again" in str(kept)
            kept = keep("bob", second)
        with hub.client("bob") as client, client.large("bob", second.name, kept[0]["oid"]) as parts:
            assert b"".join(parts) == content


# Programs that go on


def test_a_fork_is_put_back_only_when_no_program_uses_what_it_was(hub, faces, acting):
    with acting("bob") as client:
        mine = fork(client, "ada", "faces", "mine", quiet).working.folder
        with (mine / "log").open("w") as log:
            client.delete("bob", "mine")
            (deleted,) = client.recycle_bin()
            log.write("written after it was deleted")
            log.flush()
            with pytest.raises(HubError, match="mine can't be put back: Programs of a running server still use it"):
                client.undelete(deleted["id"])
            assert client.recycle_bin() == [deleted]
            assert client.projects(owner="bob") == []
            assert not mine.exists()
        client.undelete(deleted["id"])
    assert (mine / "log").read_text() == "written after it was deleted"


def test_what_is_in_the_place_of_a_deleted_project_stays_and_is_said(hub, faces, new_project, acting):
    new_project("bob", "plain", {"a": b"1"})
    with acting("bob") as client:
        fork(client, "ada", "faces", "mine", quiet)
        for name in ("mine", "plain"):
            folder = hub.projects("bob") / name
            client.delete("bob", name)
            (deleted,) = client.recycle_bin()
            folder.mkdir()
            (folder / "precious").write_text("x")
            with pytest.raises(HubError, match=f"{name} can't be put back: There is something"):
                client.undelete(deleted["id"])
            assert (folder / "precious").read_text() == "x"
            assert client.recycle_bin() == [deleted]
            shutil.rmtree(folder)
            assert client.undelete(deleted["id"])["name"] == name
            assert state(folder)


def test_a_project_whose_folder_became_something_else_can_be_deleted_for_good(hub, new_project, tmp_path):
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("x")
    for number, replace in enumerate((lambda path: path.write_text("x"), lambda path: path.symlink_to(precious))):
        folder = new_project("ada", f"odd{number}", {"a": b"1"}).folder
        shutil.rmtree(folder)
        replace(folder)
        with hub.client("ada") as client:
            client.delete("ada", folder.name)
            (deleted,) = client.recycle_bin()
            client.purge(deleted["id"])
        assert not os.path.lexists(folder)
    assert list(hub.places.bin.iterdir()) == []
    assert (precious / "file").exists()
