"""Forks: what they have, what they cost, and that nothing done to one side is seen on the other."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from regrow.client.hub import HubError
from regrow.client.working import fork, of_folder, publish, register, snapshot
from regrow.hub_service.trees import KINDS
from regrow.projects.create import create_empty
from regrow.projects.snapshot import take
from regrow.spawner.volumes import Owner, discard_user_volumes, make_user_volumes, purge_deleted, user_volumes

from support.service import MIB, as_user, noise, own, quiet, state

FILES = {"train.py": b"print(1)\n", "data/a.csv": b"1,2\n" * 100, "model.bin": noise(1), "notes/x.md": b"x"}


@pytest.fixture
def faces(new_project, acting):
    """ada's project, published to everybody on the hub."""
    project = new_project("ada", "faces", FILES)
    with acting("ada") as client:
        publish(client, project, "hub", "", quiet)
    return project


def test_a_fork_has_the_files_and_history_of_what_it_was_made_of(faces, acting, hub):
    with acting("bob") as client:
        forked = fork(client, "ada", "faces", "mine", quiet)
    folder = hub.projects("bob") / "mine"
    assert forked.working.folder == folder
    assert state(folder) == state(faces.folder)
    log = subprocess.run(["git", "log", "--format=%H"], cwd=folder, capture_output=True, text=True)
    theirs = subprocess.run(["git", "log", "--format=%H"], cwd=faces.folder, capture_output=True, text=True)
    assert log.stdout == theirs.stdout != ""
    model = hub.client("bob").project("bob", "mine")
    assert (model["parent"], model["visibility"]) == ("ada/faces", "private")


def test_what_is_done_to_one_is_not_seen_in_the_other(faces, acting, hub):
    with acting("bob") as client:
        mine = fork(client, "ada", "faces", "mine", quiet).working.folder
        (mine / "train.py").write_text("print(2)\n")
        (mine / "data/a.csv").unlink()
        (faces.folder / "notes/x.md").write_text("changed")
        (faces.folder / "model.bin").unlink()
    assert (faces.folder / "train.py").read_bytes() == b"print(1)\n"
    assert (faces.folder / "data/a.csv").exists()
    assert (mine / "notes/x.md").read_bytes() == b"x"
    assert (mine / "model.bin").read_bytes() == noise(1)


def test_the_first_snapshot_of_a_fork_reads_nothing_again(faces, acting, hub):
    with acting("bob") as client:
        mine = fork(client, "ada", "faces", "mine", quiet).working
        read = []
        files = mine.large_files(client)
        taken = take(mine.folder, files, progress=lambda path, size: read.append(path))
    assert read == []
    assert taken.warnings == []


def test_a_fork_of_a_fork_of_a_fork_stands_on_two_layers_at_most(faces, acting, hub):
    with acting("bob") as client:
        fork(client, "ada", "faces", "fork0", quiet)
        for number in range(4):
            folder = hub.projects("bob") / f"fork{number}"
            (folder / f"new{number}.txt").write_text(str(number))
            (folder / "train.py").write_text(f"print({number})\n")
            own(folder / f"new{number}.txt")
            fork(client, "bob", f"fork{number}", f"fork{number + 1}", quiet)
    last = hub.projects("bob") / "fork4"
    assert (last / "train.py").read_text() == "print(3)\n"
    assert sorted(path.name for path in last.glob("new*.txt")) == [f"new{number}.txt" for number in range(4)]
    (mounted,) = [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(last) in line]
    assert mounted.split("lowerdir=")[1].split(",")[0].count(":") <= 1


def test_deleting_the_parent_for_good_leaves_its_forks_whole(faces, acting, hub):
    before = state(faces.folder)
    with acting("bob") as client:
        mine = fork(client, "ada", "faces", "mine", quiet).working
    with acting("ada") as client:
        client.delete("ada", "faces")
        (gone,) = client.recycle_bin()
        client.purge(gone["id"])
    assert not faces.folder.exists()
    assert state(mine.folder) == before
    fsck = subprocess.run(["git", "fsck", "--full"], cwd=mine.folder, capture_output=True, text=True)
    assert fsck.returncode == 0, fsck.stderr
    with acting("bob") as client:
        snapshot(client, mine, quiet)
        again = fork(client, "bob", "mine", "again", quiet).working
    assert state(again.folder) == before


def test_forks_are_there_again_after_the_service_or_the_machine_has_started_anew(deployment, monkeypatch):
    with deployment.running(), as_user(deployment, "ada", monkeypatch) as client:
        folder = deployment.projects("ada") / "faces"
        create_empty(folder)
        (folder / "a").write_text("a")
        own(folder)
        register(client, folder)
        mine = fork(client, "ada", "faces", "mine", quiet).working.folder
        (mine / "b").write_text("b")
    subprocess.run(["umount", str(mine)], check=True)
    assert list(mine.iterdir()) == []
    with deployment.running():
        assert (mine / "a").read_text() + (mine / "b").read_text() == "ab"


