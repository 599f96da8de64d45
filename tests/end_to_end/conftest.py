"""Real hubs with real servers, one of each kind for the whole run; each test makes its own users."""

import secrets
from contextlib import asynccontextmanager

import pytest

from regrow.images.build import build_image

from support.hub import running_hub

GIB = 1024**3
POLL_INTERVAL_S = 2


@pytest.fixture(scope="session")
def slim_image(engine, notebook_image):
    """The CPU image without torch, for other engines: torch is most of what would have to be copied."""
    name = f"regrow-test-slim:{secrets.token_hex(3)}"
    build_image("cpu", torch=False, tag=name)
    yield name
    engine.images.remove(name, force=True)


@pytest.fixture(scope="session")
def docker_hub(notebook_image, foreign_image, tmp_path_factory):
    """A hub whose servers are containers."""
    name = f"regrow-test-{secrets.token_hex(3)}"
    config = {
        "Regrow": {"name": name, "spawner": "docker", "profiles": profiles(notebook_image, foreign_image)},
        "Spawner": {"poll_interval": POLL_INTERVAL_S},
    }
    with running_hub(tmp_path_factory.mktemp("docker"), config) as hub:
        yield hub


@pytest.fixture(scope="session")
def local_hub(tmp_path_factory):
    """A hub whose servers are local processes."""
    config = {"Regrow": {"spawner": "local"}, "Spawner": {"poll_interval": POLL_INTERVAL_S}}
    with running_hub(tmp_path_factory.mktemp("local"), config) as hub:
        yield hub


@pytest.fixture(params=[pytest.param("docker_hub", marks=pytest.mark.docker), "local_hub"], ids=["containers", "local"])
def hub(request):
    """The hub of each kind in turn, for what must hold in both."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def new_user():
    """`async with new_user(api) as name:` makes a user and, in the end, removes what is left of them."""

    @asynccontextmanager
    async def make(api, prefix="user"):
        name = f"{prefix}-{secrets.token_hex(3)}"
        await api.create_user(name)
        try:
            yield name
        finally:
            await api.delete_user(name)

    return make


def profiles(image, foreign_image):
    """The profiles that the tests choose from."""
    return [
        {"slug": "small", "name": "Small", "description": "For a first look.", "image": image, "memory_bytes": 2 * GIB},
        {"slug": "large", "name": "Large", "description": "For training.", "image": image, "memory_bytes": 4 * GIB},
        {"slug": "gpu", "name": "GPU", "description": "One GPU.", "image": image, "gpus": 1},
        {"slug": "foreign", "name": "Foreign", "description": "Not built from ours.", "image": foreign_image},
        {"slug": "absent", "name": "Absent", "description": "Never built.", "image": "regrow/none:such"},
    ]
