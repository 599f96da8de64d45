"""Variables that go with a published project: which, where they are read, and what is left when it fails."""

import os
import time

import pytest

from regrow.client.carrying import Carried, carried, code_of
from regrow.client.hub import HubError
from regrow.hub_service.service import Limits
from regrow.projects.errors import ProjectError
from regrow.state import saving
from regrow.state.checkpoints import Checkpoints
from regrow.state.manifest import Group, Manifest

MIB = 1024 * 1024
NOTEBOOK = b'{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}'


@pytest.fixture
def faces(new_project):
    return new_project("ada", "faces", {"n.ipynb": NOTEBOOK, "sub/m.ipynb": NOTEBOOK})


@pytest.fixture
def states(tmp_path, monkeypatch):
    """Where the user who acts has their checkpoints."""
    monkeypatch.setenv("REGROW_STATE_DIR", str(tmp_path / "states"))
    return tmp_path / "states"


def save(states, notebook, **variables):
    """A checkpoint of a notebook, as its kernel makes it."""
    request = saving.Request(
        notebook=notebook,
        namespace=variables,
        names=set(variables),
        pending=set(),
        before=None,
        reason="test",
        at=time.time(),
        execution_count=1,
        cells=[],
        made_by={},
        excluded=[],
        process={},
        generators={},
    )
    with Checkpoints(states) as checkpoints:
        saving.save(request, checkpoints, lambda names: None)


def test_all_notebooks_of_the_project_are_listed_or_those_that_are_named(faces, states, monkeypatch):
    save(states, faces.folder / "n.ipynb", x=1)
    save(states, faces.folder / "sub/m.ipynb", y=2)
    save(states, faces.folder.parent / "elsewhere.ipynb", z=3)
    assert [each.notebook for each in carried(faces)] == ["n.ipynb", "sub/m.ipynb"]
    monkeypatch.chdir(faces.folder / "sub")
    assert [each.notebook for each in carried(faces, ["m.ipynb"])] == ["sub/m.ipynb"]
    with pytest.raises(ProjectError, match=r"\.\./\.\./elsewhere\.ipynb is no notebook of the project"):
        carried(faces, ["../../elsewhere.ipynb"])


def test_a_notebook_without_saved_variables_that_is_named_is_refused(faces, states, monkeypatch):
    monkeypatch.chdir(faces.folder)
    assert carried(faces) == []
    with pytest.raises(ProjectError, match=r"Nothing of n\.ipynb is saved"):
        carried(faces, ["n.ipynb"])


def test_a_kernel_may_know_the_projects_folder_by_a_link(faces, states, tmp_path, monkeypatch):
    link = tmp_path / "link"
    link.symlink_to(faces.folder.parent)
    monkeypatch.setenv("REGROW_PROJECTS", str(link))
    save(states, link / "faces/n.ipynb", x=1)
    (found,) = carried(faces)
    assert found.manifest.names == ["x"]


def test_the_code_is_of_what_the_owner_saw():
    def code(size=8, name="x", notebook="n.ipynb"):
        group = Group([name], types={name: "int"}, size=size, digest=os.urandom(4).hex())
        return code_of([Carried(notebook, Manifest("", time.time(), "", "3.11", groups=[group]))])

    assert code() == code()
    assert len({code(), code(size=9), code(name="y"), code(notebook="m.ipynb")}) == 4


class TestWithoutRoom:
    """A hub whose quota is full."""

    @pytest.fixture
    def limits(self):
        return Limits(bytes_per_user=MIB)

    def test_nothing_is_published_and_nothing_is_left_in_the_folder(self, faces, states, command):
        save(states, faces.folder / "n.ipynb", x=os.urandom(4 * MIB))
        said = command("ada", "project publish --state", "faces").text
        code = said.partition("--with-state ")[2][:8]
        with pytest.raises(HubError, match="does not fit into what this hub lets you keep"):
            command("ada", f"project publish --with-state {code}", "faces")
        assert not (faces.folder / ".regrow").exists()
        assert "private" in command("ada", "project list").text


def test_what_a_killed_publication_left_goes_with_a_later_one(faces, states, command):
    save(states, faces.folder / "n.ipynb", x=1)
    left, recent = (faces.folder / ".regrow/state" / name for name in (".0123", ".4567"))
    for folder in (left, recent):
        folder.mkdir(parents=True)
    os.utime(left, (0, 0))
    code = command("ada", "project publish --state", "faces").text.partition("--with-state ")[2][:8]
    command("ada", f"project publish --with-state {code}", "faces")
    assert [path.name for path in (faces.folder / ".regrow/state").iterdir()] == [".4567"]
