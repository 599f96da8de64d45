"""Projects in folders of their own, with a store and a clock that the test moves."""

import subprocess

import pytest

from regrow.projects.large_files import InStore
from regrow.store import Store


@pytest.fixture
def store(tmp_path):
    with Store.create(str(tmp_path / "store"), tmp_path / "cache") as store:
        yield store


@pytest.fixture
def files(store):
    """Where large files go."""
    return InStore(store)


@pytest.fixture
def git():
    """`git(folder, ...)` is a user's git: what it prints."""

    def run(folder, *arguments):
        command = ["git", "-c", "user.name=Ada", "-c", "user.email=ada@example.org", *arguments]
        return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, errors="replace").stdout

    return run


@pytest.fixture
def project(tmp_path, git):
    folder = tmp_path / "project"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch=main")
    return folder
