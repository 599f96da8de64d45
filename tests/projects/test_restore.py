"""Bringing files back."""

import os
import random
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regrow.projects.errors import NoSuchSnapshot, ProjectError
from regrow.projects.large_files import InStore
from regrow.projects.restore import find, restore
from regrow.projects.scan import LARGE_BYTES
from regrow.projects.snapshot import take
from regrow.store import Store


def noise(seed, size=LARGE_BYTES + 100):
    return random.Random(seed).randbytes(size)


def state(project):
    """Every file and link below the project, but for .git."""
    found = {}
    for path in project.rglob("*"):
        key = str(path.relative_to(project))
        if key == ".git" or key.startswith(".git/"):
            continue
        if path.is_symlink():
            found[key] = ("link", str(path.readlink()))
        elif path.is_file():
            found[key] = (path.stat().st_mode & 0o111 != 0, path.read_bytes())
    return found


def test_all_files_become_what_they_were(project, files):
    (project / "sub").mkdir()
    (project / "sub/a.py").write_text("a = 1\n")
    (project / "run").write_text("true\n")
    (project / "run").chmod(0o755)
    (project / "link").symlink_to("sub/a.py")
    (project / "model.bin").write_bytes(noise(1))
    first, before = take(project, files).snapshot, state(project)
    (project / "sub/a.py").write_text("a = 2\n")
    (project / "run").unlink()
    (project / "link").unlink()
    (project / "link").write_text("a file now\n")
    (project / "model.bin").write_bytes(noise(2))
    (project / "new/folder").mkdir(parents=True)
    (project / "new/folder/x").write_text("new\n")
    changed = state(project)
    done = restore(project, files, first)
    assert state(project) == before
    assert done.removed == ["new/folder/x"]
    assert sorted(done.written) == ["link", "model.bin", "run", "sub/a.py"]
    assert not (project / "new").exists()
    restore(project, files, done.before)
    assert state(project) == changed


def test_one_file_or_folder_is_restored_and_the_others_are_left(project, files):
    (project / "sub").mkdir()
    for name in ("sub/a", "sub/b", "subway", "c"):
        (project / name).write_text("before\n")
    first = take(project, files).snapshot
    for name in ("sub/a", "sub/b", "subway", "c"):
        (project / name).write_text("after\n")
    assert restore(project, files, first, ("sub", "c")).written == ["c", "sub/a", "sub/b"]
    assert (project / "subway").read_text() == "after\n"


def test_a_path_that_the_snapshot_does_not_have_is_said_and_nothing_is_changed(project, files):
    (project / "a").write_text("1")
    first = take(project, files).snapshot
    (project / "a").write_text("2")
    with pytest.raises(NoSuchSnapshot, match=r"has no nothing\. Nothing was changed"):
        restore(project, files, first, ("a", "nothing"))
    assert (project / "a").read_text() == "2"


def test_a_large_file_that_the_store_lost_is_said_before_anything_is_changed(project, files, store):
    (project / "a").write_text("1")
    (project / "model.bin").write_bytes(noise(1))
    first = take(project, files).snapshot
    (project / "a").write_text("2")
    (project / "model.bin").unlink()
    for name in list(store.names("lfs")):
        store.drop(name)
    with pytest.raises(ProjectError, match=r"The content of model\.bin .* is not in the store\. Nothing was changed"):
        restore(project, files, first)
    assert (project / "a").read_text() == "2"
    assert restore(project, files, first, ("a",)).written == ["a"]


def test_what_no_snapshot_has_is_moved_aside_when_it_is_in_the_way(project, files):
    (project / "data").write_text("in the snapshot\n")
    first = take(project, files).snapshot
    (project / "data").unlink()
    (project / ".gitignore").write_text("data*\n")
    take(project, files)
    (project / "data").write_text("precious and ignored\n")
    done = restore(project, files, first, ("data",))
    assert (project / "data").read_text() == "in the snapshot\n"
    (warning,) = done.warnings
    assert warning.startswith("data was in no snapshot; what was there is now data.before-")
    assert (project / warning.rsplit(" ", 1)[1].rstrip(".")).read_text() == "precious and ignored\n"


