"""Fixtures: the service of projects with its users. A folder's conftest imports those that its tests take."""

import shutil

import pytest

from regrow.client.working import register
from regrow.hub_service.mounts import unmount
from regrow.hub_service.service import Limits
from regrow.projects.create import create_empty
from regrow.spawner.volumes import Owner, make_user_volumes, mount_points, user_volumes

from support.killable import Killable
from support.ports import free_port
from support.postgresql import PostgreSQL
from support.service import MIB, UID, Deployment, as_user, disk, mounted, own


@pytest.fixture(scope="session")
def postgresql():
    """A PostgreSQL server."""
    with PostgreSQL.start() as server:
        yield server


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
def without_reflinks(tmp_path):
    """A folder of a filesystem that has neither reflinks nor can be below an overlay: one is an overlay itself."""
    folders = {name: tmp_path / name for name in ("data", "lower", "upper", "work")}
    for folder in folders.values():
        folder.mkdir()
    options = f"lowerdir={folders['lower']},upperdir={folders['upper']},workdir={folders['work']}"
    with mounted("overlay", folders["data"], "-o", options):
        yield folders["data"]


@pytest.fixture
def with_reflinks(tmp_path):
    """A folder of a filesystem that has reflinks: XFS."""
    if not shutil.which("mkfs.xfs"):
        pytest.skip("XFS is not installed (apt-get install xfsprogs)")
    with disk(tmp_path, "xfs", 512 * MIB) as folder:
        yield folder


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
