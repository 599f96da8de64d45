from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regrow.server_extension.packages import (
    LIST_FILE,
    ListError,
    NotCarriedOver,
    PackagesApp,
    install,
    read,
    write,
)
from regrow.spawner import packages as hubs_side

WANTED = NotCarriedOver("the image has changed", apt=("tree", "gone"), pip=("polars",))


class Commands:
    """Runs nothing; fails where a command names a package that is `gone`."""

    def __init__(self) -> None:
        self.ran: list[list[str]] = []

    def __call__(self, command: Sequence[str]) -> int:
        self.ran.append(list(command))
        return 100 if "gone" in command else 0


def list_file(folder: Path, text: str) -> Path:
    path = folder / "not_carried_over.json"
    path.write_text(text)
    return path


def run_app(*argv: str) -> int:
    app = PackagesApp()
    try:
        app.initialize(list(argv))
        app.start()
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def test_what_can_be_installed_is_and_the_rest_stays() -> None:
    commands = Commands()
    remaining = install(WANTED, commands)
    assert remaining == NotCarriedOver("the image has changed", apt=("gone",))
    tails = [command[command.index("apt-get") + 1 :] for command in commands.ran if "apt-get" in command]
    assert tails == [
        ["update"],
        ["install", "-y", "tree", "gone"],
        ["install", "-y", "tree"],
        ["install", "-y", "gone"],
    ]
    assert commands.ran[-1][-1] == "polars"


@pytest.mark.parametrize("name", ["--reinstall", "a b", "a;reboot", "", "a/../b", "x=1", "-y", "é", "a\nb", "tree\n"])
def test_an_odd_name_is_never_given_to_a_command(name: str) -> None:
    commands = Commands()
    wanted = NotCarriedOver(apt=(name,), pip=(name,))
    assert install(wanted, commands) == wanted
    assert commands.ran == []


def test_the_file_loses_what_was_installed(tmp_path: Path) -> None:
    path = list_file(tmp_path, json.dumps({"reason": "r", "apt": ["tree"], "pip": []}))
    write(path, NotCarriedOver("r", pip=("polars",)))
    assert read(path) == NotCarriedOver("r", pip=("polars",))
    write(path, NotCarriedOver("r"))
    assert not path.exists()
    assert read(path) == NotCarriedOver()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"apt": "tree", "pip": []}', "null", '{"apt": 1, "pip": []}'])
def test_a_damaged_file(tmp_path: Path, text: str) -> None:
    with pytest.raises(ListError, match=r"can't be read .* Nothing was changed"):
        read(list_file(tmp_path, text))


names = st.lists(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._+-]*", fullmatch=True), unique=True).map(sorted).map(tuple)


@given(names, names, st.text())
def test_the_hubs_side_and_this_one_read_what_the_other_wrote(
    apt: tuple[str, ...], pip: tuple[str, ...], reason: str
) -> None:
    added = hubs_side.AddedPackages(apt, pip)
    with tempfile.TemporaryDirectory() as folder:
        path = list_file(Path(folder), hubs_side.write_list(added, reason))
        here = read(path)
        assert here == NotCarriedOver(reason, apt, pip)
        write(path, here)
        assert not added or hubs_side.read_list(path.read_text()) == added
    assert hubs_side.LIST_FILE == LIST_FILE


@given(st.lists(st.text(), unique=True), st.lists(st.text(), unique=True))
def test_a_name_that_is_installed_here_is_one_that_the_hubs_side_takes(apt: list[str], pip: list[str]) -> None:
    remaining = install(NotCarriedOver(apt=tuple(apt), pip=tuple(pip)), lambda command: 0)
    kept = hubs_side.read_list(json.dumps({"apt": apt, "pip": pip}))
    assert set(apt) - set(remaining.apt) <= set(kept.apt)
    assert set(pip) - set(remaining.pip) <= set(kept.pip)


def test_the_list(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = list_file(tmp_path, json.dumps({"reason": "new image", "apt": ["tree"], "pip": ["x\x1b[31m"]}))
    assert run_app(f"--list-file={path}") == 0
    said = capsys.readouterr().out
    assert "made anew (new image). Not carried over:\n  apt: tree\n  pip: 'x\\x1b[31m'\n" in said
    assert "regrow packages install" in said


def test_nothing_to_say(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_app(f"--list-file={tmp_path}/none") == 0
    assert "Nothing is waiting" in capsys.readouterr().out


def test_bad_usage_is_status_2_and_a_damaged_file_status_1(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_app("remove") == 2
    assert "'remove' is not understood" in capsys.readouterr().err
    assert run_app(f"--list-file={list_file(tmp_path, '[]')}") == 1
    assert "can't be read" in capsys.readouterr().err


def test_installing_names_what_could_not_be(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = list_file(tmp_path, json.dumps({"reason": "", "apt": ["a;b"], "pip": []}))
    assert run_app("install", f"--list-file={path}") == 1
    said = capsys.readouterr().err
    assert "could not be installed and stay on the list:\n  apt: a;b\n" in said
    assert path.exists()


def test_status_of_an_empty_install(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_app("install", f"--list-file={tmp_path}/none") == 0
    assert list(tmp_path.iterdir()) == []
