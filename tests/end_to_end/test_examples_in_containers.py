"""The example notebooks as a user runs them: in their own container, one project after the other."""

import nbformat
import pytest

from examples.run import TOGETHER, command
from support.hub import bash

pytestmark = [pytest.mark.docker, pytest.mark.timeout(600)]


@pytest.mark.parametrize("together", TOGETHER)
async def test_an_example_runs_in_a_container_and_is_found_again_the_next_day(docker_hub, new_user, together):
    async with docker_hub.api() as api, new_user(api) as user:
        for example in TOGETHER[together]:
            await api.start_server(user, {"profile": "large"})
            folder = f"~/projects/{example.project}"
            await bash(api, user, f"mkdir -p {folder}")
            path = f"api/contents/projects/{example.project}/{example.name}"
            notebook = nbformat.read(example.source, as_version=4)
            await api.server_request(user, "PUT", path, {"type": "notebook", "content": notebook})
            said = await bash(api, user, f"cd {folder} && {' '.join(command(example))}", timeout_s=300)
            model = await api.server_request(user, "GET", path)
            try:
                example.check(nbformat.from_dict(model["content"]))
            except AssertionError as error:
                raise AssertionError(f"{said}\n{error}") from error
            # Tomorrow is another start of the same machine.
            await api.stop_server(user)
