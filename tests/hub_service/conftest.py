"""The service itself, over real HTTP; only JupyterHub's word on who has which token is the test's."""

import contextlib
import os
import subprocess
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
from regrow.hub_service.projects import Limits, Service
from regrow.hub_service.registry.database import open_database
from regrow.hub_service.scopes import ADMIN, SCOPES
from regrow.hub_service.viewer import Viewer
from regrow.projects.create import create_empty
from regrow.spawner.volumes import Owner, make_user_volumes, mount_points, user_volumes
from regrow.store import Store

from support.ports import free_port

OWN_SCOPES = frozenset(SCOPES) - {ADMIN}
# As where servers are local processes: git does not work on what belongs to others.
UID = os.geteuid()


@dataclass
class SignIn:
    """Who has which token: `NAME` or `NAME:SCOPE,SCOPE`."""

    groups: dict[str, set[str]] = field(default_factory=dict)

    async def viewer(self, token):
        name, _, scopes = token.partition("/")
        if name not in ("ada", "bob", "eve", "root"):
            raise unauthorized("That token is not known to this hub, or has expired.")
        wanted = frozenset(scopes.split(",")) if scopes else OWN_SCOPES
        return Viewer(name, frozenset(self.groups.get(name, ())), name == "root", wanted)


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


@pytest.fixture
def limits():
    return Limits()


@pytest.fixture
def database_url(tmp_path):
    return f"sqlite:///{tmp_path / 'registry.sqlite'}"


@pytest.fixture
def deployment(tmp_path, limits, database_url):
    """A service with the users ada and bob, whose folders are there."""
    port = free_port()
    data_dir = tmp_path / "data"
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
