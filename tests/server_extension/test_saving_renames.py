"""A kernel's variables follow its notebook to another name or folder."""

from __future__ import annotations

import asyncio
import os
import signal
import time

from regrow.state.checkpoints import Checkpoints
from regrow.state.manifest import Manifest

from support.notebook_server import until


def rename(running, old, new):
    running.request("PATCH", f"/api/contents/{old}", json={"path": new})


def moved_to(asked):
    return [event["path"] for event in asked.events("moved")]


def test_a_kernel_is_told_its_notebooks_new_name(server, asked):
    with server() as running:
        running.new_notebook("a.ipynb")
        session = running.open("a.ipynb", "stand-in")
        asked.wait("started")
        rename(running, "a.ipynb", "b.ipynb")
        asked.wait("moved")
        assert moved_to(asked) == [str(running.root / "b.ipynb")]
        assert running.request("GET", f"/api/sessions/{session['id']}").json()["path"] == "b.ipynb"

        # JupyterLab says so of its session as well, the path and then the name.
        for change in ({"path": "b.ipynb"}, {"name": "b.ipynb"}):
            running.request("PATCH", f"/api/sessions/{session['id']}", json=change)
        asked.wait("moved", 3)
        assert set(moved_to(asked)) == {str(running.root / "b.ipynb")}

        os.kill(asked.events("started")[0]["pid"], signal.SIGKILL)
        assert asked.wait("started", 2)[1]["notebook"] == str(running.root / "b.ipynb")


def test_kernels_are_told_when_a_folder_above_them_is_renamed(server, asked):
    with server() as running:
        for path in ("work/deep/a.ipynb", "work/b.ipynb", "workshop/c.ipynb"):
            running.new_notebook(path)
            running.open(path, "stand-in")
        asked.wait("started", 3)
        rename(running, "work", "play")
        asked.wait("moved", 2)
        rename(running, "play/deep", "deep")
        asked.wait("moved", 3)
        assert sorted(moved_to(asked)[:2]) == [
            str(running.root / "play" / path) for path in ("b.ipynb", "deep/a.ipynb")
        ]
        assert moved_to(asked)[2:] == [str(running.root / "deep/a.ipynb")]


def test_a_kernel_follows_a_notebook_that_is_saved_under_another_name(server, asked):
    """As JupyterLab does it: a new file, and then the session has its path, and then its name."""
    with server() as running:
        running.new_notebook("a.ipynb")
        session = running.open("a.ipynb", "stand-in")
        asked.wait("started")
        running.new_notebook("other/b.ipynb")
        running.request("PATCH", f"/api/sessions/{session['id']}", json={"path": "other/b.ipynb"})
        running.request("PATCH", f"/api/sessions/{session['id']}", json={"name": "b.ipynb"})
        asked.wait("moved", 2)
        assert set(moved_to(asked)) == {str(running.root / "other/b.ipynb")}


def test_kernels_of_other_languages_are_not_told_and_renaming_other_files_asks_nobody(server, asked):
    with server() as running:
        for path, kernel in (("a.ipynb", "other-language"), ("b.ipynb", "bare"), ("c.ipynb", "stand-in")):
            running.new_notebook(path)
            running.open(path, kernel)
        (running.root / "data.csv").write_text("1")
        rename(running, "a.ipynb", "a2.ipynb")
        rename(running, "b.ipynb", "b2.ipynb")
        rename(running, "data.csv", "data2.csv")
        until(lambda: "does not know that its notebook was moved" in running.said, "the bare one was asked")
        # They can still be used.
        for session in running.request("GET", "/api/sessions").json():
            assert asyncio.run(running.run(session["kernel"]["id"], "6 * 7")).value == "42"
        assert {session["path"] for session in running.request("GET", "/api/sessions").json()} == {
            "a2.ipynb",
            "b2.ipynb",
            "c.ipynb",
        }
        assert moved_to(asked) == []


def test_a_session_without_a_name_has_its_notebooks_whole_path_too(server, asked):
    with server() as running:
        running.new_notebook("work/a.ipynb")
        body = {"path": "work/a.ipynb", "type": "notebook", "kernel": {"name": "stand-in"}}
        running.request("POST", "/api/sessions", expect=201, json=body)
        assert asked.wait("started")[0]["notebook"] == str(running.root / "work/a.ipynb")


def test_a_notebook_of_a_deleted_ones_name_does_not_have_its_variables(server, asked, tmp_path):
    with server() as running:
        running.new_notebook("work/a.ipynb")
        notebook = running.root / "work/a.ipynb"
        with Checkpoints(tmp_path / "home/.local/share/regrow/state") as checkpoints:
            with checkpoints.store.writer() as writer:
                checkpoints.keep(writer, Manifest(str(notebook), time.time(), "test", "3.11"), notebook)
            assert checkpoints.entries(notebook)
            running.request("DELETE", "/api/contents/work/a.ipynb", expect=204)
            until(lambda: not checkpoints.entries(notebook), "it is forgotten")


def test_contents_work_as_ever(server, asked):
    """A listener that fails would keep notebooks from being made."""
    with server() as running:
        made = running.request("POST", "/api/contents", expect=201, json={"type": "notebook"}).json()
        copied = running.request("POST", "/api/contents", expect=201, json={"copy_from": made["path"]}).json()
        rename(running, made["path"], "named.ipynb")
        running.request("DELETE", f"/api/contents/{copied['path']}", expect=204)
        assert [entry["name"] for entry in running.request("GET", "/api/contents").json()["content"]] == ["named.ipynb"]
        assert "Event listener" not in running.said
