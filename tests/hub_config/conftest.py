"""One tiny hub for all the tests of this folder; each test makes its own users."""

from collections.abc import AsyncIterator, Iterator

import pytest
from tiny_hub import TinyHub, tiny_hub

from regrow.hub_config.hub_api import HubAPI


@pytest.fixture(scope="session")
def a_hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TinyHub]:
    """A running hub, shared."""
    with tiny_hub(tmp_path_factory.mktemp("tiny") / "hub") as hub:
        yield hub


@pytest.fixture
async def hub(a_hub: TinyHub) -> AsyncIterator[HubAPI]:
    """A connection to it, with the scopes of `regrow-cli`."""
    async with HubAPI(a_hub.url, a_hub.token) as api:
        yield api