class TestHowForksAreMade:
    """The doctor says it, and so do the projects."""

    def assert_said(self, folder, kind):
        command = [Path(sys.prefix) / "bin/regrow", "doctor", f"--data-dir={folder}", "--spawner=local"]
        done = subprocess.run(command, capture_output=True, text=True)
        assert KINDS[kind] in done.stdout, done

    def test_by_reflinks_where_the_filesystem_has_them(self, with_reflinks):
        self.assert_said(with_reflinks, "reflink")

    def test_by_overlays_elsewhere(self, tmp_path):
        self.assert_said(tmp_path, "overlay")

    def test_by_copies_where_neither_works(self, without_reflinks):
        self.assert_said(without_reflinks, "copy")


class TestWithReflinks:
    @pytest.fixture
    def data_dir(self, with_reflinks):
        return with_reflinks

    def test_a_fork_shares_the_blocks_of_what_it_does_not_change(self, new_project, acting, hub):
        content = noise(1, 64 * MIB)
        project = new_project("ada", "faces", FILES | {"weights.bin": content})
        with acting("ada") as client:
            publish(client, project, "hub", "", quiet)

        def used():
            os.sync()
            status = os.statvfs(hub.folder)
            return (status.f_blocks - status.f_bfree) * status.f_frsize

        before = used()
        with acting("bob") as client:
            mine = fork(client, "ada", "faces", "mine", quiet).working.folder
            assert client.project("bob", "mine")["tree"] == "reflink"
        assert used() - before < 2 * MIB
        assert state(mine) == state(project.folder)
        with (mine / "weights.bin").open("r+b") as file:
            file.write(b"changed")
        assert (project.folder / "weights.bin").read_bytes() == content
        with acting("bob") as client:
            again = fork(client, "ada", "faces", "again", quiet).working.folder
        assert (again / "weights.bin").read_bytes() == content


def test_what_is_not_published_cannot_be_forked_by_others(new_project, acting):
    new_project("ada", "secret", {"a": b"x"})
    with (
        acting("bob") as client,
        pytest.raises(HubError, match="There is no project ada/secret that you can see") as said,
    ):
        fork(client, "ada", "secret", "mine", quiet)
    assert said.value.status == 404


def test_what_was_removed_before_publishing_is_nowhere_in_a_fork(new_project, acting, hub):
    project = new_project("ada", "faces", {"password.txt": b"hunter2-secret", "a": b"x"})
    with acting("ada") as client:
        snapshot(client, project, quiet)
        (project.folder / "password.txt").unlink()
        publish(client, project, "hub", "", quiet)
    with acting("bob") as client:
        mine = fork(client, "ada", "faces", "mine", quiet).working.folder
    objects = subprocess.run(
        ["git", "cat-file", "--batch-all-objects", "--batch"], cwd=mine, capture_output=True
    ).stdout
    assert b"hunter2" not in objects
    assert objects


def test_a_fork_belongs_to_its_owner_and_git_finds_nothing_changed(faces, acting, hub):
    with acting("bob") as client:
        mine = fork(client, "ada", "faces", "mine", quiet).working.folder
    foreign = [path for path in mine.rglob("*") if path.lstat().st_uid != mine.stat().st_uid]
    assert foreign == []
    status = subprocess.run(["git", "status", "--porcelain"], cwd=mine, capture_output=True, text=True)
    theirs = subprocess.run(["git", "status", "--porcelain"], cwd=faces.folder, capture_output=True, text=True)
    assert status.stdout == theirs.stdout
    assert os.access(mine / "train.py", os.W_OK)


def test_a_name_that_is_taken_is_said_and_nothing_is_made(faces, acting, hub):
    with acting("bob") as client:
        (hub.projects("bob") / "mine").mkdir()
        with pytest.raises(HubError, match="There is something in your projects named mine already"):
            fork(client, "ada", "faces", "mine", quiet)
        assert client.projects(owner="bob") == []
        assert list(hub.places.trees.iterdir()) == []
        (hub.projects("bob") / "mine").rmdir()
        fork(client, "ada", "faces", "mine", quiet)
        assert of_folder(hub.projects("bob") / "mine").full_name == "bob/mine"


def test_what_belonged_to_a_deleted_user_is_not_the_next_ones_of_that_name(faces, acting, hub):
    with acting("ada") as client:
        mine = fork(client, "ada", "faces", "mine", quiet).working.folder
        assert hub.places.user_id("ada")
    discard_user_volumes(user_volumes(hub.folder, "ada"), hub.folder / "deleted")
    make_user_volumes(user_volumes(hub.folder, "ada"), Owner(os.geteuid(), os.geteuid()))
    with acting("ada") as client:
        assert client.projects() == []
        assert client.recycle_bin() == []
        client.create("faces")
    with acting("bob") as client, pytest.raises(HubError, match="no project ada/mine"):
        client.project("ada", "mine")
    assert not mine.exists()
    purge_deleted(hub.folder / "deleted", keep_s=-1, now=time.time())
    assert list((hub.folder / "deleted").iterdir()) == []
