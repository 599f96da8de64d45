"""Images that are not ours, and a client of the engine."""

from __future__ import annotations

import io
import uuid
from collections.abc import Callable, Iterator

import docker
import pytest

from regrow.images.base import find_base
from regrow.images.build import VARIANTS
from regrow.images.engine import connect
from regrow.images.errors import EngineMissing

Build = Callable[[str], str]


@pytest.fixture(scope="session")
def client() -> Iterator[docker.APIClient]:
    try:
        client = connect()
    except EngineMissing as error:
        pytest.skip(str(error))
    yield client
    client.close()


@pytest.fixture
def build(client: docker.APIClient) -> Iterator[Build]:
    """Builds an image from the text of a Dockerfile and returns its name; the image is removed afterwards."""
    names = []

    def build(dockerfile: str) -> str:
        name = f"regrow-test-{uuid.uuid4().hex[:12]}"
        for message in client.build(fileobj=io.BytesIO(dockerfile.encode()), tag=name, rm=True, decode=True):
            assert "error" not in message, message
        names.append(name)
        return name

    yield build
    for name in names:
        client.remove_image(name, force=True)


@pytest.fixture
def foreign_image(client: docker.APIClient, build: Build) -> str:
    """A plain Debian or Ubuntu."""
    return build(f"FROM {find_base(client, None, VARIANTS['cpu'].base, print)}\n")


@pytest.fixture
def scratch_image(build: Build) -> str:
    """An image with nothing in it."""
    return build("FROM scratch\nLABEL nothing=at-all\n")
