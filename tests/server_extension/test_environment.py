from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ptyprocess import PtyProcessUnicode

from regrow.kernel_magics import build_record
from regrow.server_extension.environment import (
    MULTIARCH,
    PYTHON,
    SEARCH_PATHS,
    build_roots,
    prepare_folders,
    server_environment,
    team,
)
from regrow.spawner.volumes import safe_name

ABI = "debian12-x86_64-glibc2.36-gcc12"
USER, TEAM = Path("/build/user"), Path("/build/groups/vision")

names = st.text("abc.-_ é", min_size=1, max_size=5).filter(lambda name: name not in (".", ".."))
roots_lists = st.lists(st.builds(lambda name: Path("/build") / name, names), max_size=4, unique=True)
path_values = st.lists(st.one_of(names.map("/".__add__), st.just("")), max_size=5).map(":".join)
environs = st.dictionaries(st.sampled_from([*SEARCH_PATHS, "HOME", "PROMPT_COMMAND"]), path_values)


def test_what_it_looks_like() -> None:
    environ = server_environment({"PATH": "/usr/bin", "HOME": "/home/jovyan"}, [USER, TEAM], ABI)
    mine, ours = f"/build/user/{ABI}/local", f"/build/groups/vision/{ABI}/local"
    assert environ["BUILD"] == f"/build/user/{ABI}"
    assert environ["REGROW_BUILD_PREFIXES"] == f"{mine}:{ours}"
    assert environ["PATH"] == environ["REGROW_PATH"] == f"{mine}/bin:{ours}/bin:/usr/bin"
    assert environ["CMAKE_PREFIX_PATH"] == f"{mine}:{ours}"
    assert environ["CPATH"] == f"{mine}/include:{ours}/include"
    libraries = [f"{prefix}/{lib}" for prefix in (mine, ours) for lib in ("lib", "lib64", f"lib/{MULTIARCH}")]
    assert environ["LD_LIBRARY_PATH"] == environ["LIBRARY_PATH"] == ":".join(libraries)
    assert environ["PYTHONPATH"] == f"{mine}/lib/{PYTHON}/site-packages:{ours}/lib/{PYTHON}/site-packages"
    assert f"{ours}/share/pkgconfig" in environ["PKG_CONFIG_PATH"].split(":")
    assert environ["HOME"] == "/home/jovyan"


def test_a_server_without_build_volumes_keeps_its_environment() -> None:
    assert server_environment({"PATH": "/usr/bin"}, [], ABI) == {"PATH": "/usr/bin"}


@given(environs, roots_lists)
def test_twice_is_once(environ: dict[str, str], roots: list[Path]) -> None:
    once = server_environment(environ, roots, ABI)
    assert server_environment(once, roots, ABI) == once


@given(environs, roots_lists)
def test_what_was_there_stays_last_and_in_its_order(environ: dict[str, str], roots: list[Path]) -> None:
    result = server_environment(environ, roots, ABI)
    for variable in SEARCH_PATHS:
        before = environ.get(variable, "")
        if before:
            assert result[variable] == before or result[variable].endswith(":" + before)


@given(roots_lists)
def test_the_users_own_prefix_comes_first(roots: list[Path]) -> None:
    result = server_environment({}, roots, ABI)
    order = {f"{root}/{ABI}/local": number for number, root in enumerate(roots)}
    for variable in SEARCH_PATHS:
        entries = result.get(variable, "").split(":") if roots else []
        found = [order[entry.split("/local")[0] + "/local"] for entry in entries]
        assert found == sorted(found)


@given(environs)
def test_an_empty_variable_does_not_become_the_current_directory(environ: dict[str, str]) -> None:
    for variable in SEARCH_PATHS:
        if not environ.get(variable):
            assert "" not in server_environment(environ, [USER], ABI)[variable].split(":")


@pytest.mark.parametrize(
    ("root", "name"),
    [
        ("/build/groups/vision", "vision"),
        ("/build/groups/build", "build"),
        ("/srv/regrow/groups/vision/build", "vision"),
        ("/srv/regrow/groups/groups/build", "groups"),
        ("/build/groups/team-2dx", "team-x"),
        ("/srv/regrow/groups/team-2dx/build", "team-x"),
        ("/build/groups/team-2d1b2f", "team-1b2f"),
        ("/build/groups/-56ision-20team", "Vision team"),
        ("/build/groups/-c3-a9t-c3-a9", "été"),
    ],
)
def test_team(root: str, name: str) -> None:
    assert team(Path(root)) == name


@pytest.mark.parametrize(
    "folder",
    [
        "a-2fb",
        "-2e-2e",
        "-2ehidden",
        "a-00",
        "a-0ab",
        "-1b-5b31m",
        "-ff-fe",
        "-e2-80-ae",
        "a-zz",
        "a-2",
        "Team",
    ],
)
def test_a_group_whose_name_is_no_plain_file_name_keeps_that_of_its_folder(folder: str) -> None:
    assert team(Path("/build/groups") / folder) == folder


