"""Variables that go from one user's notebook to another's with a fork, on a real service."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from regrow.client.carrying import Waiting
from regrow.kernel_magics import forked
from regrow.projects.git import git
from regrow.state.bundle import write
from regrow.state.checkpoints import Checkpoints
from regrow.state.errors import StateError
from regrow.state.manifest import Manifest
from regrow.state.names import Variables

from support.real_kernel import Kernel, MakeKernel, Outcome
from support.service import own
from support.service_fixtures import acting, data_dir, database_url, deployment, hub, limits, new_project  # noqa: F401
from support.sessions import kill

NOTEBOOK = {
    "cells": [
        {"cell_type": "code", "source": ["import numpy as np\n", "weights = np.arange(400_000.0)"]},
        {"cell_type": "code", "source": "secret_key = 1"},
    ],
    "metadata": {},
    "nbformat": 4,
    "nbformat_minor": 5,
}
MAKE = "import numpy as np\nweights = np.arange(400_000.0)"


@pytest.fixture
def kernel_of(hub: Any, make_kernel: MakeKernel, tmp_path: Path) -> Any:  # noqa: F811
    """`kernel_of(user, project)`: a kernel of the notebook n.ipynb in that user's project."""

    def make(user: str, project: str, **env: str) -> Kernel:
        projects: Path = hub.projects(user)
        return make_kernel(
            cwd=projects / project,
            REGROW_SERVICE_URL=hub.url,
            REGROW_API_TOKEN=user,
            REGROW_PROJECTS=str(projects),
            REGROW_STATE_DIR=str(tmp_path / "state" / user),
            JPY_SESSION_NAME=str(projects / project / "n.ipynb"),
            **env,
        )

    return make


@pytest.fixture
def faces(new_project: Any) -> Any:  # noqa: F811
    """ada's project, with a notebook."""
    return new_project("ada", "faces", {"n.ipynb": json.dumps(NOTEBOOK).encode(), ".gitignore": b".*\n"})


def shown(outcome: Outcome) -> str:
    return outcome.result + outcome.stderr


def publish(kernel: Kernel) -> Outcome:
    """Publish with variables, after looking at them."""
    code = re.search(r"%project publish --with-state ([0-9a-f]{8})", kernel.ok("%project publish --state").result)
    assert code
    return kernel.ok(f"%project publish --with-state {code[1]}")


def test_what_can_not_be_loaded_is_not_held_open(tmp_path: Path) -> None:
    file = tmp_path / "n.ipynb.state"
    with Checkpoints(tmp_path / "state") as checkpoints, file.open("wb") as output:
        digest = write(output, Manifest("", 0, "publish", "3.11"), checkpoints)

    class Ending:
        """A session whose own variables can't be loaded any more."""

        variables = Variables(SimpleNamespace(user_ns={}, user_ns_hidden={}))

        def load(self, names: object) -> None:
            raise StateError("nothing can be read")

    waiting = Waiting(file, digest, cast(Any, SimpleNamespace(folder=tmp_path)))
    with pytest.raises(StateError, match="nothing can be read"):
        forked._load(cast(Any, Ending()), waiting, "ada")
    assert file not in [each.resolve() for each in Path("/proc/self/fd").iterdir()]


def test_the_owner_sees_what_would_go_before_anything_goes(kernel_of: Any, faces: Any) -> None:
    adas = kernel_of("ada", "faces")
    adas.ok(MAKE)
    adas.ok("secret_key = 'word'")
    listed = adas.ok("%project publish --state")
    assert "Nothing was published" in listed.result
    assert re.search(r"n\.ipynb +weights +numpy\.ndarray +3\.1 MiB", listed.result)
    assert re.search(r"n\.ipynb +secret_key +str", listed.result)
    assert "<td" in listed.displays[-1]["text/html"]
    code = re.search(r"--with-state ([0-9a-f]{8})", listed.result)
    assert code
    adas.ok("%checkpoint exclude secret_key")
    refused = adas.run(f"%project publish --with-state {code[1]}")
    assert "not the code of the variables that are saved now" in refused.evalue
    published = publish(adas)
    assert "2 variables of n.ipynb go with it" in published.result
    assert "%fork ada/faces --with-state" in published.result
    assert not (faces.folder / ".regrow").exists()


