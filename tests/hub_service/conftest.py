"""The service itself, over real HTTP; only JupyterHub's word on who has which token is the test's."""

import contextlib
import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import uvicorn

from regrow.client.hub import HubClient
from regrow.client.working import register
from regrow.hub_service.app import create_app
from regrow.hub_service.auth import unauthorized
from regrow.hub_service.mounts import unmount
from regrow.hub_service.places import Places
from regrow.hub_service.registry.database import open_database
from regrow.hub_service.scopes import ADMIN, SCOPES
from regrow.hub_service.service import Limits, Service
from regrow.hub_service.viewer import Viewer
from regrow.projects.create import create_empty
from regrow.spawner.volumes import Owner, make_user_volumes, mount_points, user_volumes
from regrow.store import Store

from support.ports import free_port

OWN_SCOPES = frozenset(SCOPES) - {ADMIN}
# As where servers are local processes: git does not work on what belongs to others.
UID = os.geteuid()
# Services in processes of their own, which have imported all there is to import when they are made.
_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["pytest", "uvicorn", "regrow.client.working", "regrow.hub_service.app"])


@dataclass
class SignIn:
    """Who has which token: `NAME` or `NAME:SCOPE,SCOPE`."""

    groups: dict[str, set[str]] = field(default_factory=dict)

    async def viewer(self, token):
        name, _, scopes = token.partition("/")
        if name not in ("ada", "bob", "eve", "root"):
            raise unauthorized("That token is not known to this hub, or has expired.")
        wanted = frozenset(scopes.split(",")) if scopes else OWN_SCOPES
        groups = frozenset(self.groups.get(name, ()))
        return Viewer(name, groups=groups, is_admin=name == "root", scopes=wanted)


@dataclass
class Deployment:
    """One service with its users' folders."""

    folder: Path
    url: str
    database_url: str
    limits: Limits
    sign_in: SignIn = field(default_factory=SignIn)
    service: Service | None = None
    port: int = field(default_factory=free_port)

    @property
    def places(self):
        return Places(self.folder)

    @property
    def url_of_git(self):
        return f"{self.url}git/"

    def client(self, user, scopes=""):
        return HubClient(self.url, f"{user}/{scopes}" if scopes else user)

    def projects(self, user):
        return user_volumes(self.folder, user).projects

    @contextlib.contextmanager
    def running(self):
        """Run the service, in this process."""
        self.places.make()
        store = Store.create(str(self.folder / "store"), self.folder / "store_cache")
        engine = open_database(self.database_url)
        self.service = Service(self.places, engine, store, self.limits, lambda o, n: f"{self.url_of_git}{o}/{n}.git")
        app = create_app(self.service, self.sign_in, "/services/regrow/")
        server = uvicorn.Server(uvicorn.Config(app, port=self.port, log_level="warning", lifespan="on"))
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            while not server.started:
                assert thread.is_alive(), "the service did not start"
                time.sleep(0.01)
            yield self
        finally:
            server.should_exit = True
            thread.join()
            engine.dispose()
            store.close()


class Killable:
    """The service of `deployment` in a process of its own, which the kernel kills: nothing in it has a last word.

    `steps` counts the calls in the service's code since it was last set, and at the step `dies_at` it is killed; or as
    soon as a function named `dies_after` has returned.
    """

    def __init__(self, deployment):
        self.deployment = deployment
        self._steps = _processes.Value("q", 0, lock=False)
        self._dies_at = _processes.Value("q", -1, lock=False)
        self._dies_after = _processes.Array("c", 64)
        self._process = None

    @property
    def steps(self):
        return self._steps.value

    def start(self, dies_at=-1):
        """Start it; it answers from then on, unless it dies at that step before."""
        self.count(dies_at)
        shared = (self._steps, self._dies_at, self._dies_after)
        self._process = _processes.Process(target=_serve, args=(self.deployment, *shared))
        self._process.start()
        while not _answers(self.deployment.port):
            if not self._process.is_alive():
                assert self.steps == dies_at, "the service did not start"
                return
            time.sleep(0.01)

    def count(self, dies_at=-1, dies_after=""):
        """Count the steps from here on, and have it be killed at `dies_at`, or after the function `dies_after`."""
        self._steps.value, self._dies_at.value, self._dies_after.value = 0, dies_at, dies_after.encode()

    def kill(self):
        """Kill it now, as `kill -9`, where it is not dead by itself."""
        if self._process.is_alive():  # else its number may be another's by now
            self._process.kill()
        self._process.join()


