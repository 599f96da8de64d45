"""What is left when the service is killed at any moment, on every kind of disk and both databases."""

import contextlib
import hashlib
import subprocess
import threading
import time
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from sqlalchemy import create_engine, select
from sqlalchemy.orm import Session

from regrow.client.hub import HubError
from regrow.client.working import Working, fork, of_folder, publish, register, snapshot
from regrow.hub_service.registry.tables import LargeObject, Layer, Project, now
from regrow.projects.create import create_empty
from regrow.projects.errors import ProjectError
from regrow.projects.pointers import Pointer
from regrow.projects.snapshot import take
from regrow.projects.states import make_state, push_state
from regrow.spawner.volumes import mount_points
from regrow.store import Store
from regrow.store.verify import verify

from support.service import MIB, as_user, noise, own, quiet, state

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
    #: At how many of its steps it is cut off.
    cuts = CUTS

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
    cuts = 2

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


class Unpublishing(Operation):
    cuts = 2

    def prepare(self, client, number):
        publish(client, self.world.faces, "hub", "", quiet)

    def do(self, client, _):
        client.publish("ada", "faces", {"visibility": "private"}, quiet)

    def is_done(self, client, _):
        return client.project("ada", "faces")["visibility"] == "private"


class UploadingByLfs(Operation):
    def prepare(self, client, number):
        content = noise(4000 + number)
        return hashlib.sha256(content).hexdigest(), content

    def do(self, client, file):
        oid, content = file
        url = f"{client.git_url('ada', 'faces')}/info/lfs/objects/{oid}/{len(content)}"
        try:
            httpx.put(url, content=content, auth=("any", "ada"), trust_env=False, timeout=60).raise_for_status()
        except httpx.TransportError as error:
            raise HubError(str(error)) from error

    def is_done(self, client, file):
        oid, content = file
        try:
            with client.large("ada", "faces", oid) as parts:
                assert b"".join(parts) == content
        except HubError as error:
            assert error.status == 404, error
            return False
        return True


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


class Accepting(Operation):
    cuts = 2
    decision = "accepted"

    def prepare(self, client, number):
        with as_user(self.hub, "bob", self.monkeypatch) as bobs:
            forked = fork(bobs, "ada", "faces", f"{self.decision}{number}", quiet).working
            snapshot(bobs, forked, quiet)
            return forked.name, bobs.offer("bob", forked.name, "", "take it")["id"]

    def do(self, client, offer):
        client.decide(offer[1], self.decision)

    def is_done(self, client, offer):
        name, offer_id = offer
        seen_at = ("ada", "faces") if self.user == "ada" else ("bob", name)
        (decided,) = (each["state"] for each in client.offers(*seen_at) if each["id"] == offer_id)
        return decided == self.decision


class Declining(Accepting):
    decision = "declined"


class Withdrawing(Accepting):
    user = "bob"
    decision = "withdrawn"


class NotingWhatWasMerged(Operation):
    user = "bob"
    cuts = 2

    def prepare(self, client, number):
        return f"{number:040x}"

    def do(self, client, commit):
        client.set_base("bob", "witness", commit)

    def is_done(self, client, commit):
        return client.project("bob", "witness")["base_commit"] == commit


OPERATIONS = [
    *(Creating, KeepingLargeFiles, UploadingByLfs, Pushing, Noting, Publishing, Unpublishing, Forking, ForkingOnesOwn),
    *(Deleting, Undeleting, DeletingWhatIsNoFork, UndeletingWhatIsNoFork, Purging, Offering, Accepting, Declining),
    *(Withdrawing, NotingWhatWasMerged),
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


def cut_off_anywhere(operation, most_cuts=CUTS):
    cuts = min(operation.cuts, most_cuts)
    with as_user(operation.hub, operation.user, operation.monkeypatch) as client:
        subject = operation.prepare(client, 0)
        operation.world.killable.count()
        started = time.monotonic()
        operation.do(client, subject)
        took_s = time.monotonic() - started
        steps = operation.world.killable.steps
    for number in range(1, cuts + 1):
        cut_off(operation, number, dies_at=round(steps * (number - 0.5) / cuts))
    cut_off(operation, cuts + 1, after_s=took_s / 2)
    assert_whole(operation.world)


@pytest.mark.parametrize("kind", OPERATIONS, ids=lambda kind: kind.__name__)
def test_killed_at_any_moment_the_service_starts_again_whole_and_does_it_then(world, kind, monkeypatch):
    cut_off_anywhere(kind(world, monkeypatch))


class TestOnPostgreSQL:
    """Those that change the registry in more than one way, at fewer moments: the rest of them is not the database's."""

    @pytest.fixture
    def database_url(self, postgresql):
        with postgresql.database() as url:
            yield url

    @pytest.mark.parametrize(
        "kind",
        [Creating, Noting, Publishing, Forking, Deleting, Undeleting, Purging, Offering],
        ids=lambda k: k.__name__,
    )
    def test_killed_at_any_moment_the_service_starts_again_whole_and_does_it_then(self, world, kind, monkeypatch):
        cut_off_anywhere(kind(world, monkeypatch), most_cuts=2)


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
    def data_dir(self, without_reflinks):
        return without_reflinks

    @pytest.mark.parametrize("kind", [Forking, Undeleting], ids=lambda kind: kind.__name__)
    def test_killed_at_any_moment_the_service_starts_again_whole(self, world, kind, monkeypatch):
        with as_user(world.deployment, "bob", monkeypatch) as client:
            assert client.project("bob", "witness")["tree"] == "copy"
        cut_off_anywhere(kind(world, monkeypatch))


class TestWhereForksAreReflinks:
    @pytest.fixture
    def data_dir(self, with_reflinks):
        return with_reflinks

    @pytest.mark.parametrize("kind", [Forking, Undeleting], ids=lambda kind: kind.__name__)
    def test_killed_at_any_moment_the_service_starts_again_whole(self, world, kind, monkeypatch):
        with as_user(world.deployment, "bob", monkeypatch) as client:
            assert client.project("bob", "witness")["tree"] == "reflink"
        cut_off_anywhere(kind(world, monkeypatch))
