"""Bringing upstream's changes into a fork."""

import shutil
import signal
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nbformat import read, write, writes
from nbformat.v4 import new_code_cell, new_notebook, new_output

from regrow.projects.errors import ProjectError
from regrow.projects.large_files import InStore
from regrow.projects.merge import REF, Conflict, MergeConflict, merge, status
from regrow.projects.scan import LARGE_BYTES
from regrow.projects.snapshot import snapshots, take
from regrow.projects.states import fetch_state, make_state
from regrow.store import Store


def put(folder, contents):
    """Make the files of `folder` what `contents` says: bytes or text, None for none."""
    for name, content in contents.items():
        file = folder / name
        if content is None:
            file.unlink()
            continue
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content.encode() if isinstance(content, str) else content)


def state(folder):
    found = {}
    for path in folder.rglob("*"):
        key = path.relative_to(folder).as_posix()
        if key.split("/")[0] != ".git" and (path.is_file() or path.is_symlink()):
            found[key] = str(path.readlink()) if path.is_symlink() else path.read_bytes()
    return found


def large(seed):
    return bytes([seed]) * (LARGE_BYTES + 1)


def lines(*changed):
    """Twenty lines, of which those `changed` say so."""
    return "".join(f"{number} changed\n" if number in changed else f"{number}\n" for number in range(20))


def cell(name, source, output=None, count=None):
    made = new_code_cell(source, id=name, execution_count=count)
    made.outputs = [new_output("stream", text=output)] if output else []
    return made


def notebook(file, *cells, **metadata):
    write(new_notebook(cells=[cell(*each) for each in cells], metadata=metadata), file)


def sources(file):
    return [each.source for each in read(file, as_version=4).cells]


class Pair:
    """An upstream project and a fork of it, which share a store."""

    def __init__(self, folder, files):
        self.files = files
        self.upstream, self.fork = folder / "upstream", folder / "fork"
        for project in (self.upstream, self.fork):
            project.mkdir()
            subprocess.run(["git", "init", "--quiet", "--initial-branch=main"], cwd=project, check=True)

    def publish(self):
        """Upstream's files now, as the commit that the fork has fetched."""
        made = make_state(self.upstream, take(self.upstream, self.files).snapshot)
        return fetch_state(self.fork, str(self.upstream), {}, ref=f"refs/regrow/states/{made.id}")

    def begin(self, contents):
        """Both have `contents`; the base."""
        put(self.upstream, contents)
        put(self.fork, contents)
        return self.publish()

    def merge(self, base, theirs, **options):
        return merge(self.fork, self.files, base, theirs, **options)

    def refused(self, base, theirs, **options):
        """The conflicts of a merge that changes nothing."""
        before = state(self.fork)
        with pytest.raises(MergeConflict) as caught:
            self.merge(base, theirs, **options)
        assert state(self.fork) == before
        return caught.value


@pytest.fixture
def pair(tmp_path, files):
    return Pair(tmp_path, files)


def test_what_changed_on_either_side_is_there_after_a_merge(pair, git):
    base = pair.begin({"a.py": lines(), "b.py": "b\n", "gone": "x\n", "model.bin": large(1), "mine.bin": large(2)})
    put(pair.upstream, {"a.py": lines(1), "gone": None, "new/c.py": "c\n", "model.bin": large(3)})
    put(pair.fork, {"a.py": lines(18), "b.py": "mine\n", "own.py": "own\n", "mine.bin": large(4)})
    git(pair.fork, "add", "b.py")
    index, before = git(pair.fork, "diff", "--cached"), state(pair.fork)
    theirs = pair.publish()
    changed = status(pair.fork, base, take(pair.fork, pair.files).snapshot.commit, theirs)
    assert changed.here == ["b.py", "mine.bin", "own.py"]
    assert changed.there == ["gone", "model.bin", "new/c.py"]
    assert changed.both == ["a.py"]
    done = pair.merge(base, theirs)
    assert state(pair.fork) == {
        "a.py": lines(1, 18).encode(),
        "b.py": b"mine\n",
        "own.py": b"own\n",
        "new/c.py": b"c\n",
        "model.bin": large(3),
        "mine.bin": large(4),
    }
    assert done.base == theirs
    assert sorted(done.written) == ["a.py", "model.bin", "new/c.py"]
    assert done.removed == ["gone"]
    assert done.warnings == []
    assert git(pair.fork, "diff", "--cached") == index
    assert git(pair.fork, "for-each-ref", "refs/heads", "refs/stash", REF) == ""
    # What was there before is a snapshot.
    large_before = {"model.bin", "mine.bin"}
    listed = git(pair.fork, "ls-tree", "-r", "--name-only", done.before.commit).split()
    assert set(listed) == set(before)
    for path in set(before) - large_before:
        assert git(pair.fork, "show", f"{done.before.commit}:{path}").encode() == before[path]


