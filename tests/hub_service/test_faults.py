"""What is left when the service is killed at any moment, when the disk is full, and when many do the same at once."""

import contextlib
import os
import shutil
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import create_engine, select
from sqlalchemy.orm import Session

from regrow.client.hub import HubError
from regrow.client.working import Working, fork, of_folder, publish, register, snapshot
from regrow.hub_service import finding, forking, large_objects, publishing, quotas, recycle_bin
from regrow.hub_service.errors import Refused
from regrow.hub_service.registry.tables import LargeObject, Layer, Project, now
from regrow.hub_service.viewer import Viewer
from regrow.projects.create import create_empty
from regrow.projects.errors import ProjectError
from regrow.projects.pointers import Pointer
from regrow.projects.snapshot import take
from regrow.projects.states import make_state, push_state
from regrow.spawner.volumes import mount_points
from regrow.store import Store
from regrow.store.verify import verify

from .conftest import as_user, mounted, own, quiet, state
from .test_forks import MIB, noise

CUTS = 5
FILES = {f"data/{number}.csv": b"%d\n" % number for number in range(20)} | {"model.bin": noise(1)}


@dataclass
class World:
    """ada's published project, bob's fork of it, and who kills the service."""

    killable: Any
    faces: Working
    witness: Working
    seen: dict

    @property
    def deployment(self):
        return self.killable.deployment


@pytest.fixture
def world(killable, monkeypatch):
    hub = killable.deployment
    faces = made(hub, "ada", "faces", FILES, monkeypatch)
    with as_user(hub, "ada", monkeypatch) as client:
        publish(client, faces, "hub", "", quiet)
    with as_user(hub, "bob", monkeypatch) as client:
        witness = fork(client, "ada", "faces", "witness", quiet).working
        (witness.folder / "own.bin").write_bytes(noise(99))
        (witness.folder / "data/1.csv").write_text("changed")
        snapshot(client, witness, quiet)
    return World(killable, faces, witness, state(witness.folder))


def made(hub, user, name, files, monkeypatch):
    folder = hub.projects(user) / name
    create_empty(folder)
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    own(folder)
    with as_user(hub, user, monkeypatch) as client:
        return register(client, folder)


