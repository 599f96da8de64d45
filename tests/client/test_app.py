"""`regrow project` and `regrow fork` in a terminal."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from regrow.client.completion import candidates

REGROW = str(Path(sys.prefix) / "bin/regrow")


@pytest.fixture
def regrow(hub, environment_of):
    """`regrow(user, *words, project=...)`: the command, run to its end in that user's folder of a project."""

    def run(user, *words, project="", **variables):
        environment = {**os.environ, **environment_of(user), **variables}
        folder = hub.projects(user) / project
        return subprocess.run([REGROW, *words], cwd=folder, env=environment, capture_output=True, text=True, timeout=60)

    return run


def test_a_terminal_has_the_same_commands_spelled_its_own_way(regrow, new_project):
    new_project("ada", "faces", {"a": b"1"})
    taken = regrow("ada", "project", "snapshot", "two words", project="faces")
    assert (taken.returncode, taken.stderr) == (0, "")
    assert "'two words' of ada/faces is taken, and the hub has it." in taken.stdout
    published = regrow("ada", "project", "publish", project="faces")
    assert published.returncode == 0 and "Everybody on this hub sees it" in published.stdout
    forked = regrow("bob", "fork", "ada/faces", "as", "mine")
    assert "bob/mine is a fork of ada/faces" in forked.stdout and "Its files: `cd /" in forked.stdout
    deleted = regrow("bob", "project", "delete", "mine")
    assert "`regrow project undelete mine` takes it out again" in deleted.stdout


def test_a_refusal_is_status_1_and_bad_usage_status_2(regrow):
    refused = regrow("ada", "project", "snapshot")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert refused.stderr.startswith("regrow project: ") and "`regrow project create NAME`" in refused.stderr
    wrong = regrow("ada", "project", "list", "--colour")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "regrow project list has no option --colour. See regrow project list --help" in wrong.stderr
    gone = regrow("ada", "fork", "ada/none")
    assert gone.returncode == 1 and "There is no project ada/none" in gone.stderr


def test_without_a_hub_it_says_how_to_name_one(regrow):
    alone = regrow("ada", "project", "list", REGROW_SERVICE_URL="")
    assert alone.returncode == 2 and "set REGROW_SERVICE_URL" in alone.stderr
    away = regrow("ada", "project", "list", REGROW_SERVICE_URL="http://127.0.0.1:9/")
    assert away.returncode == 1 and "can't be reached" in away.stderr


def test_help_is_in_the_terminals_words(regrow):
    overview = regrow("ada", "project")
    assert overview.returncode == 0 and overview.stdout.startswith("regrow project COMMAND\n")
    shown = regrow("ada", "project", "restore", "--help").stdout
    assert shown.startswith("regrow project restore SNAPSHOT [options]")
    assert "-- PATHS..." in shown and 'regrow project restore "before the rewrite" -- train.py data' in shown
    assert regrow("ada", "fork", "--help").stdout.startswith("regrow fork OWNER/NAME [as NAME] [options]")


def test_errors_of_strangers_making_reach_no_terminal_as_they_are(regrow):
    refused = regrow("ada", "project", "undelete", "\x1b[2Jx")
    assert refused.returncode == 1
    assert "\x1b" not in refused.stderr and "\\x1b[2Jx" in refused.stderr


def test_what_is_being_done_is_on_one_line_that_is_gone_when_it_is_done(hub, environment_of, new_project):
    folder = new_project("ada", "faces", {"a": b"1"}).folder
    ours, theirs = pty.openpty()
    try:
        done = subprocess.run(
            [REGROW, "project", "snapshot"],
            cwd=folder,
            env={**os.environ, **environment_of("ada")},
            stdout=subprocess.PIPE,
            stderr=theirs,
        )
        shown = os.read(ours, 65536).decode()
    finally:
        os.close(ours)
        os.close(theirs)
    assert done.returncode == 0
    assert shown.startswith("\r\x1b[KTaking a snapshot\r\x1b[KSending it to the hub")
    assert shown.endswith("\r\x1b[K") and "\n" not in shown


# Tab


@pytest.fixture
def tab(hub, environment_of, monkeypatch):
    """`tab(user, line, project)`: what the Tab key offers at the end of the line."""

    def press(user, line, project="", **variables):
        with monkeypatch.context() as patch:
            for name, value in {**environment_of(user), **variables}.items():
                patch.setenv(name, value)
            patch.chdir(hub.projects(user) / project)
            return candidates(line)

    return press


def test_the_tab_key_knows_commands_options_and_names(hub, tab, command, new_project):
    hub.sign_in.groups = {"ada": {"vision"}}
    new_project("ada", "faces", {"a": b"1"})
    command("ada", "project publish", "faces")
    command("ada", "project snapshot 'two words'", "faces")
    command("bob", "fork ada/faces as mine")
    offer = command("bob", "fork --offer x", "mine").text.split("--withdraw ")[1][:8]
    for user, line, project, expected in (
        ("ada", "%project ", "", {"list", "undelete", "--help"}),
        ("ada", "%project li", "", {"list"}),
        ("ada", "%project create x --te", "", {"--template", "--git"}),
        ("ada", "%project create x --template ", "", {"blank", "training"}),
        ("ada", "%project publish --team ", "", {"vision"}),
        ("ada", "%project open ", "", {"faces"}),
        ("ada", "%project restore ", "faces", {"'two words'", "--"}),
        ("bob", "%fork ", "", {"ada/faces", "bob/mine", "--sync"}),
        ("bob", "%fork ada/fa", "", {"ada/faces"}),
        ("ada", "%fork --accept ", "faces", {offer}),
    ):
        assert expected <= set(tab(user, line, project)), line
    assert "bob/mine" not in tab("ada", "%fork ")
    assert "mine" not in tab("ada", "%project open ")


def test_the_tab_key_says_nothing_where_the_hub_is_away(tab):
    assert tab("ada", "%project open ", REGROW_SERVICE_URL="http://127.0.0.1:9/") == ["--help"]
    assert tab("ada", "%project restore ") == ["--", "--help"]
    assert tab("ada", "%project nonsense ") == []
