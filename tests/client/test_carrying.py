"""Variables that go with a published project: which, where they are read, and what is left when it fails."""

import fcntl
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


@pytest.mark.parametrize("with_state", [True, False])
def test_what_a_killed_publication_left_goes_with_the_next_one_and_nothing_else(faces, states, command, with_state):
    save(states, faces.folder / "n.ipynb", x=1)
    place = faces.folder / ".regrow/state"
    left, recent, going, hidden = (
        place / name for name in (".publishing-0123", ".publishing-4567", ".publishing-89ab", ".mine")
    )
    for folder in (left, recent, going, hidden):
        folder.mkdir(parents=True)
        (folder / "0.state").write_bytes(b"1")
    with (going / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for folder in (left, going, hidden):
            os.utime(folder, (0, 0))
        code = command("ada", "project publish --state", "faces").text.partition("--with-state ")[2][:8]
        command("ada", f"project publish --with-state {code}" if with_state else "project publish", "faces")
    assert set(place.iterdir()) == {recent, going, hidden}


@pytest.mark.parametrize("place", [".regrow", ".regrow/state"])
@pytest.mark.parametrize("with_state", [True, False])
def test_a_link_in_a_project_never_leads_a_publication_out_of_it(faces, states, command, tmp_path, place, with_state):
    """Somebody else's project, cloned: its link leads to one's own files."""
    save(states, faces.folder / "n.ipynb", x=1)
    home = tmp_path / "home"
    for name in (".ssh", ".publishing-0123", "state/.ssh", "state/.publishing-0123"):
        (home / name).mkdir(parents=True)
        (home / name / "key").write_text("mine")
        os.utime(home / name, (0, 0))
    before = {path: path.lstat().st_mtime_ns for path in home.rglob("*")}
    link = faces.folder / place
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(home)
    code = command("ada", "project publish --state", "faces").text.partition("--with-state ")[2][:8]
    if with_state:
        with pytest.raises(ProjectError, match=r"\.regrow/state in .* is a link or a file.*move it away first"):
            command("ada", f"project publish --with-state {code}", "faces")
        with pytest.raises(ProjectError, match="move it away first"):
            command("ada", "fork ada/faces as again --with-state", "faces")
        assert "private" in command("ada", "project list").text
    else:
        command("ada", "project publish", "faces")
    assert {path: path.lstat().st_mtime_ns for path in home.rglob("*")} == before