def test_two_syncs_one_after_the_other(pair):
    base = pair.begin({"a.py": lines(), "b.py": "1\n"})
    put(pair.fork, {"a.py": lines(19)})
    put(pair.upstream, {"a.py": lines(1)})
    base = pair.merge(base, pair.publish()).base
    put(pair.upstream, {"a.py": lines(1, 5), "b.py": "2\n"})
    done = pair.merge(base, pair.publish())
    assert state(pair.fork) == {"a.py": lines(1, 5, 19).encode(), "b.py": b"2\n"}
    again = pair.merge(done.base, done.base)
    assert (again.written, again.removed, again.warnings) == ([], [], [])


def test_the_attributes_for_clones_stay_out_of_the_files(pair):
    base = pair.begin({"a.py": "1\n", ".gitattributes": "*.txt text\n"})
    put(pair.upstream, {"model.bin": large(1), ".gitattributes": "*.txt text\n*.csv text\n"})
    pair.merge(base, pair.publish())
    assert (pair.fork / ".gitattributes").read_text() == "*.txt text\n*.csv text\n"
    assert (pair.fork / "model.bin").read_bytes() == large(1)


def test_a_conflict_changes_nothing_and_says_what_to_do(pair):
    base = pair.begin({"a.py": lines(), "kept": "1\n", "dropped": "1\n"})
    put(pair.upstream, {"a.py": lines(5), "kept": None, "dropped": "2\n", "new": "theirs\n", "other": "fine\n"})
    put(pair.fork, {"a.py": "5 otherwise\n", "kept": "2\n", "dropped": None, "new": "ours\n"})
    theirs = pair.publish()
    conflict = pair.refused(base, theirs)
    assert conflict.conflicts == [
        Conflict("a.py", "changed on both sides"),
        Conflict("dropped", "deleted here, changed there"),
        Conflict("kept", "changed here, deleted there"),
        Conflict("new", "added on both sides"),
    ]
    assert str(conflict) == textwrap.dedent("""\
        4 files were changed both here and upstream. Nothing was changed.
          a.py: changed on both sides
          dropped: deleted here, changed there
          kept: changed here, deleted there
          new: added on both sides
        Say for each whose is taken, ours (what is here) or theirs (upstream's), and merge again.""")
    left = pair.refused(base, theirs, prefer={"a.py": "theirs", "kept": "ours", "new": "theirs"})
    assert [each.path for each in left.conflicts] == ["dropped"]
    done = pair.merge(base, theirs, prefer={"a.py": "theirs", "kept": "ours", "new": "theirs", "dropped": "ours"})
    assert state(pair.fork) == {"a.py": lines(5).encode(), "kept": b"2\n", "new": b"theirs\n", "other": b"fine\n"}
    assert done.base == theirs