def assert_whole(world):
    """Nothing is on disk that the registry does not know, and the other way round; and nothing of others is lost."""
    hub = world.deployment
    places = hub.places
    engine = create_engine(hub.database_url)
    with Session(engine) as session:
        projects = list(session.scalars(select(Project)))
        layers = {layer.id: layer for layer in session.scalars(select(Layer))}
        large = set(session.scalars(select(LargeObject.oid)))
    engine.dispose()
    assert all(project.is_whole for project in projects)
    there = [project for project in projects if not project.purged_at]
    overlays = [project for project in there if project.tree == "overlay"]
    live = {places.projects_of(each.owner) / each.name for each in overlays if not each.deleted_at}

    def names(folder):
        return {path.name for path in folder.iterdir()}

    assert names(places.repositories) == {f"{project.id}.git" for project in there}
    assert names(places.layers) == layers.keys()
    assert {project.layer_id for project in overlays} <= layers.keys()
    assert {layer.base_id for layer in layers.values()} - {None} <= layers.keys()
    assert names(places.trees) == {project.id for project in overlays}
    assert names(places.bin) <= {project.id for project in there if project.deleted_at}
    assert {point for point in mount_points() if places.data_dir in point.parents} == live
    shared = [path for path in places.large.glob("*/*")]
    assert all(path.stat().st_nlink > 1 and path.suffix != ".new" for path in shared)
    for project in there:
        fsck = ["git", "fsck", "--connectivity-only", "--no-dangling", "--no-progress"]
        done = subprocess.run(fsck, cwd=places.repository(project.id), capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    with Store.open(str(hub.folder / "store"), hub.folder / "verifying") as store:
        assert verify(store).problems == []
        assert {Pointer(oid, 0).name for oid in large} <= set(store.names())
    assert state(world.witness.folder) == world.seen
    assert of_folder(world.witness.folder) == world.witness


class Operation:
    """Something that the service does. `prepare` says what it is done to; `is_done` whether it was."""

    user = "ada"

    def __init__(self, world, monkeypatch):
        self.world = world
        self.hub = world.deployment
        self.monkeypatch = monkeypatch

    def change(self, number):
        """Have something new in ada's project."""
        folder = self.world.faces.folder
        (folder / "data/new.csv").write_text(str(number))
        (folder / "new.bin").write_bytes(noise(1000 + number))
        own(folder / "new.bin")


class Creating(Operation):
    def prepare(self, client, number):
        return f"new{number}"

    def do(self, client, name):
        client.create(name)

    def is_done(self, client, name):
        return name in [each["name"] for each in client.projects(owner="ada")]


class KeepingLargeFiles(Operation):
    def prepare(self, client, number):
        self.change(number)
        return ["new.bin", "model.bin"]

    def do(self, client, paths):
        self.kept = [line for line in client.keep_large("ada", "faces", "faces", paths) if "kept" in line]

    def is_done(self, client, paths):
        self.do(client, paths)
        return len(self.kept) == 2


class Pushing(Operation):
    def prepare(self, client, number):
        self.change(number)
        (self.world.faces.folder / "middling").write_bytes(noise(number, MIB - 100))
        return make_state(
            self.world.faces.folder, take(self.world.faces.folder, self.world.faces.large_files(client)).snapshot
        )

    def do(self, client, pushed):
        url = client.git_url("ada", "faces")
        push_state(self.world.faces.folder, url, pushed, client.git_environment)

    def is_done(self, client, pushed):
        self.do(client, pushed)
        return True


class Noting(Pushing):
    def prepare(self, client, number):
        pushed = super().prepare(client, number)
        super().do(client, pushed)
        return pushed

    def do(self, client, pushed):
        client.add_snapshot("ada", "faces", {"id": pushed.id})

    def is_done(self, client, pushed):
        return pushed.id in [each["id"] for each in client.snapshots("ada", "faces")]


class Publishing(Operation):
    def prepare(self, client, number):
        self.change(number)
        return snapshot(client, self.world.faces, quiet).model["id"]

    def do(self, client, snapshot_id):
        client.publish("ada", "faces", {"visibility": "hub", "snapshot": snapshot_id}, quiet)

    def is_done(self, client, snapshot_id):
        return client.project("ada", "faces")["published"]["id"] == snapshot_id


class Forking(Operation):
    user = "bob"

    def prepare(self, client, number):
        with as_user(self.hub, "ada", self.monkeypatch) as adas:
            self.change(number)
            publish(adas, self.world.faces, "private", "", quiet)
            snapshot(adas, self.world.faces, quiet)
            publish(adas, self.world.faces, "hub", "", quiet)
        return f"fork{number}"

    def do(self, client, name):
        client.fork("ada", "faces", name, "", quiet)

    def is_done(self, client, name):
        if name not in [each["name"] for each in client.projects(owner="bob")]:
            return False
        folder = self.hub.projects("bob") / name
        assert state(folder) == state(self.world.faces.folder)
        snapshot(client, of_folder(folder), quiet)
        return True


class ForkingOnesOwn(Forking):
    """Its layer is made for it."""

    user = "ada"

    def prepare(self, client, number):
        self.change(number)
        snapshot(client, self.world.faces, quiet)
        return f"fork{number}"

    def is_done(self, client, name):
        return name in [each["name"] for each in client.projects(owner="ada")] and state(
            self.hub.projects("ada") / name
        ) == state(self.world.faces.folder)


class Deleting(Operation):
    user = "bob"

    def prepare(self, client, number):
        forked = fork(client, "ada", "faces", f"gone{number}", quiet).working
        (forked.folder / "mine.bin").write_bytes(noise(2000 + number))
        return client.project("bob", forked.name)

    def do(self, client, model):
        client.delete("bob", model["name"])

    def is_done(self, client, model):
        folder = self.hub.projects("bob") / model["name"]
        is_live = model["name"] in [each["name"] for each in client.projects(owner="bob")]
        is_deleted = model["id"] in [each["id"] for each in client.recycle_bin()]
        assert is_live != is_deleted
        assert folder.exists() == is_live
        assert not is_live or (folder / "mine.bin").stat().st_size == len(noise(0))
        return is_deleted


class Undeleting(Deleting):
    def prepare(self, client, number):
        model = super().prepare(client, number)
        super().do(client, model)
        return model

    def do(self, client, model):
        client.undelete(model["id"])

    def is_done(self, client, model):
        return not super().is_done(client, model)


class DeletingWhatIsNoFork(Operation):
    def prepare(self, client, number):
        return made(self.hub, "ada", f"plain{number}", {"a": b"1", "b.bin": noise(number)}, self.monkeypatch)

    def do(self, client, working):
        client.delete("ada", working.name)

    def is_done(self, client, working):
        is_live = working.name in [each["name"] for each in client.projects(owner="ada")]
        assert working.folder.exists() == is_live
        return not is_live


class UndeletingWhatIsNoFork(DeletingWhatIsNoFork):
    def prepare(self, client, number):
        working = super().prepare(client, number)
        model = client.project("ada", working.name)
        client.delete("ada", working.name)
        return working, model["id"]

    def do(self, client, deleted):
        client.undelete(deleted[1])

    def is_done(self, client, deleted):
        return not super().is_done(client, deleted[0])


class Purging(Deleting):
    def prepare(self, client, number):
        model = super().prepare(client, number)
        snapshot(client, of_folder(self.hub.projects("bob") / model["name"]), quiet)
        super().do(client, model)
        return model

    def do(self, client, model):
        client.purge(model["id"])

    def is_done(self, client, model):
        return model["id"] not in [each["id"] for each in client.recycle_bin()]


class Offering(Operation):
    user = "bob"

    def prepare(self, client, number):
        name = f"offer{number}"
        forked = fork(client, "ada", "faces", name, quiet).working
        (forked.folder / "mine.bin").write_bytes(noise(3000 + number))
        snapshot(client, forked, quiet)
        return name

    def do(self, client, name):
        client.offer("bob", name, "", "take it")

    def is_done(self, client, name):
        return bool(client.offers("bob", name))


OPERATIONS = [
    *(Creating, KeepingLargeFiles, Pushing, Noting, Publishing, Forking, ForkingOnesOwn, Deleting, Undeleting),
    *(DeletingWhatIsNoFork, UndeletingWhatIsNoFork, Purging, Offering),
]


def cut_off(operation, number, dies_at=-1, dies_after="", after_s=None):
    """Begin an operation, and kill the service at a step of it or after a time; have it whole again, and done."""
    service = operation.world.killable
    with as_user(service.deployment, operation.user, operation.monkeypatch) as client:
        subject = operation.prepare(client, number)
        service.count(dies_at, dies_after)
        with contextlib.suppress(HubError, ProjectError), killed_after(service, after_s):
            operation.do(client, subject)
        service.kill()
        service.start()
        assert_whole(operation.world)
        if not operation.is_done(client, subject):
            operation.do(client, subject)
            assert operation.is_done(client, subject)


@contextlib.contextmanager
def killed_after(service, seconds):
    if seconds is None:
        yield
        return
    killer = threading.Timer(seconds, service.kill)
    killer.start()
    try:
        yield
    finally:
        killer.join()


def cut_off_anywhere(operation):
    with as_user(operation.hub, operation.user, operation.monkeypatch) as client:
        subject = operation.prepare(client, 0)
        operation.world.killable.count()
        started = time.monotonic()
        operation.do(client, subject)
        took_s = time.monotonic() - started
        steps = operation.world.killable.steps
    for number in range(1, CUTS + 1):
        cut_off(operation, number, dies_at=round(steps * (number - 0.5) / CUTS))
    cut_off(operation, CUTS + 1, after_s=took_s / 2)
    assert_whole(operation.world)


@pytest.mark.parametrize("kind", OPERATIONS, ids=lambda kind: kind.__name__)
def test_killed_at_any_moment_the_service_starts_again_whole_and_does_it_then(world, kind, monkeypatch):
    cut_off_anywhere(kind(world, monkeypatch))


def test_killed_when_a_fork_is_unmounted_and_its_folder_still_there_it_leaves_none(world, monkeypatch):
    cut_off(Deleting(world, monkeypatch), 1, dies_after="unmount")


def test_the_folder_of_a_fork_that_a_deletion_left_is_removed_and_its_owners_newer_one_is_not(world, monkeypatch):
    operation = Deleting(world, monkeypatch)
    service, projects = world.killable, world.deployment.projects("bob")
    with as_user(world.deployment, "bob", monkeypatch) as client:
        left, newer, used = (operation.prepare(client, number) for number in (1, 2, 3))
        service.kill()
        for name in (left["name"], used["name"]):
            subprocess.run(["umount", str(projects / name)], check=True)
        (projects / used["name"] / "notes").write_text("mine")
        # As after a power cut: the registry's disk knows of the deletion, and that of the folder does not.
        engine = create_engine(world.deployment.database_url)
        with Session(engine) as session, session.begin():
            for model in (left, used):
                session.get_one(Project, model["id"]).deleted_at = now()
        engine.dispose()
        service.start()
        client.delete("bob", newer["name"])
        (projects / newer["name"]).mkdir()
        service.kill()
        service.start()
        assert not (projects / left["name"]).exists()
        assert (projects / newer["name"]).is_dir()
        assert (projects / used["name"] / "notes").read_text() == "mine"
        assert_whole(world)
        assert client.undelete(left["id"])["name"] == left["name"]
        assert (projects / left["name"] / "mine.bin").exists()


def test_what_was_put_into_a_forks_folder_when_it_was_unmounted_stays_and_the_fork_is_deleted(world, monkeypatch):
    operation = Deleting(world, monkeypatch)
    folder = world.deployment.projects("bob") / "gone1"
    with as_user(world.deployment, "bob", monkeypatch) as client:
        operation.prepare(client, 1)
        subprocess.run(["umount", str(folder)], check=True)
        (folder / "notes").write_text("mine")
        client.delete("bob", "gone1")
        assert (folder / "notes").read_text() == "mine"
        assert [each["name"] for each in client.recycle_bin()] == ["gone1"]


def test_killed_while_it_takes_back_what_was_cut_off_it_does_so_the_next_time(world, monkeypatch):
    service = world.killable
    with as_user(service.deployment, "bob", monkeypatch) as client:
        service.kill()
        subprocess.run(["umount", str(world.witness.folder)], check=True)
        service.start()
        steps = service.steps
        service.count(dies_at=5_000)
        with contextlib.suppress(HubError):
            client.fork("ada", "faces", "half", "", quiet)
        service.kill()
        subprocess.run(["umount", str(world.witness.folder)], check=True)
        for cut in range(1, CUTS + 1):
            service.start(dies_at=round(steps * cut / (CUTS + 1)))
            service.kill()
        service.start()
        assert_whole(world)
        if not (service.deployment.projects("bob") / "half").exists():
            client.fork("ada", "faces", "half", "", quiet)
        assert state(service.deployment.projects("bob") / "half") == state(world.faces.folder)


class TestWhereForksAreCopies:
    @pytest.fixture
    def data_dir(self, tmp_path):
        """A folder of a filesystem that has neither reflinks nor can be below an overlay: one is an overlay itself."""
        folders = {name: tmp_path / name for name in ("data", "lower", "upper", "work")}
        for folder in folders.values():
            folder.mkdir()
        options = f"lowerdir={folders['lower']},upperdir={folders['upper']},workdir={folders['work']}"
        with mounted("overlay", folders["data"], "-o", options):
            yield folders["data"]

    @pytest.mark.parametrize("kind", [Forking, Undeleting], ids=lambda kind: kind.__name__)
    def test_killed_at_any_moment_the_service_starts_again_whole(self, world, kind, monkeypatch):
        with as_user(world.deployment, "bob", monkeypatch) as client:
            assert client.project("bob", "witness")["tree"] == "copy"
        cut_off_anywhere(kind(world, monkeypatch))

    def test_what_its_owner_put_there_meanwhile_is_not_taken(self, hub, faces):
        assert_meanwhile_is_kept(hub)


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


# A full disk


class TestOnASmallDisk:
    @pytest.fixture
    def data_dir(self, tmp_path):
        image = tmp_path / "disk"
        with image.open("wb") as file:
            file.truncate(96 * MIB)
        subprocess.run(["mkfs.ext4", "-q", "-m", "0", str(image)], check=True)
        with mounted("ext4", tmp_path / "data", "-o", "loop", device=image):
            yield tmp_path / "data"

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