def test_a_fork_begins_with_the_variables_once_their_owner_is_trusted(
    kernel_of: Any,
    faces: Any,
    hub: Any,  # noqa: F811
) -> None:
    adas = kernel_of("ada", "faces", API_KEY="hers")
    adas.ok(f"{MAKE}\nname = 'ada'\nimport os\nos.environ['TOKEN_OF_ADA'] = 'private'")
    publish(adas)
    bobs = kernel_of("bob", "")
    forked = bobs.ok("%fork ada/faces as mine --with-state")
    assert "n.ipynb begins with ada's variables once you trust ada" in forked.result
    bobs = kernel_of("bob", "mine")
    told = bobs.run("weights")
    assert told.ename == "NameError"
    assert "ada's variables came with the fork for this notebook, and are not loaded" in told.stderr
    bobs.ok("own = [1]\nname = 'bob'")
    trusted = bobs.ok("%checkpoint trust ada")
    assert "variables are back" in "".join(each["text/plain"] for each in trusted.displays)
    assert bobs.ok("weights.sum() == sum(range(400_000)), name, own").result == "(np.True_, 'bob', [1])"
    assert bobs.ok("import os\nos.environ.get('TOKEN_OF_ADA')").result == ""
    # In the next fork of hers they are there at once.
    bobs.ok("%cd -q ..")
    again = bobs.ok("%fork ada/faces as again --with-state")
    assert "n.ipynb begins with ada's variables." in again.result
    other = kernel_of("bob", "again")
    first = other.ok("name, weights[3]")
    assert first.result == "('ada', np.float64(3.0))"
    assert "they are ada's, and came with the fork" in first.stderr
    # What was never loaded is the user's own after a save, whatever becomes of the fork's file.
    other.ok("y = 1")
    assert other.ok("print(get_ipython().regrow_session.save('test'), end='')").stdout == ""
    kill(other)
    (hub.projects("bob") / "again/.regrow/state/n.ipynb.state").unlink()
    last = kernel_of("bob", "again")
    assert last.ok("weights[5], name, y").result == "(np.float64(5.0), 'ada', 1)"


def test_what_the_user_has_saved_before_they_trust_stays(kernel_of: Any, faces: Any) -> None:
    adas = kernel_of("ada", "faces")
    adas.ok(f"{MAKE}\nname = 'ada'")
    publish(adas)
    kernel_of("bob", "").ok("%fork ada/faces as mine --with-state")
    first = kernel_of("bob", "mine")
    first.ok("own, name = [1], 'bob'")
    assert first.ok("print(get_ipython().regrow_session.save('test'), end='')").stdout == ""
    kill(first)
    second = kernel_of("bob", "mine")
    second.ok("%checkpoint trust ada")
    assert second.ok("own, name, weights[2]").result == "([1], 'bob', np.float64(2.0))"
    assert second.ok("print(get_ipython().regrow_session.save('test'), end='')").stdout == ""
    kill(second)
    assert kernel_of("bob", "mine").ok("own, name, weights[2]").result == "([1], 'bob', np.float64(2.0))"


def test_a_fork_that_did_not_ask_for_them_begins_with_none(kernel_of: Any, faces: Any, hub: Any) -> None:  # noqa: F811
    adas = kernel_of("ada", "faces")
    adas.ok(MAKE)
    publish(adas)
    kernel_of("bob", "").ok("%fork ada/faces as mine")
    bobs = kernel_of("bob", "mine")
    bobs.ok("%checkpoint trust ada")
    outcome = bobs.run("weights")
    assert outcome.ename == "NameError" and "came with the fork" not in outcome.stderr
    # And it is no change of the user's, and in no snapshot.
    mine = hub.projects("bob") / "mine"
    assert git(mine, "status", "--porcelain", "--", ".regrow") == b""
    bobs.ok("%project snapshot")
    refs = git(mine, "for-each-ref", "--format=%(objectname)", "refs/regrow/snapshots").decode().split()
    assert all(b".regrow" not in git(mine, "ls-tree", "-r", "--name-only", commit) for commit in refs)


