"""The hub's own repositories: made whole, forked by links, repacked beside those who use them."""

import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from regrow.hub_service.repositories import create, fork, is_scattered, refs, remove_litter, repack, set_ref, size_bytes
from regrow.projects.errors import Damaged, Moved
from regrow.projects.git import GitError


def git(folder, *arguments, input=None):
    command = ["git", "-c", "user.name=Ada", "-c", "user.email=ada@example.org", *arguments]
    return subprocess.run(command, cwd=folder, input=input, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def folder(tmp_path):
    """A repository."""
    folder = tmp_path / "project.git"
    create(folder)
    return folder


@pytest.fixture
def work(tmp_path):
    """A working tree that pushes to it."""
    work = tmp_path / "work"
    work.mkdir()
    git(work, "init", "--quiet")
    return work


def push(work, folder, ref, content):
    """Push a new commit, as a pack of its own, and say it."""
    (work / "file").write_bytes(content)
    git(work, "add", ".")
    git(work, "commit", "--quiet", "--allow-empty", "-m", ref)
    git(work, "push", "--quiet", "--force", str(folder), f"HEAD:{ref}")
    return git(work, "rev-parse", "HEAD")


def packs(folder):
    return sorted((folder / "objects/pack").glob("*.pack"))


def fsck(folder):
    return git(folder, "fsck", "--full", "--strict", "--no-dangling", "--no-progress")


def test_a_new_repository_is_bare_and_empty_and_has_the_published_branch_as_its_head(folder):
    assert git(folder, "rev-parse", "--is-bare-repository") == "true"
    assert git(folder, "symbolic-ref", "HEAD") == "refs/heads/published"
    assert git(folder, "config", "transfer.fsckObjects") == "true"
    assert refs(folder) == {}
    assert [path.name for path in folder.parent.iterdir()] == ["project.git"]


def test_a_repository_that_is_there_is_not_made_again(folder, work):
    commit = push(work, folder, "refs/heads/main", b"one")
    with pytest.raises(FileExistsError, match="is there already"):
        create(folder)
    with pytest.raises(FileExistsError, match="is there already"):
        fork([folder / "objects/pack"], {}, folder)
    assert refs(folder) == {"refs/heads/main": commit}


def test_making_one_that_is_killed_leaves_all_or_nothing(tmp_path):
    program = "import sys, pathlib; from regrow.hub_service.repositories import create; print(); sys.stdout.flush()\n"
    program += "for n in range(9999): create(pathlib.Path(sys.argv[1]) / str(n))"
    for wait_s in (0.001, 0.005, 0.01, 0.02, 0.05):
        place = tmp_path / str(wait_s)
        place.mkdir()
        process = subprocess.Popen([sys.executable, "-c", program, str(place)], stdout=subprocess.PIPE)
        process.stdout.readline()
        time.sleep(wait_s)
        process.send_signal(signal.SIGKILL)
        process.wait()
        for made in place.iterdir():
            if not made.name.endswith(".new"):
                assert git(made, "symbolic-ref", "HEAD") == "refs/heads/published"
                assert git(made, "config", "receive.autogc") == "false"


def test_pushes_stay_packs(folder, work):
    for number in range(3):
        push(work, folder, "refs/heads/main", b"%d" % number)
    assert len(packs(folder)) == 3
    assert git(folder, "count-objects") == "0 objects, 0 kilobytes"


def test_a_fork_is_links_and_survives_its_source(folder, work, tmp_path):
    commit = push(work, folder, "refs/heads/main", random.Random(1).randbytes(100_000))
    forked = tmp_path / "fork.git"
    fork([folder / "objects/pack"], {"refs/heads/published": commit, "refs/heads/deep/er": commit}, forked)
    assert [path.stat().st_ino for path in packs(forked)] == [path.stat().st_ino for path in packs(folder)]
    shutil.rmtree(folder)
    assert refs(forked) == {"refs/heads/published": commit, "refs/heads/deep/er": commit}
    assert fsck(forked) == ""
    git(tmp_path, "clone", "--quiet", str(forked), "clone")
    assert (tmp_path / "clone/file").read_bytes() == random.Random(1).randbytes(100_000)


def test_a_fork_and_its_source_change_apart(folder, work, tmp_path):
    first = push(work, folder, "refs/heads/main", b"one")
    forked = tmp_path / "fork.git"
    fork([folder / "objects/pack"], {"refs/heads/main": first}, forked)
    second = push(work, forked, "refs/heads/main", b"two")
    assert refs(folder) == {"refs/heads/main": first}
    assert refs(forked) == {"refs/heads/main": second}
    for each in (folder, forked):
        repack(each)
        assert fsck(each) == ""


def test_a_fork_of_what_is_not_there_is_not_made(folder, work, tmp_path):
    push(work, folder, "refs/heads/main", b"one")
    before = sorted(tmp_path.iterdir())
    with pytest.raises(Damaged, match="The fork was not made"):
        fork([folder / "objects/pack"], {"refs/heads/main": "1" * 40}, tmp_path / "fork.git")
    assert sorted(tmp_path.iterdir()) == before


def test_a_pack_without_its_index_is_no_part_of_a_fork_and_an_index_alone_is_damage(folder, work, tmp_path):
    commit = push(work, folder, "refs/heads/main", b"one")
    place = folder / "objects/pack"
    (place / f"pack-{'1' * 40}.pack").write_bytes(b"half")
    (place / "tmp_pack_x").write_bytes(b"half")
    fork([place], {"refs/heads/main": commit}, tmp_path / "fork.git")
    assert len(packs(tmp_path / "fork.git")) == 1
    (place / f"pack-{'2' * 40}.idx").write_bytes(b"half")
    with pytest.raises(Damaged, match=r"packs of project\.git"):
        fork([place], {"refs/heads/main": commit}, tmp_path / "another.git")
    assert not (tmp_path / "another.git").exists()


def test_links_among_packs_are_not_followed(folder, work, tmp_path):
    commit = push(work, folder, "refs/heads/main", b"one")
    (tmp_path / "secret").write_text("secret")
    for suffix in ("pack", "idx"):
        (folder / f"objects/pack/pack-{'1' * 40}.{suffix}").symlink_to(tmp_path / "secret")
    fork([folder / "objects/pack"], {"refs/heads/main": commit}, tmp_path / "fork.git")
    assert len(packs(tmp_path / "fork.git")) == 1


def test_forks_are_whole_while_their_source_is_repacked(folder, work, tmp_path):
    commits = [push(work, folder, f"refs/heads/b{number}", b"%d" % number) for number in range(12)]
    wanted = {f"refs/heads/b{number}": commit for number, commit in enumerate(commits)}
    with ThreadPoolExecutor(1) as beside:
        for number in range(8):
            repacking = beside.submit(repack, folder)
            fork([folder / "objects/pack"], wanted, tmp_path / f"fork{number}.git")
            repacking.result()
            assert fsck(tmp_path / f"fork{number}.git") == ""
            indexes = (tmp_path / f"fork{number}.git/objects/pack").glob("*.idx")
            assert {pack.stem for pack in packs(tmp_path / f"fork{number}.git")} == {index.stem for index in indexes}
            push(work, folder, "refs/heads/more", b"more %d" % number)


def test_refs_are_listed_below_a_prefix(folder, work):
    commit = push(work, folder, "refs/heads/main", b"one")
    set_ref(folder, "refs/regrow/states/1", commit, None)
    set_ref(folder, "refs/regrow/states/ü", commit, None)
    assert refs(folder, "refs/regrow/") == {"refs/regrow/states/1": commit, "refs/regrow/states/ü": commit}
    assert refs(folder, "--sort=x") == {}


def test_a_ref_moves_only_from_where_it_is_expected(folder, work):
    first = push(work, folder, "refs/heads/a", b"one")
    second = push(work, folder, "refs/heads/b", b"two")
    set_ref(folder, "refs/heads/published", first, None)
    with pytest.raises(Moved, match=f"refs/heads/published is at {first}, not at nothing"):
        set_ref(folder, "refs/heads/published", second, None)
    with pytest.raises(Moved, match=f"is at {first}, not at {second}"):
        set_ref(folder, "refs/heads/published", None, second)
    set_ref(folder, "refs/heads/published", second, first)
    assert refs(folder)["refs/heads/published"] == second
    set_ref(folder, "refs/heads/published", None, second)
    assert "refs/heads/published" not in refs(folder)
    with pytest.raises(Moved, match="is at nothing"):
        set_ref(folder, "refs/heads/published", None, second)


def test_of_two_that_move_a_ref_at_once_one_does(folder, work):
    first = push(work, folder, "refs/heads/main", b"one")
    others = [push(work, folder, f"refs/heads/b{number}", b"%d" % number) for number in range(4)]
    barrier = threading.Barrier(4)

    def move(commit):
        barrier.wait()
        try:
            set_ref(folder, "refs/heads/main", commit, first)
        except (Moved, GitError):
            return 0
        return 1

    with ThreadPoolExecutor(4) as threads:
        assert sum(threads.map(move, others)) == 1


def test_names_that_are_no_refs_are_refused(folder, work):
    commit = push(work, folder, "refs/heads/main", b"one")
    before = refs(folder)
    for ref in ("refs/heads/../x", "refs/heads/.x", "refs/heads/x.lock", "refs/heads/~"):
        with pytest.raises(GitError):
            set_ref(folder, ref, commit, None)
    for ref in (
        "refs/heads/a b",
        "refs/heads/a\nupdate refs/heads/b",
        "refs/heads/a\0b",
        "--stdin",
        "config",
        "HEAD",
        "",
    ):
        with pytest.raises(ValueError, match="can't be set"):
            set_ref(folder, ref, commit, None)
    for to in ("HEAD", "--help", commit[:7]):
        with pytest.raises(ValueError, match="can't be set"):
            set_ref(folder, "refs/heads/a", to, None)
    assert refs(folder) == before


def test_the_size_is_of_what_a_repository_has_alone(folder, work, tmp_path):
    empty = size_bytes(folder)
    commit = push(work, folder, "refs/heads/main", random.Random(1).randbytes(1_000_000))
    assert 1_000_000 < size_bytes(folder) - empty < 1_100_000
    fork([folder / "objects/pack"], {"refs/heads/main": commit}, tmp_path / "fork.git")
    # What both have is nobody's alone, until one of them is gone.
    assert size_bytes(tmp_path / "fork.git") < 100_000
    shutil.rmtree(folder)
    assert size_bytes(tmp_path / "fork.git") > 1_000_000


def test_repacking_leaves_few_packs_and_every_object(folder, work):
    commits = [push(work, folder, "refs/heads/main", b"%d" % number) for number in range(10)]
    git(work, "checkout", "--quiet", "--orphan", "alone")
    other = push(work, folder, "refs/heads/other", b"other")
    set_ref(folder, "refs/heads/other", None, other)
    repack(folder)
    assert len(packs(folder)) < 4
    for commit in (*commits, other):
        assert git(folder, "cat-file", "-t", commit) == "commit"
    assert fsck(folder) == ""


def test_a_repository_of_many_pushes_is_worth_repacking_once(folder, work):
    for number in range(25):
        push(work, folder, f"refs/regrow/states/{number}", b"%d" % number)
    before = refs(folder)
    assert is_scattered(folder)
    repack(folder)
    assert not is_scattered(folder)
    assert len(packs(folder)) < 4
    assert [path for path in (folder / "refs").rglob("*") if path.is_file()] == []
    assert refs(folder) == before
    push(work, folder, "refs/heads/main", b"new")
    assert not is_scattered(folder)


def test_repacking_a_fork_leaves_what_it_shares_on_the_disk_once(folder, work, tmp_path):
    commit = push(work, folder, "refs/heads/main", random.Random(1).randbytes(200_000))
    forked = tmp_path / "fork.git"
    fork([folder / "objects/pack"], {"refs/heads/main": commit}, forked)
    (shared,) = packs(forked)
    for number in range(5):
        push(work, forked, "refs/heads/main", random.Random(number).randbytes(200_000))
    repack(forked)
    assert len(packs(forked)) < 4
    assert shared.stat().st_nlink == 2
    assert size_bytes(forked) < 1_100_000
    shutil.rmtree(folder)
    assert fsck(forked) == ""


def test_repacking_beside_clones_and_pushes_breaks_neither(folder, work, tmp_path):
    push(work, folder, "refs/heads/main", random.Random(0).randbytes(200_000))
    done = threading.Event()

    def repack_on():
        times = 0
        while not done.is_set():
            repack(folder)
            times += 1
        return times

    with ThreadPoolExecutor(2) as threads:
        repacking = [threads.submit(repack_on) for _ in range(2)]
        try:
            for number in range(12):
                commit = push(work, folder, "refs/heads/main", random.Random(number).randbytes(200_000))
                git(tmp_path, "clone", "--quiet", "--no-local", "-b", "main", f"file://{folder}", f"clone{number}")
                assert git(tmp_path / f"clone{number}", "rev-parse", "HEAD") == commit
        finally:
            done.set()
        assert all(each.result() for each in repacking)
    assert fsck(folder) == ""


def test_a_repack_that_is_killed_loses_nothing_and_the_next_one_does_its_work(folder, work):
    for number in range(10):
        push(work, folder, f"refs/heads/branch{number}", random.Random(number).randbytes(500_000))
    before = refs(folder)
    script = "import sys; from pathlib import Path; from regrow.hub_service.repositories import repack; "
    command = [sys.executable, "-c", f"{script}print(flush=True); repack(Path(sys.argv[1]))", str(folder)]
    for number in range(8):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True)
        process.stdout.readline()
        time.sleep(0.008 * number)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        assert refs(folder) == before
        assert fsck(folder) == ""
    remove_litter(folder, time.time() + 25 * 3600)
    repack(folder)
    assert len(packs(folder)) < 4
    assert refs(folder) == before
    assert fsck(folder) == ""


LITTER = [
    *("objects/tmp_objdir-incoming-abc/pack", "objects/pack/tmp_pack_abc", "objects/pack/.tmp-12-pack-abc.pack"),
    *("packed-refs.lock", "refs/heads/main.lock"),
]


@pytest.mark.parametrize("name", LITTER)
def test_what_git_left_when_it_was_killed_is_removed_after_a_day(folder, work, name):
    push(work, folder, "refs/heads/main", b"one")
    litter = folder / name
    litter.parent.mkdir(exist_ok=True)
    litter.touch()
    remove_litter(folder, time.time() + 3600)
    assert litter.exists()
    remove_litter(folder, time.time() + 25 * 3600)
    assert not litter.exists()
    push(work, folder, "refs/heads/main", b"two")
    repack(folder)
    assert fsck(folder) == ""


def test_settings_of_the_hubs_own_user_change_nothing(tmp_path, monkeypatch):
    (tmp_path / ".gitconfig").write_text("[init]\ndefaultObjectFormat = sha256\n[core]\nlogAllRefUpdates = always\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_DIR", os.devnull)
    create(tmp_path / "new.git")
    assert refs(tmp_path / "new.git") == {}
