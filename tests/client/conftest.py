"""Commands of several users, on a real service."""

import shlex

import pytest

from regrow.client.caller import Caller
from regrow.client.commands import run

from support.service import quiet
from support.service_fixtures import (  # noqa: F401 (fixtures)
    acting,
    data_dir,
    database_url,
    deployment,
    hub,
    limits,
    new_project,
)


@pytest.fixture
def environment_of(hub):  # noqa: F811
    """`environment_of(user)`: the variables of that user's server."""
    return lambda user: {
        "REGROW_SERVICE_URL": hub.url,
        "REGROW_API_TOKEN": user,
        "REGROW_PROJECTS": str(hub.projects(user)),
        "JUPYTERHUB_ROOT_DIR": str(hub.projects(user).parent),
        "JUPYTERHUB_SERVICE_PREFIX": f"/user/{user}/",
    }


@pytest.fixture
def command(hub, environment_of, monkeypatch):  # noqa: F811
    """`command(user, line, project)`: what a command says to the user who types it in their folder of that project."""

    def go(user, line, project=""):
        name, *words = shlex.split(line)
        with monkeypatch.context() as patch:
            for variable, value in environment_of(user).items():
                patch.setenv(variable, value)
            patch.chdir(hub.projects(user) / project)
            return run(name, words, Caller("%", quiet))

    return go