def test_forks_share_the_files_of_variables_and_copy_nothing(kernel_of: Any, faces: Any, hub: Any) -> None:  # noqa: F811
    adas = kernel_of("ada", "faces")
    adas.ok(MAKE)
    publish(adas)
    bobs = kernel_of("bob", "")
    for name in ("first", "second"):
        bobs.ok(f"%fork ada/faces as {name} --with-state")
    model = hub.client("bob").project("bob", "first")
    if model["tree"] != "overlay":
        pytest.skip(f"forks are made as {model['tree']} here")
    kept = [path for path in (hub.folder / "trees").rglob("*") if path.is_file() and not path.is_symlink()]
    assert sum(path.stat().st_size for path in kept) < 200_000
    (file,) = (hub.folder / "layers").glob("*/tree/.regrow/state/n.ipynb.state")
    assert file.stat().st_size > 3_000_000


def test_publishing_again_without_them_takes_them_out(kernel_of: Any, faces: Any, hub: Any) -> None:  # noqa: F811
    adas = kernel_of("ada", "faces")
    adas.ok(MAKE)
    publish(adas)
    bobs = kernel_of("bob", "")
    bobs.ok("%fork ada/faces as before --with-state")
    adas.ok("%project publish")
    after = bobs.ok("%fork ada/faces as after --with-state")
    assert "No variables were published with ada/faces" in after.result
    assert not (hub.projects("bob") / "after/.regrow").exists()
    # The older fork has its own, which a merge neither takes nor brings.
    bobs.ok("%cd -q before")
    assert "Nothing in your files had to be changed" in bobs.ok("%fork --sync").result
    assert (hub.projects("bob") / "before/.regrow/state/n.ipynb.state").exists()


def test_a_merge_does_not_bring_what_the_parent_publishes_later(kernel_of: Any, faces: Any, hub: Any) -> None:  # noqa: F811
    adas = kernel_of("ada", "faces")
    adas.ok(MAKE)
    publish(adas)
    bobs = kernel_of("bob", "")
    bobs.ok("%fork ada/faces as mine --with-state")
    file = hub.projects("bob") / "mine/.regrow/state/n.ipynb.state"
    before = file.read_bytes()
    adas.ok("weights = weights + 1\nopen('new.txt', 'w').write('new');")
    own(faces.folder / "new.txt")
    publish(adas)
    bobs.ok("%cd -q mine")
    assert "new.txt" in bobs.ok("%fork --sync").result
    assert file.read_bytes() == before


def test_variables_that_were_changed_are_refused_by_name(kernel_of: Any, faces: Any, hub: Any) -> None:  # noqa: F811
    adas = kernel_of("ada", "faces")
    adas.ok(MAKE)
    publish(adas)
    bobs = kernel_of("bob", "")
    bobs.ok("%fork ada/faces as mine --with-state")
    file = hub.projects("bob") / "mine/.regrow/state/n.ipynb.state"
    content = bytearray(file.read_bytes())
    content[200] ^= 1
    file.unlink()
    file.write_bytes(content)
    bobs = kernel_of("bob", "mine")
    told = bobs.ok("%checkpoint trust ada")
    assert "n.ipynb.state was changed after it was written: nothing of it is loaded" in shown(told)
    assert bobs.run("weights").ename == "NameError"


