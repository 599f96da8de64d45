"""`%project` and `%fork` in real kernels, on a real service."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from support.real_kernel import Kernel, MakeKernel
from support.service_fixtures import acting, data_dir, database_url, deployment, hub, limits, new_project  # noqa: F401

# What a snapshot keeps as a large file.
LARGE = b"\1" * (2 * 1024 * 1024)


@pytest.fixture
def kernel_of(hub: Any, make_kernel: MakeKernel) -> Any:  # noqa: F811
    """`kernel_of(user, project)`: a kernel of that user's server, in the folder of a project."""

    def make(user: str, project: str = "") -> Kernel:
        projects: Path = hub.projects(user)
        return make_kernel(
            cwd=projects / project,
            REGROW_SERVICE_URL=hub.url,
            REGROW_API_TOKEN=user,
            REGROW_PROJECTS=str(projects),
            JUPYTERHUB_ROOT_DIR=str(projects.parent),
            JUPYTERHUB_SERVICE_PREFIX=f"/user/{user}/",
        )

    return make


def test_a_project_goes_from_one_notebook_to_another(kernel_of: Any, new_project: Any, hub: Any) -> None:  # noqa: F811
    new_project("ada", "faces", {"train.py": b"print(1)\n", "model.bin": LARGE})
    adas, bobs = kernel_of("ada", "faces"), kernel_of("bob")
    published = adas.ok("%project publish")
    assert "Everybody on this hub sees it" in published.result
    assert "<code>%fork ada/faces</code>" in published.displays[-1]["text/html"]
    forked = bobs.ok("%fork ada/faces as mine")
    assert 'href="/user/bob/lab/tree/projects/mine"' in forked.displays[-1]["text/html"]
    assert any("<progress>" in each["text/html"] for each in forked.displays[:-1])
    assert "<progress>" not in forked.displays[-1]["text/html"]
    bobs.ok("%cd -q mine\nopen('train.py', 'w').write('print(2)\\n');")
    offer = bobs.ok('%fork --offer "It is better"').result.split("--withdraw ")[1][:8]
    review = adas.ok(f"%fork --review {offer}").displays[-1]["text/html"]
    assert "It is better" in review and "<ins>+print(2)</ins>" in review
    adas.ok(f"%fork --accept {offer}")
    assert adas.ok("print(open('train.py').read())").stdout == "print(2)\n\n"
    assert "<svg" in adas.ok("%project history").displays[-1]["text/html"]


def test_what_is_refused_is_one_message_that_fails_the_cell(kernel_of: Any) -> None:
    kernel = kernel_of("ada")
    for line, name, words in (
        ("%project snapshot", "CommandError", "is in no project"),
        ("%fork ada/none", "CommandError", "There is no project ada/none"),
        ("%project paint", "OptionError", "There is no %project 'paint'"),
        ('%project snapshot "', "OptionError", "Close the quotes"),
    ):
        outcome = kernel.run(line)
        assert (outcome.status, outcome.ename) == ("error", name)
        assert words in outcome.traceback and "Traceback" not in outcome.traceback
        assert len(outcome.traceback.splitlines()) == 1


def test_a_command_that_fails_leaves_no_progress_behind(kernel_of: Any, new_project: Any) -> None:  # noqa: F811
    new_project("ada", "faces", {"a": b"1"})
    kernel = kernel_of("ada", "faces")
    outcome = kernel.run("%project publish --team nobodys")
    assert "You are in no group 'nobodys'" in outcome.evalue
    assert "<progress>" in outcome.displays[0]["text/html"] and outcome.displays[-1]["text/html"] == ""


def test_the_folder_of_a_notebook_may_be_gone(kernel_of: Any, new_project: Any) -> None:  # noqa: F811
    new_project("ada", "faces", {"a": b"1"})
    kernel = kernel_of("ada", "faces")
    kernel.ok("import os, shutil\nshutil.rmtree(os.getcwd())")
    assert "is gone" in kernel.run("%project snapshot").evalue
    assert "faces" in kernel.ok("%project list").result


def test_the_tab_key_knows_projects(kernel_of: Any, new_project: Any) -> None:  # noqa: F811
    new_project("ada", "faces", {"a": b"1"})
    kernel = kernel_of("ada")
    for text, expected in (("%project pub", "publish"), ("%project open fa", "faces"), ("%fork ad", "ada/faces")):
        matches = kernel.complete(text)
        assert matches == [expected], (text, matches)
