"""Variables of notebooks in a project's state, which are no files of the project's own."""

from pathlib import Path

import pytest

from regrow.projects.git import git
from regrow.projects.large_files import InStore
from regrow.projects.pointers import Pointer
from regrow.projects.snapshot import take
from regrow.projects.states import make_state
from regrow.projects.variables import own_files, variables_of, with_variables, without_variables
from regrow.store import Store

VARIABLES = {"n.ipynb": Pointer("1" * 64, 10), "deep/er/ö.ipynb": Pointer("2" * 64, 2_000_000)}
PATHS = {f".regrow/state/{notebook}.state": pointer for notebook, pointer in VARIABLES.items()}


@pytest.fixture
def files(tmp_path):
    with Store.create(str(tmp_path / "store"), tmp_path / "cache") as store:
        yield InStore(store)


@pytest.fixture
def project(tmp_path):
    folder = tmp_path / "project"
    (folder / "deep").mkdir(parents=True)
    (folder / "train.py").write_text("print(1)\n")
    (folder / "deep/a").write_text("a")
    git(folder, "init", "--quiet")
    return folder


def tree_of(project: Path, commit: str) -> str:
    return git(project, "rev-parse", f"{commit}^{{tree}}").decode().strip()


def names(project: Path, tree: str) -> list[str]:
    return git(project, "ls-tree", "-r", "--name-only", tree).decode().split()


def test_a_state_has_them_and_is_another_one_than_the_snapshots_own(project, files):
    taken = take(project, files).snapshot
    state = make_state(project, taken, VARIABLES)
    assert variables_of(project, state.tree) == PATHS
    assert state.pointers == PATHS
    assert state.id != taken.id and state.id > taken.id
    assert own_files(project, state.tree) == tree_of(project, taken.commit)
    # The next one without them is the snapshot's again.
    assert names(project, make_state(project, taken).tree) == ["deep/a", "train.py"]


def test_what_is_ignored_does_not_matter(project, files):
    (project / ".gitignore").write_text(".*\n")
    (project / ".regrowignore").write_text("*.state\n.regrow\n")
    state = make_state(project, take(project, files).snapshot, VARIABLES)
    assert variables_of(project, state.tree) == PATHS


def test_a_snapshot_does_not_take_those_that_came_with_a_fork(project, files):
    (project / ".regrow/state").mkdir(parents=True)
    (project / ".regrow/state/n.ipynb.state").write_bytes(b"1" * 3_000_000)
    (project / ".regrow/state/small.ipynb.state").write_bytes(b"1")
    (project / ".regrow/mine").write_text("mine")
    assert names(project, tree_of(project, take(project, files).snapshot.commit)) == [
        ".regrow/mine",
        "deep/a",
        "train.py",
    ]


def test_a_state_never_has_others_than_those_it_is_made_with(project, files):
    (project / ".gitignore").write_text("!*\n")
    (project / ".regrow/state").mkdir(parents=True)
    (project / ".regrow/state/n.ipynb.state").write_bytes(b"1")
    assert ".regrow" not in "".join(names(project, make_state(project, take(project, files).snapshot).tree))


def test_only_pointers_are_variables_whatever_a_stranger_has_put_there(project, files):
    blob = git(project, "hash-object", "-w", "--stdin", input=b"../../secret").decode().strip()
    pointer = git(project, "hash-object", "-w", "--stdin", input=VARIABLES["n.ipynb"].encode()).decode().strip()
    entries = f"120000 blob {blob}\tlink.state\n100644 blob {blob}\tplain.state\n100644 blob {pointer}\tn.ipynb.state\n"
    for name in ("state", ".regrow"):
        made = git(project, "mktree", input=entries.encode()).decode().strip()
        entries = f"040000 tree {made}\t{name}\n"
    tree = git(project, "mktree", input=entries.encode()).decode().strip()
    assert variables_of(project, tree) == {".regrow/state/n.ipynb.state": VARIABLES["n.ipynb"]}
    assert names(project, own_files(project, tree)) == []
    as_link = git(project, "mktree", input=f"120000 blob {blob}\t.regrow\n".encode()).decode().strip()
    assert variables_of(project, as_link) == {} and own_files(project, as_link) == as_link


@pytest.mark.parametrize("mode", ["120000", "100644", "100755"])
def test_a_link_or_a_file_in_their_place_goes_too(project, files, mode):
    blob = git(project, "hash-object", "-w", "--stdin", input=b"../../..").decode().strip()
    inner = git(project, "mktree", input=f"{mode} blob {blob}\tstate\n".encode()).decode().strip()
    tree = git(project, "mktree", input=f"040000 tree {inner}\t.regrow\n".encode()).decode().strip()
    assert variables_of(project, tree) == {}
    assert names(project, own_files(project, tree)) == []
    (project / ".regrow").mkdir()
    if mode == "120000":
        (project / ".regrow/state").symlink_to("../../..")
    else:
        (project / ".regrow/state").write_text("x")
    assert names(project, tree_of(project, take(project, files).snapshot.commit)) == ["deep/a", "train.py"]


def test_others_in_the_same_folder_stay(project, files):
    (project / ".regrow").mkdir()
    (project / ".regrow/mine").write_text("mine")
    tree = tree_of(project, take(project, files).snapshot.commit)
    carrying = with_variables(project, tree, VARIABLES)
    assert ".regrow/mine" in names(project, carrying)
    assert without_variables(project, carrying) == tree


def test_a_project_may_have_nothing_else(project):
    nothing = git(project, "mktree").decode().strip()
    carrying = with_variables(project, nothing, VARIABLES)
    assert set(variables_of(project, carrying)) == set(PATHS)
    assert without_variables(project, carrying) == nothing