def test_other_variables_than_those_that_came_are_refused(
    kernel_of: Any,
    faces: Any,
    hub: Any,  # noqa: F811
) -> None:
    adas = kernel_of("ada", "faces")
    adas.ok(MAKE)
    publish(adas)
    bobs = kernel_of("bob", "")
    bobs.ok("%fork ada/faces as first --with-state")
    adas.ok("weights = weights + 1")
    publish(adas)
    bobs.ok("%fork ada/faces as second --with-state")
    projects = hub.projects("bob")
    place = ".regrow/state/n.ipynb.state"
    (projects / "second" / place).unlink()
    (projects / "second" / place).write_bytes((projects / "first" / place).read_bytes())
    bobs = kernel_of("bob", "second")
    assert "is not the one that came with the fork" in shown(bobs.ok("%checkpoint trust ada"))


def test_whose_they_are_is_what_the_hub_says(kernel_of: Any, faces: Any, hub: Any) -> None:  # noqa: F811
    adas = kernel_of("ada", "faces")
    adas.ok(MAKE)
    publish(adas)
    bobs = kernel_of("bob", "")
    bobs.ok("%fork ada/faces as mine --with-state")
    kernel = kernel_of("bob", "mine")
    kernel.ok("%checkpoint trust eve")
    assert kernel.run("weights").ename == "NameError"
    # Of a project that nobody else sees any more, the hub does not say whose it is.
    adas.ok("%project publish --private")
    assert "the hub does not say whose they are" in shown(kernel_of("bob", "mine").ok("%checkpoint trust ada"))


def test_ones_own_project_is_forked_with_its_variables_as_they_are_now(kernel_of: Any, faces: Any) -> None:
    adas = kernel_of("ada", "faces")
    adas.ok(f"{MAKE}\nname = 'ada'")
    forked = adas.ok("%fork ada/faces as copy --with-state")
    assert "n.ipynb begins with the variables that yours have now" in forked.result
    copy = kernel_of("ada", "copy")
    assert copy.ok("name, weights[4]").result == "('ada', np.float64(4.0))"
    copy.ok("name = 'copy'")
    assert adas.ok("name").result == "'ada'"
    # Others were given nothing by that.
    adas.ok("%project publish")
    assert "No variables were published" in kernel_of("bob", "").ok("%fork ada/faces as mine --with-state").result


def test_words_that_do_not_go_together_are_refused(kernel_of: Any, faces: Any) -> None:
    kernel = kernel_of("ada", "faces")
    for line, words in (
        ("%project publish n.ipynb", "goes with --state or --with-state"),
        ("%project publish --with-state 00000000 none.ipynb", "none.ipynb is no notebook of the project"),
        ("%project publish --with-state 00000000", "not the code of the variables"),
        ("%project publish --private --with-state 00000000", "don't go together"),
        ("%fork --status --with-state", "don't go together"),
    ):
        assert words in kernel.run(line).evalue
    assert "has variables that are saved" in kernel.ok("%project publish --state").result


def test_a_value_that_was_damaged_is_named_and_costs_no_other(kernel_of: Any, faces: Any, hub: Any) -> None:  # noqa: F811
    adas = kernel_of("ada", "faces")
    adas.ok(f"{MAKE}\nname = 'ada'\nother = np.ones(50_000)\nlast = [name]")
    publish(adas)
    bobs = kernel_of("bob", "")
    bobs.ok("%fork ada/faces as mine --with-state")
    file = hub.projects("bob") / "mine/.regrow/state/n.ipynb.state"
    content = bytearray(file.read_bytes())
    # 1.0, as `other` has it many times, and `weights` once.
    content[content.index(b"\0\0\0\0\0\0\xf0\x3f" * 20) + 40] ^= 1
    file.unlink()
    file.write_bytes(content)
    first = kernel_of("bob", "mine")
    first.ok("%checkpoint trust ada")
    assert first.ok("name").result == "'ada'"
    assert first.ok("print(get_ipython().regrow_session.save('test'), end='')").stdout == ""
    outcome = first.run("other")
    assert outcome.ename == "NameError" and "n.ipynb.state was changed after it was written" in outcome.stderr
    kill(first)
    second = kernel_of("bob", "mine")
    assert second.ok("name, weights.sum() > 0, last").result == "('ada', np.True_, ['ada'])"
    assert second.run("other").ename == "NameError"