def test_a_link_out_of_the_project_is_never_written_through(project, files, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("not the project's\n")
    (project / "sub").mkdir()
    (project / "sub/file").write_text("the project's\n")
    first = take(project, files).snapshot
    (project / "sub/file").unlink()
    (project / "sub").rmdir()
    (project / "sub").symlink_to(outside)
    restore(project, files, first)
    assert (outside / "file").read_text() == "not the project's\n"
    assert (project / "sub/file").read_text() == "the project's\n"
    (project / "sub/file").unlink()
    (project / "sub").rmdir()
    (project / ".gitignore").write_text("sub\n")
    take(project, files)
    (project / "sub").symlink_to(outside)
    with pytest.raises(ProjectError, match="sub is a link or a file that no snapshot has"):
        restore(project, files, first, ("sub",))
    assert (outside / "file").read_text() == "not the project's\n"


@pytest.mark.parametrize("content", [b"small", noise(1)], ids=["small", "large"])
def test_a_link_that_took_a_folder_s_place_gives_way_to_a_file_that_is_restored_by_name(
    project, files, tmp_path, content
):
    outside = tmp_path / "outside"
    (outside / "below").mkdir(parents=True)
    (project / "data/below").mkdir(parents=True)
    (project / "data/below/x.bin").write_bytes(content)
    first = take(project, files).snapshot
    shutil.rmtree(project / "data")
    (project / "data").symlink_to(outside)
    done = restore(project, files, first, ("data/below/x.bin",))
    assert state(project)["data/below/x.bin"] == (False, content)
    assert done.removed == ["data"] and not (project / "data").is_symlink()
    assert not list((outside / "below").iterdir())
    restore(project, files, done.before)
    assert (project / "data").readlink() == outside


def test_a_snapshot_is_found_by_name_id_and_beginning(project, files):
    (project / "a").write_text("1")
    first = take(project, files, name="good").snapshot
    (project / "a").write_text("2")
    second = take(project, files).snapshot
    assert find(project, "good") == first
    assert find(project, second.id) == find(project, second.commit[:10]) == second
    with pytest.raises(NoSuchSnapshot, match="2 snapshots begin with '2'"):
        find(project, "2")
    with pytest.raises(NoSuchSnapshot, match="There is no snapshot 'nothing'"):
        find(project, "nothing")


PATHS = st.sampled_from(["a", "b", "a/b", "a/c", "b/c/d", "link"])
CONTENTS = st.one_of(
    st.binary(max_size=20), st.sampled_from([("link", "a"), ("link", "/nowhere")]), st.integers(0, 1), st.none()
)


def put(project, path, content):
    """Make `path` what `content` says, in the place of whatever is there or above it."""
    file = project / path
    for place in (*reversed(file.parents[: path.count("/")]), file):
        if place.is_symlink() or place.is_file():
            place.unlink()
    if file.is_dir():
        shutil.rmtree(file)
    if content is None:
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, tuple):
        file.symlink_to(content[1])
    else:
        file.write_bytes(noise(content) if isinstance(content, int) else content)


STEPS = st.lists(st.lists(st.tuples(PATHS, CONTENTS), min_size=1, max_size=4), min_size=2, max_size=4)


@settings(max_examples=25, deadline=None)
@given(STEPS, st.randoms(use_true_random=False))
def test_any_snapshot_can_be_had_again_from_any_state(steps, order):
    with tempfile.TemporaryDirectory() as folder, Store.create(f"{folder}/store", Path(folder) / "cache") as store:
        project = Path(folder) / "project"
        subprocess.run(["git", "init", "--quiet", project], check=True)
        states = []
        for step in steps:
            for path, content in step:
                put(project, path, content)
            states.append((take(project, InStore(store)).snapshot, state(project)))
        order.shuffle(states)
        for snapshot, wanted in states:
            restore(project, InStore(store), snapshot)
            assert state(project) == wanted


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting takes root")
def test_a_large_file_comes_back_into_a_folder_that_something_is_mounted_at(project, files, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (project / "data").mkdir()
    subprocess.run(["mount", "--bind", tmp_path / "elsewhere", project / "data"], check=True)
    try:
        (project / "data/large").write_bytes(noise(1))
        before = take(project, files).snapshot
        (project / "data/large").write_bytes(noise(2))
        restore(project, files, before)
        assert (project / "data/large").read_bytes() == noise(1)
        assert [path.name for path in (project / "data").iterdir()] == ["large"]
    finally:
        subprocess.run(["umount", "--lazy", project / "data"], check=True)
