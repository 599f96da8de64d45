"""The service of projects itself, over real HTTP, and its users; only JupyterHub's word on who has which token is ours."""

import contextlib
import os
import random
import subprocess
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import uvicorn

from regrow.client.hub import HubClient
from regrow.hub_service.app import create_app
from regrow.hub_service.auth import unauthorized
from regrow.hub_service.places import Places
from regrow.hub_service.registry.database import open_database
from regrow.hub_service.scopes import ADMIN, SCOPES
from regrow.hub_service.service import Limits, Service
from regrow.hub_service.viewer import Viewer
from regrow.spawner.volumes import user_volumes
from regrow.store import Store

from support.ports import free_port

OWN_SCOPES = frozenset(SCOPES) - {ADMIN}
# As where servers are local processes: git does not work on what belongs to others.
UID = os.geteuid()
MIB = 1024 * 1024


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


@contextlib.contextmanager
def disk(folder, kind, size, *options):
    """A folder below `folder` that is a filesystem of that kind on a new disk of so many bytes, until the block ends."""
    image = folder / "disk"
    with image.open("wb") as file:
        file.truncate(size)
    subprocess.run([f"mkfs.{kind}", "-q", *options, str(image)], check=True)
    with mounted(kind, folder / "data", "-o", "loop", device=image):
        yield folder / "data"


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


def noise(seed, size=2 * MIB):
    """Bytes that nothing compresses: by default a large file."""
    return random.Random(seed).randbytes(size)