@pytest.mark.parametrize("side", ["ours", "theirs"])
def test_one_side_can_be_taken_for_all(pair, side):
    base = pair.begin({"a.py": lines(), "kept": "1\n", "dropped": "1\n"})
    put(pair.upstream, {"a.py": lines(5, 6), "kept": None, "dropped": "2\n", "other": "fine\n"})
    put(pair.fork, {"a.py": lines(4, 5), "kept": "2\n", "dropped": None, "own": "own\n"})
    of = {"ours": state(pair.fork), "theirs": state(pair.upstream)}
    pair.merge(base, pair.publish(), prefer=side)
    assert state(pair.fork) == of[side] | {"other": b"fine\n", "own": b"own\n"}


def test_names_of_others_do_nothing_on_a_terminal(pair):
    name = "a\x1b[2J\n\u202e.py"
    base = pair.begin({name: "1\n"})
    put(pair.upstream, {name: "2\n"})
    put(pair.fork, {name: "3\n"})
    conflict = pair.refused(base, pair.publish())
    assert conflict.conflicts[0].path == name
    shown = str(conflict).splitlines()
    assert len(shown) == 3
    assert all(line.isprintable() for line in shown)


def test_renames_are_followed(pair):
    base = pair.begin({"a.py": lines(), "b.py": lines(0)})
    put(pair.upstream, {"a.py": None, "lib/a.py": lines(1), "b.py": lines(0, 2)})
    put(pair.fork, {"a.py": lines(18), "b.py": None, "mine/b.py": lines(0)})
    pair.merge(base, pair.publish())
    assert state(pair.fork) == {"lib/a.py": lines(1, 18).encode(), "mine/b.py": lines(0, 2).encode()}


@pytest.mark.parametrize(("side", "left"), [("ours", "here.py"), ("theirs", "there.py")])
def test_a_file_renamed_differently_is_a_conflict_that_can_be_solved(pair, side, left):
    base = pair.begin({"a.py": lines(), "b.py": "b\n"})
    put(pair.upstream, {"a.py": None, "there.py": lines()})
    put(pair.fork, {"a.py": None, "here.py": lines()})
    theirs = pair.publish()
    conflict = pair.refused(base, theirs)
    assert {each.path for each in conflict.conflicts} == {"a.py", "here.py", "there.py"}
    pair.merge(base, theirs, prefer=side)
    assert state(pair.fork) == {left: lines().encode(), "b.py": b"b\n"}


@pytest.mark.parametrize("side", ["ours", "theirs"])
@pytest.mark.parametrize(
    ("here", "there"),
    [({"x": "file\n"}, {"x/y": "1\n", "x/z": "2\n"}), ({"x/y": "1\n", "x/z": "2\n"}, {"x": "file\n"})],
)
def test_a_file_on_one_side_and_a_folder_on_the_other_is_a_conflict_that_can_be_solved(pair, here, there, side):
    base = pair.begin({"a.py": "a\n"})
    put(pair.upstream, there)
    put(pair.fork, here)
    of = {"ours": state(pair.fork), "theirs": state(pair.upstream)}
    theirs = pair.publish()
    conflict = pair.refused(base, theirs)
    assert conflict.conflicts == [Conflict("x", "a file on one side, something else on the other")]
    pair.merge(base, theirs, prefer={"x": side})
    assert state(pair.fork) == of[side]


def test_a_link_here_and_a_file_there_is_a_conflict_that_can_be_solved(pair):
    base = pair.begin({"a.py": "a\n"})
    put(pair.upstream, {"x": "there\n"})
    (pair.fork / "x").symlink_to("a.py")
    theirs = pair.publish()
    assert [each.path for each in pair.refused(base, theirs).conflicts] == ["x"]
    pair.merge(base, theirs, prefer={"x": "theirs"})
    assert state(pair.fork) == {"a.py": b"a\n", "x": b"there\n"}


