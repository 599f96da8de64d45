"""`/regrow/api/state`: what is saved of a notebook's kernel, and who may know."""

from __future__ import annotations

import json
import os
from pathlib import Path

import httpx

from regrow.server_extension.state_files import notebook_path, read_status
from regrow.state.places import status_file

from support.notebook_server import TOKEN

STATUS = {
    "state": "saved",
    "saved_at": 1764131000.5,
    "bytes": 8_000_000,
    "new_bytes": 800,
    "seconds": 0.2,
    "not_saved": [{"name": "generator", "reason": "a generator has no state that can be kept", "cell": 3}],
    "restored": None,
    "message": "",
}
URL = "/regrow/api/state"


def write(folder: Path, notebook: Path, **changes: object) -> dict[str, object]:
    file = status_file(folder, notebook)
    file.parent.mkdir(parents=True, exist_ok=True)
    status = {**STATUS, **changes}
    file.write_text(json.dumps(status))
    return status


def test_what_the_kernel_says_is_served(server, tmp_path):
    with server(REGROW_STATE_DIR=str(tmp_path / "state")) as running:
        name = "Übung & co.ipynb"
        status = write(tmp_path / "state", running.root / "work" / name)
        answer = running.request("GET", URL, params={"path": f"work/{name}"})
        assert answer.json() == status
        assert answer.headers["content-type"] == "application/json"
        unknown = running.request("GET", URL, expect=404, params={"path": "work/other.ipynb"}).json()
        assert unknown["message"] == "Nothing is known of 'work/other.ipynb': its kernel has not saved yet."


OUTSIDE = ["../a.ipynb", "work/../../a.ipynb", "/etc/../../a.ipynb", "", "work", "a.txt", "../root2/a.ipynb"]


def test_nothing_is_told_of_what_is_outside_the_servers_folder(server, tmp_path):
    with server(REGROW_STATE_DIR=str(tmp_path / "state")) as running:
        for outside in (tmp_path / "a.ipynb", tmp_path / "root2/a.ipynb", Path("/a.ipynb")):
            write(tmp_path / "state", outside)
        for path in OUTSIDE:
            for method, url in (("GET", URL), ("POST", URL), ("GET", f"{URL}/events")):
                answer = running.request(method, url, expect=404, params={"path": path}).json()
                assert answer["message"].startswith("There is no notebook")


AUTHORIZER = """
from jupyter_server.auth.authorizer import Authorizer
class ReadOnly(Authorizer):
    def is_authorized(self, handler, user, action, resource):
        return resource != "regrow_state" or action == "read"
"""


def test_who_has_no_token_is_told_nothing_and_who_may_only_read_saves_nothing(server, asked, tmp_path):
    (tmp_path / "authorizer.py").write_text(AUTHORIZER)
    environment = {"REGROW_STATE_DIR": str(tmp_path / "state"), "PYTHONPATH": str(tmp_path)}
    with server("--ServerApp.authorizer_class=authorizer.ReadOnly", **environment) as running:
        write(tmp_path / "state", running.root / "a.ipynb")
        running.open("a.ipynb", "stand-in")
        query = {"path": "a.ipynb"}
        for token in ("", "wrong"):
            running.request("GET", URL, expect=403, token=token, params=query)
            running.request("GET", f"{URL}/events", expect=403, token=token, params=query)
            running.request("POST", URL, expect=403, token=token, params=query)
        running.request("GET", URL, params=query)
        running.request("POST", URL, expect=403, params=query)
        assert asked.reasons() == []


def test_a_kernel_saves_when_it_is_asked_through_the_api(server, asked):
    with server() as running:
        running.open("work/a.ipynb", "stand-in")
        answer = running.request("POST", URL, params={"path": "work/a.ipynb"}).json()
        assert answer == {"saved": True, "message": "3 variables."}
        assert asked.reasons() == ["request"]


def test_why_a_kernel_does_not_save_is_said(server, asked):
    with server() as running:
        running.open("b.ipynb", "bare")
        running.open("c.ipynb", "other-language")
        for path, status, why in [
            ("a.ipynb", 404, "No kernel of 'a.ipynb' runs. Open the notebook first."),
            (
                "b.ipynb",
                504,
                "The kernel of 'b.ipynb' did not save. It has no notebook, or no extension of Regrow's, or an old one.",
            ),
            ("c.ipynb", 409, "The kernel of 'c.ipynb' is not Python's, and only Python's variables are saved."),
        ]:
            assert running.request("POST", URL, expect=status, params={"path": path}).json()["message"] == why


def test_every_change_is_an_event(server, tmp_path):
    with server(REGROW_STATE_DIR=str(tmp_path / "state")) as running:
        first = write(tmp_path / "state", running.root / "a.ipynb", state="saving")
        headers = {"Authorization": f"token {TOKEN}"}
        with httpx.stream(
            "GET",
            f"{running.url}{URL}/events",
            params={"path": "a.ipynb"},
            headers=headers,
            timeout=60,
            trust_env=False,
        ) as answer:
            assert answer.headers["content-type"] == "text/event-stream"
            lines = answer.iter_lines()
            assert json.loads(next(lines).removeprefix("data: ")) == first
            second = write(tmp_path / "state", running.root / "a.ipynb", state="saved")
            assert json.loads(next(line for line in lines if line).removeprefix("data: ")) == second
        # Whoever listens does not hold a stop.
        with httpx.stream(
            "GET",
            f"{running.url}{URL}/events",
            params={"path": "a.ipynb"},
            headers=headers,
            timeout=60,
            trust_env=False,
        ) as answer:
            next(answer.iter_lines())
            running.process.terminate()
            assert running.process.wait(30) == 0


def test_looking_at_the_status_is_not_using_the_server(server, tmp_path):
    with server(REGROW_STATE_DIR=str(tmp_path / "state")) as running:
        write(tmp_path / "state", running.root / "a.ipynb")

        def last_activity() -> str:
            return str(running.request("GET", "/api/status", params={"no_track_activity": "1"}).json()["last_activity"])

        before = last_activity()
        running.request("GET", URL, params={"path": "a.ipynb"})
        assert last_activity() == before


def test_half_a_status_is_none(tmp_path):
    for text in ("", '{"state": "sav', "[1]"):
        (tmp_path / "status").write_text(text)
        assert read_status(tmp_path / "status") is None


def test_paths_keep_their_links(tmp_path):
    (tmp_path / "projects").symlink_to("/elsewhere")
    assert notebook_path(str(tmp_path), "projects/a.ipynb") == tmp_path / "projects/a.ipynb"
    assert notebook_path(str(tmp_path), "a\0.ipynb") is None
    assert notebook_path("/", "a.ipynb") == Path("/a.ipynb")
    assert notebook_path(str(tmp_path), os.fsdecode(b"\xff.ipynb")) == tmp_path / os.fsdecode(b"\xff.ipynb")