def _serve(deployment, steps, dies_at, dies_after):
    places = [str(Path(sys.modules[name].__file__).parent) for name in ("regrow.hub_service.app", "regrow.store")]
    counted = {}

    def step(frame, event, argument):
        file = frame.f_code.co_filename
        if file not in counted:
            counted[file] = str(Path(file).parent).startswith(tuple(places))
        if counted[file]:
            steps.value += 1
            is_last = event == "return" and frame.f_code.co_name.encode() == dies_after.value
            if is_last or steps.value == dies_at.value:
                os.kill(os.getpid(), signal.SIGKILL)

    threading.setprofile(step)
    with deployment.running():
        signal.pause()


def _answers(port):
    with contextlib.suppress(OSError), contextlib.closing(socket.create_connection(("127.0.0.1", port), timeout=1)):
        return True
    return False


@pytest.fixture
def limits():
    return Limits()


@pytest.fixture
def database_url(tmp_path):
    return f"sqlite:///{tmp_path / 'registry.sqlite'}"


@pytest.fixture
def data_dir(tmp_path):
    return tmp_path / "data"


@pytest.fixture
def deployment(data_dir, limits, database_url):
    """A service with the users ada and bob, whose folders are there."""
    port = free_port()
    deployment = Deployment(data_dir, f"http://127.0.0.1:{port}/services/regrow/", database_url, limits, port=port)
    for user in ("ada", "bob"):
        make_user_volumes(user_volumes(data_dir, user), Owner(UID, UID))
    try:
        yield deployment
    finally:
        for point in reversed(mount_points()):
            if data_dir in point.parents:
                unmount(point)


@pytest.fixture
def killable(deployment):
    """The same in a process that can be killed, running."""
    service = Killable(deployment)
    service.start()
    yield service
    service.kill()


@pytest.fixture
def hub(deployment):
    """The same, running."""
    with deployment.running():
        yield deployment


@pytest.fixture
def new_project(hub, monkeypatch):
    """`new_project(user, name, files)` makes a project of the hub with these files."""

    def make(user, name, files=None):
        with as_user(hub, user, monkeypatch) as client:
            folder = hub.projects(user) / name
            create_empty(folder)
            for path, content in (files or {}).items():
                file = folder / path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(content)
            own(folder)
            return register(client, folder)

    return make


@pytest.fixture
def acting(hub, monkeypatch):
    """`with acting(user) as client:` is what runs in that user's server."""
    return lambda user: as_user(hub, user, monkeypatch)


@contextlib.contextmanager
def as_user(hub, user, monkeypatch):
    with monkeypatch.context() as patch, hub.client(user) as client:
        patch.setenv("REGROW_PROJECTS", str(hub.projects(user)))
        yield client


@contextlib.contextmanager
def mounted(kind, target, *options, device="none"):
    """A filesystem of that kind on the folder `target`, until the block ends."""
    target.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", kind, *options, str(device), str(target)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(target)], check=True)


def own(folder):
    """Have a folder belong to the system's user of the servers, as it does there."""
    subprocess.run(["chown", "-R", f"{UID}:{UID}", str(folder)], check=True)


def quiet(message):
    """Takes a progress message."""


def state(folder):
    """Every file of a project but git's own: content, and whether it is executable."""
    return {
        str(file.relative_to(folder)): (
            file.readlink() if file.is_symlink() else file.read_bytes(),
            os.access(file, os.X_OK),
        )
        for file in sorted(folder.rglob("*"))
        if not file.is_dir() and ".git" not in file.relative_to(folder).parts
    }