def test_a_large_file_that_both_have_changed_is_a_conflict_as_a_whole(pair):
    base = pair.begin({"model.bin": large(1), "big.ipynb": large(1)})
    put(pair.upstream, {"model.bin": large(2), "big.ipynb": large(2)})
    put(pair.fork, {"model.bin": large(3), "big.ipynb": large(3)})
    theirs = pair.publish()
    conflict = pair.refused(base, theirs)
    assert conflict.conflicts == [
        Conflict("big.ipynb", "changed on both sides, and can't be merged by cells (it is a large file)"),
        Conflict("model.bin", "changed on both sides"),
    ]
    pair.merge(base, theirs, prefer={"model.bin": "theirs", "big.ipynb": "ours"})
    assert state(pair.fork) == {"model.bin": large(2), "big.ipynb": large(3)}


def test_the_same_change_on_both_sides_is_no_conflict(pair):
    base = pair.begin({"model.bin": large(1), "a.py": "1\n"})
    for project in (pair.upstream, pair.fork):
        put(project, {"model.bin": large(2), "a.py": "2\n"})
    theirs = pair.publish()
    assert status(pair.fork, base, take(pair.fork, pair.files).snapshot.commit, theirs).both == []
    assert pair.merge(base, theirs).written == []


def test_a_large_file_that_is_not_there_yet_changes_nothing(pair, tmp_path):
    base = pair.begin({"a.py": "1\n"})
    put(pair.upstream, {"a.py": "2\n", "model.bin": large(1)})
    theirs, before = pair.publish(), state(pair.fork)
    said = r"content of model.bin \(1048577 bytes\).*Nothing was changed"
    with (
        Store.create(str(tmp_path / "empty"), tmp_path / "empty-cache") as store,
        pytest.raises(ProjectError, match=said),
    ):
        merge(pair.fork, InStore(store), base, theirs)
    assert state(pair.fork) == before
    pair.merge(base, theirs)
    assert (pair.fork / "model.bin").read_bytes() == large(1)


def test_notebooks_changed_in_different_cells_merge(pair):
    for project in (pair.upstream, pair.fork):
        notebook(project / "n.ipynb", ("a", "x = 1"), ("b", "y = 1", "1\n", 2), ("c", "z = 1"))
    base = pair.begin({})
    # Next to each other, which git alone would not merge; and both add a cell at the end.
    notebook(pair.upstream / "n.ipynb", ("a", "x = 2"), ("b", "y = 1", "1\n", 2), ("c", "z = 1"), ("t", "theirs()"))
    notebook(pair.fork / "n.ipynb", ("a", "x = 1"), ("b", "y = 3", "3\n", 4), ("c", "z = 1"), ("o", "ours = 1"))
    done = pair.merge(base, pair.publish())
    assert sources(pair.fork / "n.ipynb") == ["x = 2", "y = 3", "z = 1", "ours = 1", "theirs()"]
    assert read(pair.fork / "n.ipynb", as_version=4).cells[1].outputs[0].text == "3\n"
    assert (pair.fork / "n.ipynb").read_text().endswith("}\n")
    assert done.written == ["n.ipynb"]
    assert done.warnings == []


def test_a_cell_added_above_one_that_the_other_side_changed_is_no_conflict(pair):
    for project in (pair.upstream, pair.fork):
        notebook(project / "n.ipynb", ("a", "x = 1"), ("b", "y = 1"))
    base = pair.begin({})
    notebook(pair.upstream / "n.ipynb", ("a", "x = 2"), ("b", "y = 1"))
    notebook(pair.fork / "n.ipynb", ("n", "import this"), ("a", "x = 1"), ("b", "y = 1"))
    pair.merge(base, pair.publish())
    assert sources(pair.fork / "n.ipynb") == ["import this", "x = 2", "y = 1"]


