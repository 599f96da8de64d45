"""The example notebooks, run as they are in the environment that a server gives its terminals."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import nbformat
import pytest

from regrow.server_extension.abi import abi_key
from regrow.server_extension.environment import prepare_folders, server_environment

from examples.run import FOLDER, TOGETHER, Example, command

JUPYTER = str(Path(sys.executable).with_name("jupyter"))
ALL = [example for group in TOGETHER.values() for example in group]


@pytest.fixture
def machine(tmp_path: Path) -> dict[str, str]:
    """The environment of a notebook server that nobody has used yet."""
    home, build = tmp_path / "home", tmp_path / "build"
    (home / "projects").mkdir(parents=True)
    build.mkdir()
    given = {
        **os.environ,
        "HOME": str(home),
        "REGROW_PROJECTS": str(home / "projects"),
        "REGROW_BUILD_ROOTS": str(build),
    }
    messages: list[str] = []
    prepare_folders([build], abi_key(), messages.append)
    assert messages == []
    return server_environment(given, [build], abi_key())


def run(example: Example, environment: Mapping[str, str]) -> nbformat.NotebookNode:
    project = Path(environment["REGROW_PROJECTS"], example.project)
    project.mkdir(exist_ok=True)
    shutil.copy(example.source, project)
    done = subprocess.run(
        command(example, JUPYTER), cwd=project, env=environment, capture_output=True, text=True, timeout=500
    )
    assert done.returncode == 0, done.stderr[-8000:]
    return nbformat.read(project / example.name, as_version=4)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("group", TOGETHER)
def test_examples_say_what_they_promise(group: str, machine: dict[str, str]) -> None:
    for example in TOGETHER[group]:
        example.check(run(example, machine))


def test_every_notebook_is_run() -> None:
    assert {example.source for example in ALL} == set(FOLDER.rglob("*.ipynb"))


@pytest.mark.parametrize("example", ALL, ids=lambda example: example.name)
def test_notebook_in_git_is_clean(example: Example) -> None:
    raw = nbformat.read(example.source, as_version=nbformat.NO_CONVERT)
    nbformat.validate(raw)
    assert (raw.nbformat, raw.nbformat_minor) == (4, 5)
    assert raw.cells[0].cell_type == "markdown" and raw.cells[0].source.startswith("# ")
    # Ids with a meaning: tests and diffs name cells by them.
    assert len({cell.id for cell in raw.cells}) == len(raw.cells)
    for cell in raw.cells:
        if cell.cell_type == "code":
            assert cell.outputs == [] and cell.execution_count is None, cell.id


@pytest.mark.parametrize("example", ALL, ids=lambda example: example.name)
def test_notebook_names_no_place_of_the_machine_that_it_was_written_on(example: Example) -> None:
    source = example.source.read_text()
    for place in (str(FOLDER.parent), str(Path.home()), sys.prefix):
        assert place not in source