@given(st.text(st.sampled_from("abf019-./ E\x1bé"), min_size=1))
def test_the_folder_that_the_hub_makes_for_a_group_gives_its_name_back(group: str) -> None:
    plain = group.isprintable() and "/" not in group and not group.startswith(".")
    assert team(Path("/build/groups") / safe_name(group)) == (group if plain else safe_name(group))


def test_build_roots() -> None:
    assert build_roots({"REGROW_BUILD_ROOTS": "/a:/b:"}) == [Path("/a"), Path("/b")]
    assert build_roots({}) == []


def test_folders_and_links(tmp_path: Path) -> None:
    user, old, new = tmp_path / "user", tmp_path / "groups/old", tmp_path / "groups/new-2dest"
    said: list[str] = []
    prepare_folders([user, old], ABI, said.append)
    assert (user / ABI / "groups/old").resolve() == old / ABI
    prepare_folders([user, new], ABI, said.append)
    assert [link.name for link in (user / ABI / "groups").iterdir()] == ["new-est"]
    assert (new / ABI / "local").is_dir()
    assert (old / ABI / "local").is_dir()
    assert said == []


def test_a_users_own_folder_in_groups_is_kept(tmp_path: Path) -> None:
    mine = tmp_path / "user" / ABI / "groups/mine"
    mine.mkdir(parents=True)
    prepare_folders([tmp_path / "user"], ABI, print)
    assert mine.is_dir()


def test_a_root_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "user").write_text("a file where a folder should be")
    said: list[str] = []
    prepare_folders([tmp_path / "user"], ABI, said.append)
    assert f"{tmp_path}/user/{ABI}/local could not be made" in said[0]
    assert "The server starts without it" in said[0]


def test_a_terminal_notes_what_was_installed_and_nothing_else(tmp_path: Path) -> None:
    notes = tmp_path / "notes"
    stand_in = tmp_path / "a python"
    stand_in.write_text(
        f'#!/bin/sh\necho "$PWD $*" >> "{notes}"\nmkdir -p "$BUILD/.regrow"\ntouch "$BUILD/.regrow/noted"\n'
    )
    stand_in.chmod(0o755)
    project = tmp_path / "project"
    project.mkdir()
    roots = [tmp_path / "my build", tmp_path / "groups/read only"]
    prepare_folders(roots[:1], ABI, print)
    environ = server_environment(os.environ, roots, ABI, python=str(stand_in))
    prefix = Path(environ["BUILD"]) / "local"

    def after_a_command() -> list[str]:
        done = subprocess.run(
            ["bash", "-c", 'false; eval "$PROMPT_COMMAND"; echo "$IFS${prefix-}" | od -c'],
            env=environ,
            cwd=project,
            capture_output=True,
            text=True,
        )
        assert done.stderr == ""
        assert r"\t  \n  \n" in " ".join(done.stdout.split(" ")).replace("   ", "  "), "the shell's IFS is as it was"
        return notes.read_text().splitlines() if notes.exists() else []

    note = f"{project} -I -m regrow.kernel_magics.builds note"
    assert after_a_command() == [note], "never noted before"
    assert after_a_command() == [note], "nothing new"
    past = prefix.stat().st_mtime - 10
    os.utime(Path(environ["BUILD"]) / ".regrow/noted", (past, past))
    (prefix / "share").mkdir()
    assert after_a_command() == [note, note]


def test_what_a_terminal_below_a_project_installs_is_recorded_for_that_project(tmp_path: Path) -> None:
    home, projects = tmp_path / "home", tmp_path / "projects"
    (projects / "faces/src").mkdir(parents=True)
    home.mkdir()
    roots = [tmp_path / "build"]
    prepare_folders(roots, ABI, print)
    kept = {name: value for name, value in os.environ.items() if name != "PROMPT_COMMAND"}
    given = {**kept, "HOME": str(home), "REGROW_PROJECTS": str(projects), "TERM": "dumb"}
    prefix = roots[0] / ABI / "local"
    environ = server_environment(given, roots, ABI)
    # As JupyterLab starts a terminal: bash on a pseudo-terminal of its own.
    terminal = PtyProcessUnicode.spawn(["bash", "--norc"], cwd=str(projects), env={**environ, "PS1": "ready> "})
    try:
        shown = read_until(terminal, "ready> ")
        for command in (
            "cd faces/src",
            "mkdir $BUILD/local/share",
            "echo x > $BUILD/local/include/tool.h",
            "false",
            "echo $?",
        ):
            terminal.write(f"{command}\n")
            shown += read_until(terminal, "ready> ")
        assert "\r\n1\r\n" in shown, "the status of the command before is as it was"
        assert "regrow" not in shown.replace(str(tmp_path), "")
    finally:
        terminal.close(force=True)
    assert [(package.name, package.projects) for package in build_record.packages(prefix)] == [("tool", ("faces",))]


def read_until(terminal: PtyProcessUnicode, text: str) -> str:
    shown = ""
    while not shown.endswith(text):
        shown += terminal.read()
    return shown