@pytest.mark.parametrize(
    ("there", "here"),
    [
        ([("a", "x = 1"), ("b", "y = 10")], [("a", "x = 1"), ("b", "y = 11")]),
        ([("a", "x = 1"), ("b", "import os\nprint(os.environ)")], [("a", "x = 1"), ("b", "def f():\n    return 3")]),
        ([("a", "x = 1")], [("a", "x = 1"), ("b", "y = 11")]),
        ([("a", "x = 1"), ("b", "y = 11")], [("a", "x = 1")]),
    ],
)
def test_the_same_cell_changed_on_both_sides_is_a_conflict_that_names_it(pair, there, here):
    for project in (pair.upstream, pair.fork):
        notebook(project / "n.ipynb", ("a", "x = 1"), ("b", "y = 1"))
    base = pair.begin({})
    notebook(pair.upstream / "n.ipynb", *there)
    notebook(pair.fork / "n.ipynb", *here)
    theirs = pair.publish()
    conflict = pair.refused(base, theirs)
    assert conflict.conflicts == [Conflict("n.ipynb", "changed on both sides", (2,))]
    assert "n.ipynb: changed on both sides (cell 2)" in str(conflict)
    pair.merge(base, theirs, prefer="theirs")
    assert sources(pair.fork / "n.ipynb") == [source for _, source in there]


def test_lines_of_one_cell_are_not_merged_even_where_they_are_far_apart(pair):
    for project in (pair.upstream, pair.fork):
        notebook(project / "n.ipynb", ("a", lines()))
    base = pair.begin({})
    notebook(pair.upstream / "n.ipynb", ("a", lines(1)))
    notebook(pair.fork / "n.ipynb", ("a", lines(18)))
    assert [each.cells for each in pair.refused(base, pair.publish()).conflicts] == [(1,)]


def test_outputs_that_differ_are_cleared_and_said(pair):
    for project in (pair.upstream, pair.fork):
        notebook(project / "n.ipynb", ("a", "x", "0\n", 1), ("b", "y", "0\n", 2), kernel="1")
    base = pair.begin({})
    notebook(pair.upstream / "n.ipynb", ("a", "x", "1\n", 3), ("b", "y + 1", "0\n", 2), kernel="2")
    notebook(pair.fork / "n.ipynb", ("a", "x", "2\n", 4), ("b", "y", "0\n", 2), kernel="3")
    done = pair.merge(base, pair.publish())
    merged = read(pair.fork / "n.ipynb", as_version=4)
    assert [(each.source, len(each.outputs)) for each in merged.cells] == [("x", 0), ("y + 1", 1)]
    assert merged.metadata["kernel"] == "3"
    assert done.warnings == ["n.ipynb: outputs of both sides differ; cleared (cell 1)."]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("not JSON", "it is not a notebook"),
        ("[]", "it is not a notebook"),
        ('{"nbformat": 4, "cells": 5}', "it is not a notebook"),
        ("[" * 100_000, "it is not a notebook"),
        ('{"nbformat": 3}', "it is not of format 4"),
        (writes(new_notebook(cells=[new_code_cell("x") for _ in range(501)])), "it is too long"),
    ],
)
def test_a_notebook_that_can_not_be_read_is_a_conflict_as_a_whole(pair, content, why):
    base = pair.begin({"n.ipynb": content})
    put(pair.upstream, {"n.ipynb": content + " "})
    put(pair.fork, {"n.ipynb": "\n" + content})
    (conflict,) = pair.refused(base, pair.publish()).conflicts
    assert conflict.kind == f"changed on both sides, and can't be merged by cells ({why})"


def test_drivers_and_filters_of_a_project_are_not_run(pair, git, tmp_path):
    attributes = "* merge=trap filter=trap diff=trap\n"
    base = pair.begin({".gitattributes": attributes, "a.py": lines(), "n.ipynb": "{}"})
    for key in ("merge.trap.driver", "filter.trap.clean", "filter.trap.smudge", "diff.trap.command"):
        git(pair.fork, "config", key, f"touch {tmp_path}/ran")
    put(pair.upstream, {"a.py": lines(1)})
    put(pair.fork, {"a.py": lines(18)})
    pair.merge(base, pair.publish())
    assert (pair.fork / "a.py").read_text() == lines(1, 18)
    assert not (tmp_path / "ran").exists()


