"""What the tests of every part share: the engine, the image, and that nothing is skipped in CI."""

import secrets

import docker
import pytest

from regrow.images.base import find_base
from regrow.images.build import VARIANTS, build_image
from regrow.images.engine import connect
from regrow.images.errors import EngineMissing

pytest_plugins = ["plugins.no_skips_in_ci"]

IMAGE = "regrow/notebook:cpu"


@pytest.fixture(scope="session")
def engine():
    """A client of the Docker engine."""
    try:
        connect().close()
    except EngineMissing as error:
        pytest.skip(str(error))
    client = docker.from_env()
    yield client
    client.close()


@pytest.fixture(scope="session")
def notebook_image(engine):
    """The name of the CPU image, built from this checkout; only layers that changed are built again."""
    build_image("cpu")
    return IMAGE


@pytest.fixture(scope="session")
def foreign_image(notebook_image, engine):
    """The name of an image that is not built from ours: what ours is built from."""
    base = find_base(engine.api, None, VARIANTS["cpu"].base, print)
    name = f"regrow-test-foreign:{secrets.token_hex(3)}"
    engine.images.get(base).tag(name)
    yield name
    engine.images.remove(name, noprune=True)