def test_a_repository_inside_stays_as_it_is_here(pair, git):
    base = pair.begin({"a.py": "1\n"})
    for project in (pair.upstream, pair.fork):
        put(project, {"inner/x": project.name})
        git(project / "inner", "init", "--quiet")
        git(project / "inner", "add", "x")
        git(project / "inner", "commit", "--quiet", "--message", project.name)
    put(pair.upstream, {"a.py": "2\n"})
    pair.merge(base, pair.publish())
    assert (pair.fork / "inner/x").read_text() == "fork"
    assert (pair.fork / "a.py").read_text() == "2\n"


def test_what_is_ignored_here_and_comes_from_upstream_is_moved_aside(pair):
    base = pair.begin({"a.py": "1\n"})
    put(pair.fork, {".gitignore": "data\n", "data": "mine\n"})
    put(pair.upstream, {"data": "theirs\n"})
    done = pair.merge(base, pair.publish())
    assert (pair.fork / "data").read_text() == "theirs\n"
    (aside,) = (path for path in pair.fork.iterdir() if path.name.startswith("data.before-"))
    assert aside.read_text() == "mine\n"
    assert "data was in no snapshot" in done.warnings[0]


KILLED = """
import os, signal, sys
from pathlib import Path
from regrow.projects import restore as module
from regrow.projects.large_files import InStore
from regrow.projects.merge import merge
from regrow.store import Store

class Killing(InStore):
    # The small files are written by now, and the large ones are not.
    def write(self, pointer, file):
        os.kill(os.getpid(), signal.SIGKILL)

with Store.open(sys.argv[1], Path(sys.argv[2])) as store:
    merge(Path(sys.argv[3]), Killing(store), sys.argv[4], sys.argv[5])
"""


def test_a_merge_that_was_killed_is_completed_by_the_next(pair, tmp_path, git):
    base = pair.begin({"a.py": lines(), "b.py": lines(0), "model.bin": large(1), "gone": "x\n"})
    put(pair.upstream, {"a.py": None, "lib/a.py": lines(1), "b.py": lines(0, 3), "model.bin": large(2), "gone": None})
    put(pair.fork, {"a.py": lines(18), "own.py": "own\n"})
    theirs, before = pair.publish(), state(pair.fork)
    command = [sys.executable, "-c", KILLED, str(tmp_path / "store"), str(tmp_path / "other-cache")]
    ended = subprocess.run([*command, str(pair.fork), base, theirs], capture_output=True, text=True)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert state(pair.fork) != before
    # git had only begun with one, and another has been changed by its user since; a new one is none of the merge's.
    put(pair.fork, {"lib/a.py": "0\n1 cha", "b.py": "since\n", "since.py": "since\n"})
    done = pair.merge(base, theirs)
    assert done.base == theirs
    assert state(pair.fork) == {
        "lib/a.py": lines(1, 18).encode(),
        "b.py": lines(0, 3).encode(),
        "model.bin": large(2),
        "own.py": b"own\n",
        "since.py": b"since\n",
    }
    said = [warning for warning in done.warnings if warning.startswith("b.py was changed meanwhile")]
    assert len(said) == 1
    held = snapshots(pair.fork)[0]
    assert held.id in said[0]
    assert git(pair.fork, "show", f"{held.commit}:b.py") == "since\n"
    assert git(pair.fork, "show", f"{done.before.commit}:a.py") == lines(18)
    assert git(pair.fork, "for-each-ref", REF) == ""


class Failing(InStore):
    def write(self, pointer, file):
        raise ProjectError("The other side has gone away.")


def test_a_merge_that_failed_halfway_is_completed_by_the_next(pair, store, git):
    base = pair.begin({"a.py": lines(), "model.bin": large(1)})
    put(pair.upstream, {"a.py": None, "lib/a.py": lines(1), "model.bin": large(2)})
    put(pair.fork, {"a.py": lines(18)})
    theirs = pair.publish()
    with pytest.raises(ProjectError, match="gone away"):
        merge(pair.fork, Failing(store), base, theirs)
    assert git(pair.fork, "for-each-ref", REF) != ""
    pair.merge(base, theirs)
    assert state(pair.fork) == {"lib/a.py": lines(1, 18).encode(), "model.bin": large(2)}


def test_nothing_is_written_through_a_link_out_of_the_project(pair, tmp_path, git):
    base = pair.begin({"a.py": "1\n", ".gitignore": "data\n"})
    (tmp_path / "outside").mkdir()
    (pair.fork / "data").symlink_to(tmp_path / "outside")
    put(pair.upstream, {".gitignore": "", "data/x": "theirs\n", "a.py": "2\n"})
    theirs, before = pair.publish(), state(pair.fork)
    with pytest.raises(ProjectError, match="data is a link"):
        pair.merge(base, theirs)
    assert state(pair.fork) == before
    assert not list((tmp_path / "outside").iterdir())
    # There is nothing to complete: what is changed now counts.
    assert git(pair.fork, "for-each-ref", REF) == ""


def test_an_interrupted_merge_comes_before_what_was_published_since(pair, tmp_path):
    base = pair.begin({"a.py": lines(), "model.bin": large(1)})
    put(pair.upstream, {"a.py": lines(1), "model.bin": large(2)})
    first = pair.publish()
    command = [sys.executable, "-c", KILLED, str(tmp_path / "store"), str(tmp_path / "other-cache")]
    subprocess.run([*command, str(pair.fork), base, first], capture_output=True)
    put(pair.upstream, {"a.py": lines(1, 3)})
    second = pair.publish()
    done = pair.merge(base, second)
    assert done.base == first
    assert (pair.fork / "a.py").read_text() == lines(1)
    assert pair.merge(done.base, second).base == second
    assert (pair.fork / "a.py").read_text() == lines(1, 3)


def test_a_merge_again_whose_base_was_not_kept_changes_nothing(pair):
    base = pair.begin({"a.py": lines(), "model.bin": large(1), "old.py": lines(0)})
    put(pair.upstream, {"a.py": lines(1), "model.bin": large(2), "old.py": None, "new.py": lines(0)})
    put(pair.fork, {"a.py": lines(18)})
    theirs = pair.publish()
    pair.merge(base, theirs)
    after = state(pair.fork)
    assert pair.merge(base, theirs).written == []
    assert state(pair.fork) == after


@pytest.mark.parametrize("stranger", ["0" * 40, "--help", "no-such"])
def test_a_base_that_is_not_there_changes_nothing(pair, stranger):
    base = pair.begin({"a.py": "1\n"})
    before = state(pair.fork)
    with pytest.raises(ProjectError):
        pair.merge(stranger, base)
    assert state(pair.fork) == before


NAMES = st.sampled_from(["a", "b", "d/a", "d/e/b", "n.ipynb", ".gitattributes", "sp ace", "m.bin"])
TREES = st.dictionaries(NAMES, st.sampled_from(["", "1\n", "2\n2\n", lines(), "large"]), max_size=6)


@given(first=TREES, second=TREES, moved=st.sampled_from(["here", "there"]))
@settings(max_examples=12, deadline=None)
def test_where_one_side_is_unchanged_the_other_side_is_what_comes_out(first, second, moved):
    first, second = (
        {name: large(7) if content == "large" else content for name, content in tree.items()}
        for tree in (first, second)
    )
    with tempfile.TemporaryDirectory() as folder, Store.create(f"{folder}/store", Path(folder, "cache")) as store:
        pair = Pair(Path(folder), InStore(store))
        base = pair.begin(first)
        changed = pair.fork if moved == "here" else pair.upstream
        for path in changed.iterdir():
            if path.name != ".git":
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        put(changed, second)
        expected = state(changed)
        pair.merge(base, pair.publish())
        assert state(pair.fork) == expected
