"""What a snapshot has, and what taking it leaves alone."""

import contextlib
import os
import random
import re
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from regrow.projects import index
from regrow.projects.errors import BadName, NotAProject, ProjectError
from regrow.projects.large_files import InStore, Kept
from regrow.projects.pointers import Pointer, parse
from regrow.projects.restore import restore
from regrow.projects.scan import LARGE_BYTES
from regrow.projects.shadow import shadow
from regrow.projects.snapshot import latest, snapshots, take
from regrow.store import Store, StoreFull


def noise(seed, size=LARGE_BYTES + 100):
    return random.Random(seed).randbytes(size)


def tree(git, project, commit):
    """What a commit has: each path's mode and content, as git has it."""
    files = {}
    for line in git(project, "ls-tree", "-r", "-z", commit).split("\0")[:-1]:
        about, path = line.split("\t", 1)
        mode, _, blob = about.split(" ")
        files[path] = (mode, git(project, "cat-file", "-p", blob) if mode != "160000" else blob)
    return files


def test_a_snapshot_has_the_files_as_they_are(project, files, git):
    (project / "a.py").write_text("a = 1\n")
    (project / "sub/deep").mkdir(parents=True)
    (project / "sub/deep/run.sh").write_text("true\n")
    (project / "sub/deep/run.sh").chmod(0o755)
    (project / "link").symlink_to("/etc/passwd")
    taken = take(project, files)
    assert taken.is_new and taken.warnings == []
    assert tree(git, project, taken.snapshot.commit) == {
        "a.py": ("100644", "a = 1\n"),
        "link": ("120000", "/etc/passwd"),
        "sub/deep/run.sh": ("100755", "true\n"),
    }


def test_the_users_index_branch_and_merge_are_untouched(project, files, git):
    (project / "a.txt").write_text("one\n")
    git(project, "add", "a.txt")
    git(project, "commit", "--quiet", "-m", "first")
    (project / "a.txt").write_text("staged\n")
    git(project, "add", "a.txt")
    (project / "a.txt").write_text("in the file\n")
    before = (
        git(project, "status", "--porcelain"),
        git(project, "rev-parse", "HEAD"),
        git(project, "diff", "--cached"),
    )
    index = (project / ".git/index").read_bytes()
    taken = take(project, files)
    assert (project / ".git/index").read_bytes() == index
    after = (git(project, "status", "--porcelain"), git(project, "rev-parse", "HEAD"), git(project, "diff", "--cached"))
    assert after == before
    assert tree(git, project, taken.snapshot.commit)["a.txt"] == ("100644", "in the file\n")
    assert git(project, "branch", "--all").strip() == "* main"


def test_large_files_are_pointers_in_git_and_content_in_the_store(project, files, git, store):
    (project / "model.bin").write_bytes(noise(1))
    (project / "small.bin").write_bytes(noise(2, LARGE_BYTES))
    taken = take(project, files)
    files = tree(git, project, taken.snapshot.commit)
    pointer = parse(files["model.bin"][1].encode())
    assert pointer.size == LARGE_BYTES + 100
    assert store.read(store.recipe(pointer.name)) == noise(1)
    assert parse(git(project, "cat-file", "-p", f"{taken.snapshot.commit}:small.bin").encode(errors="replace")) is None
    smudged = subprocess.run(["git", "lfs", "pointer", "--check", "--stdin"], input=pointer.encode(), cwd=project)
    assert smudged.returncode == 0


def test_a_large_file_that_is_changed_or_becomes_small_or_goes_is_followed(project, files, git):
    file = project / "model.bin"
    pointers = []
    for content in (noise(1), noise(2), b"small\n", noise(3), None):
        file.unlink() if content is None else file.write_bytes(content)
        found = tree(git, project, take(project, files).snapshot.commit).get("model.bin")
        pointers.append(found and (parse(found[1].encode()) or found[1]))
    assert isinstance(pointers[0], Pointer) and isinstance(pointers[1], Pointer) and pointers[0] != pointers[1]
    assert pointers[2] == "small\n"
    assert isinstance(pointers[3], Pointer)
    assert pointers[4] is None


def test_a_large_program_stays_executable(project, files, git):
    (project / "tool").write_bytes(noise(1))
    first = take(project, files).snapshot
    (project / "tool").chmod(0o755)
    second = take(project, files).snapshot
    assert [tree(git, project, each.commit)["tool"][0] for each in (first, second)] == ["100644", "100755"]
    (project / "tool").unlink()
    restore(project, files, second)
    assert os.access(project / "tool", os.X_OK)


def test_a_large_file_that_has_not_changed_is_not_read_again(project, files, store):
    (project / "model.bin").write_bytes(noise(1))
    take(project, files)
    (name,) = store.names()
    store.drop(name)
    (project / "other.txt").write_text("x")
    assert take(project, files).is_new
    assert list(store.names()) == []
    (project / "model.bin").touch()
    take(project, files)
    assert list(store.names()) == [name]


def test_another_store_gets_all_large_files(project, files, tmp_path):
    (project / "model.bin").write_bytes(noise(1))
    take(project, files)
    with Store.create(str(tmp_path / "other"), tmp_path / "cache") as other:
        snapshot = take(project, InStore(other)).snapshot
        (project / "model.bin").unlink()
        restore(project, InStore(other), snapshot)
    assert (project / "model.bin").read_bytes() == noise(1)


def test_what_is_ignored_is_left_out(project, files, git):
    (project / ".gitignore").write_text("*.log\n")
    (project / ".regrowignore").write_text("scratch/\n*.ckpt\n")
    (project / "scratch").mkdir()
    for name in ("a.log", "scratch/b", "c.txt"):
        (project / name).write_text("x")
    (project / "big.ckpt").write_bytes(noise(1))
    files = tree(git, project, take(project, files).snapshot.commit)
    assert set(files) == {".gitignore", ".regrowignore", "c.txt"}


def test_filters_hooks_and_line_ends_of_the_user_change_nothing(project, files, git):
    git(project, "config", "filter.shout.clean", "tr a-z A-Z")
    git(project, "config", "core.autocrlf", "true")
    git(project, "config", "core.fsmonitor", "/bin/false")
    (project / ".gitattributes").write_text("*.txt filter=shout text\n")
    (project / ".git/hooks/reference-transaction").write_text("#!/bin/sh\nexit 1\n")
    (project / ".git/hooks/reference-transaction").chmod(0o755)
    (project / "a.txt").write_bytes(b"quiet\r\n")
    taken = take(project, files)
    found = subprocess.run(
        ["git", "cat-file", "-p", f"{taken.snapshot.commit}:a.txt"], cwd=project, capture_output=True
    ).stdout
    assert found == b"quiet\r\n"


def test_names_that_are_not_utf8_and_have_newlines_are_kept(project, files):
    names = [b"we\xffird", b"new\nline", b'quo"te', b"tab\t", "ünï".encode(), b"-dash", b":colon", b"*"]
    for name in names:
        Path(os.fsdecode(os.fsencode(project) + b"/" + name)).write_text("x")
    Path(os.fsdecode(os.fsencode(project) + b"/big\n\xff")).write_bytes(noise(1))
    commit = take(project, files).snapshot.commit
    listed = subprocess.run(["git", "ls-tree", "-r", "-z", "--name-only", commit], cwd=project, capture_output=True)
    assert set(listed.stdout.split(b"\0")[:-1]) == {*names, b"big\n\xff"}


def test_what_lies_behind_a_link_is_not_in_the_project(project, files, git, tmp_path):
    (tmp_path / "outside").mkdir()
    (project / "sub").mkdir()
    for name in ("small", "large"):
        (project / "sub" / name).write_bytes(noise(1, 10 if name == "small" else LARGE_BYTES + 1))
    take(project, files)
    (project / "sub").rename(tmp_path / "outside/sub")
    (project / "sub").symlink_to(tmp_path / "outside/sub")
    taken = take(project, files)
    assert tree(git, project, taken.snapshot.commit) == {"sub": ("120000", f"{tmp_path}/outside/sub")}


@pytest.mark.parametrize("count", [300, 9000], ids=["in one process", "in several"])
def test_many_files_at_once_are_the_same_as_one_by_one(project, files, git, tmp_path, monkeypatch, count):
    places = random.Random(0)
    for number in range(count):
        file = project / f"d{number % 37}/e{number % 5}/f{number}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(places.randbytes(places.randrange(2000)))
    (project / "link").symlink_to("d1")
    (project / "d1/run").write_text("x")
    (project / "d1/run").chmod(0o755)
    (project / "big").write_bytes(noise(1))
    taken = take(project, files)
    assert git(project, "fsck", "--no-dangling", "--strict") == ""
    assert int(re.search(r"in-pack: (\d+)", git(project, "count-objects", "-v"))[1]) > count
    monkeypatch.setenv("GIT_OBJECT_DIRECTORY", str(project / ".git/objects"))
    ours = ("--git-dir=.git/regrow/git", "--work-tree=.")
    assert git(project, *ours, "diff-files") == "", "git need not read any of them again"
    monkeypatch.delenv("GIT_OBJECT_DIRECTORY")
    one_by_one = tmp_path / "index"
    environment = {**os.environ, "GIT_INDEX_FILE": str(one_by_one)}
    subprocess.run(["git", "add", "--all", ":!big"], cwd=project, env=environment, check=True)
    expected = subprocess.run(
        ["git", "ls-files", "--stage"], cwd=project, env=environment, capture_output=True, text=True
    )
    found = git(project, "ls-tree", "-r", "--format=%(objectmode) %(objectname) 0%x09%(path)", taken.snapshot.commit)
    assert [line for line in found.splitlines() if not line.endswith("\tbig")] == expected.stdout.splitlines()
    assert not take(project, files).is_new


@pytest.mark.parametrize("count", [1, 300], ids=["few", "many"])
def test_a_name_that_no_repository_can_have_is_said_and_left_out(project, files, git, count):
    for number in range(count):
        (project / f"{number}").write_text(f"{number}")
    (project / "sub").mkdir()
    for name in (".gitignore", "sub/.GIT", "sub/git~1", "sub/a\\.git", "sub/.g\u200cit"):
        (project / name).write_text("x\n")
    taken = take(project, files)
    assert sorted(taken.warnings) == [
        f"sub/{name} has a name that git does not take, and is not in the snapshot."
        for name in (".GIT", ".g\\u200cit", "a\\.git", "git~1")
    ]
    assert set(tree(git, project, taken.snapshot.commit)) == {*map(str, range(count)), ".gitignore"}
    assert git(project, "fsck", "--no-dangling", "--strict") == ""


def test_what_becomes_of_a_file_another_kind_or_a_folder_is_followed(project, files, git):
    for name in ("folder", "pipe", "link", "nested", "gone/a", "large"):
        (project / name).parent.mkdir(exist_ok=True)
        (project / name).write_bytes(noise(1) if name == "large" else b"x")
    take(project, files)
    for name in ("folder", "pipe", "link", "nested", "large"):
        (project / name).unlink()
    shutil.rmtree(project / "gone")
    os.mkfifo(project / "pipe")
    (project / "link").symlink_to("elsewhere")
    for name in ("folder", "large"):
        (project / name).mkdir()
        (project / name / "file").write_text("y")
    (project / "gone").write_text("a file now")
    (project / "nested").mkdir()
    git(project / "nested", "init", "--quiet")
    git(project / "nested", "commit", "--quiet", "--allow-empty", "-m", "one")
    assert tree(git, project, take(project, files).snapshot.commit) == {
        "folder/file": ("100644", "y"),
        "gone": ("100644", "a file now"),
        "large/file": ("100644", "y"),
        "link": ("120000", "elsewhere"),
        "nested": ("160000", git(project / "nested", "rev-parse", "HEAD").strip()),
    }


@pytest.mark.parametrize("count", [3, 300], ids=["few", "many"])
def test_files_that_were_only_touched_are_read_once_and_kept_once(project, files, git, monkeypatch, count):
    for number in range(count):
        (project / f"{number}").write_text(f"{number}")
    take(project, files)
    objects = git(project, "count-objects", "-v")
    for number in range(count):
        (project / f"{number}").touch()
    assert not take(project, files).is_new
    assert git(project, "count-objects", "-v") == objects
    monkeypatch.setenv("GIT_OBJECT_DIRECTORY", str(project / ".git/objects"))
    assert git(project, "--git-dir=.git/regrow/git", "--work-tree=.", "diff-files") == ""


@pytest.mark.parametrize("count", [1, 300], ids=["few", "many"])
def test_a_file_that_cannot_be_read_is_said_and_the_others_are_in_the_snapshot(project, store, git, tmp_path, count):
    for number in range(count):
        (project / f"{number}").write_text(f"{number}")
    (project / "secret").write_text("x")
    (project / "secret").chmod(0)
    # Root reads everything, unless it may not.
    as_others = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
    with taker(project, store, tmp_path, as_others) as process:
        assert "secret can't be read (Permission denied) and is not in the snapshot." in process.stdout.read().decode()
    assert set(tree(git, project, snapshots(project)[0].commit)) == set(map(str, range(count)))


class Refusing(InStore):
    """A place that does not keep large files, as the hub does with some names."""

    def keep(self, project, files, progress):
        for path, seen in files.items():
            yield Kept(path, None, seen, error="it has an unprintable name")


def test_what_is_said_to_be_left_out_is_not_there_as_it_was_and_is_kept_by_a_restore(project, store, files, git):
    (project / "x").write_text("one")
    first = take(project, files).snapshot
    (project / "x").write_text("two")
    take(project, files)
    (project / "x").write_bytes(noise(1))
    taken = take(project, Refusing(store))
    assert taken.warnings == ["x can't be read (it has an unprintable name) and is not in the snapshot."]
    assert tree(git, project, taken.snapshot.commit) == {}
    done = restore(project, Refusing(store), first)
    assert (project / "x").read_text() == "one"
    (aside,) = project.glob("x.before-*")
    assert aside.read_bytes() == noise(1)
    assert any("is now x.before-" in warning for warning in done.warnings)


@pytest.mark.parametrize("damage", [lambda index: index.unlink(), lambda index: index.write_bytes(b"")])
def test_large_files_are_in_the_next_snapshot_where_the_index_was_lost(project, files, git, damage):
    (project / "large").write_bytes(noise(1))
    take(project, files)
    damage(project / ".git/regrow/git/index")
    (project / "small").write_text("x")
    assert set(tree(git, project, take(project, files).snapshot.commit)) == {"large", "small"}


def test_packs_that_cannot_be_written_are_said(project, files):
    for number in range(300):
        (project / f"{number}").write_text(f"{number}")
    shutil.rmtree(project / ".git/objects/pack")
    (project / ".git/objects/pack").write_text("in the way")
    with pytest.raises(ProjectError, match=r"Could not pack the files of .*File exists.*Try again"):
        take(project, files)
    (project / ".git/objects/pack").unlink()
    assert take(project, files).is_new


def test_without_a_change_there_is_no_new_snapshot_but_a_named_one(project, files):
    (project / "a").write_text("x")
    first = take(project, files)
    assert first.is_new
    again = take(project, files, reason="timer")
    assert not again.is_new and again.snapshot == first.snapshot
    named = take(project, files, name="before the rewrite")
    assert named.is_new and named.snapshot.name == "before the rewrite"
    assert [one.name for one in snapshots(project)] == ["before the rewrite", ""]


def test_snapshots_are_in_the_order_in_which_they_were_taken_whatever_the_clock_says(project, files):
    times = iter([2_000_000_000.0, 2_000_000_000.0, 1_000_000_000.0])
    taken = []
    for number in range(3):
        (project / "a").write_text(str(number))
        taken.append(take(project, files, now=lambda: next(times)).snapshot)
    assert snapshots(project) == taken[::-1]
    assert latest(project) == taken[-1]


def test_a_snapshot_descends_from_the_one_before_and_from_the_users_commit(project, files, git):
    (project / "a").write_text("1")
    first = take(project, files).snapshot.commit
    git(project, "add", "a")
    git(project, "commit", "--quiet", "-m", "mine")
    mine = git(project, "rev-parse", "HEAD").strip()
    second = take(project, files).snapshot.commit
    assert git(project, "rev-list", "--parents", "-1", second).split() == [second, first, mine]
    (project / "a").write_text("2")
    third = take(project, files).snapshot.commit
    assert git(project, "rev-list", "--parents", "-1", third).split() == [third, second]


def test_a_repository_inside_is_said_to_be_left_out(project, files, git):
    for name in ("empty", "with"):
        (project / name).mkdir()
        git(project / name, "init", "--quiet")
        (project / name / "file").write_text("x")
    git(project / "with", "add", "file")
    git(project / "with", "commit", "--quiet", "-m", "one")
    (project / "a").write_text("x")
    taken = take(project, files)
    assert taken.warnings == [
        "empty is a repository without a commit and not in the snapshot.",
        "with is a repository of its own: the snapshot has only which commit it is at.",
    ]
    assert set(tree(git, project, taken.snapshot.commit)) == {"a", "with"}


def test_pipes_sockets_and_devices_are_left_out_and_nothing_waits_for_them(project, files, git):
    os.mkfifo(project / "pipe")
    (project / "a").write_text("x")
    assert set(tree(git, project, take(project, files).snapshot.commit)) == {"a"}


def test_a_large_file_that_is_written_to_all_the_time_is_in_the_snapshot_with_a_warning(project, files, git, store):
    file = project / "log.bin"
    file.write_bytes(bytes(20_000_000))
    stop = threading.Event()

    def write():
        with file.open("ab", buffering=0) as log:
            while not stop.is_set():
                log.write(b"x")

    writing = threading.Thread(target=write)
    writing.start()
    try:
        taken = take(project, files)
    finally:
        stop.set()
        writing.join()
    assert taken.warnings == ["log.bin was written to while it was read: the snapshot has a mixture."]
    pointer = parse(tree(git, project, taken.snapshot.commit)["log.bin"][1].encode())
    assert store.read(store.recipe(pointer.name)).startswith(bytes(20_000_000))
    assert take(project, files).warnings == []


@pytest.mark.parametrize("name", ["two\nlines", "x" * 201, "\0", "\x1b[31m"])
def test_a_name_that_is_no_line_of_text_is_refused(project, files, name):
    with pytest.raises(BadName, match="can't be a snapshot's name"):
        take(project, files, name=name)
    assert snapshots(project) == []


def test_a_folder_that_is_no_project_is_said(tmp_path, files):
    with pytest.raises(NotAProject, match="is not a project of yours"):
        take(tmp_path, files)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts a small disk")
def test_a_full_store_leaves_the_project_as_it_was(project, tmp_path, git):
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", disk], check=True)
    try:
        with Store.create(str(disk / "store"), tmp_path / "cache") as small:
            (project / "a").write_text("x")
            first = take(project, InStore(small)).snapshot
            (project / "big").write_bytes(noise(1, 20_000_000))
            with pytest.raises(StoreFull, match="There is no room left"):
                take(project, InStore(small))
            assert snapshots(project) == [first]
            subprocess.run(["mount", "-o", "remount,size=64m", disk], check=True)
            assert "big" in tree(git, project, take(project, InStore(small)).snapshot.commit)
    finally:
        subprocess.run(["umount", disk], check=True)


TAKER = """
import sys
from pathlib import Path
from regrow.projects.large_files import InStore, Kept
from regrow.projects.snapshot import take
from regrow.store import Store
with Store.open(sys.argv[2], Path(sys.argv[3])) as store:
    print("begun", flush=True)
    for warning in take(Path(sys.argv[1]), InStore(store)).warnings:
        print(warning)
"""


def taker(project, store, tmp_path, before=()):
    command = [*before, sys.executable, "-c", TAKER, str(project), store.backend.url, str(tmp_path / "cache")]
    return subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True)


@pytest.mark.parametrize("delay_s", [0.01, 0.03, 0.06, 0.1, 0.15, 0.2, 0.3])
def test_a_snapshot_that_is_killed_leaves_a_project_of_which_the_next_one_is_whole(
    project, files, store, git, tmp_path, delay_s
):
    (project / "first").write_text("x")
    first = take(project, files).snapshot
    for number in range(2500):
        (project / f"f{number}").write_text(str(number))
    (project / "big").write_bytes(noise(1, 5_000_000))
    with taker(project, store, tmp_path) as process:
        process.stdout.readline()
        time.sleep(delay_s)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, 9)
    assert git(project, "fsck", "--no-dangling") == ""
    assert snapshots(project)[-1] == first
    whole = take(project, files).snapshot
    assert len(tree(git, project, whole.commit)) == 2502
    assert git(project, "fsck", "--no-dangling") == ""
    for file in ("f7", "big"):
        (project / file).unlink()
    restore(project, files, whole)
    assert (project / "big").read_bytes() == noise(1, 5_000_000)
    assert (project / "f7").read_text() == "7"


def test_many_at_once_take_their_turns(project, store, tmp_path, git):
    for number in range(50):
        (project / f"f{number}").write_text(str(number))
    (project / "big").write_bytes(noise(1))
    processes = [taker(project, store, tmp_path) for _ in range(4)]
    assert [process.wait() for process in processes] == [0] * 4
    for process in processes:
        process.stdout.close()
    assert len(snapshots(project)) == 1
    assert git(project, "fsck", "--no-dangling") == ""


@pytest.mark.parametrize("seed", range(12))
def test_after_many_changes_a_snapshot_is_the_tree_that_git_makes(project, files, git, monkeypatch, seed):
    # Where many files change at once, it is made of the last one's tree.
    monkeypatch.setattr(index, "_MANY", 1)
    choice = random.Random(seed)
    for _ in range(4):
        for path in choice.sample(["a", "b", "c/a", "c/b", "c/d/a", "c/d/e/a", "f-g", "f/g", "f.g"], 5):
            file = project / path
            blocked = next((above for above in file.parents if above.is_file()), None)
            if blocked:
                blocked.unlink()  # a folder takes the file's place
            if file.is_dir() and choice.random() < 0.5:
                shutil.rmtree(file)
            if not file.is_dir():
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(f"{choice.random()}\n")
                file.chmod(choice.choice([0o644, 0o755]))
        for path in choice.sample([*project.glob("[a-f]*"), *project.glob("[a-f]*/*")], 2):
            if not path.exists():
                continue  # it was in the other one
            if choice.random() < 0.6:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            elif path.is_dir():  # a file takes the folder's place
                shutil.rmtree(path)
                path.write_text("a file\n")
        commit = take(project, files).snapshot.commit
        there = {str(path.relative_to(project)) for path in project.rglob("*") if path.is_file()}
        assert tree(git, project, commit).keys() == {path for path in there if not path.startswith(".git")}
        with shadow(project) as ours:
            made = ours.git("write-tree").decode()
        assert git(project, "rev-parse", f"{commit}^{{tree}}") == made
    git(project, "fsck", "--strict")


def test_where_the_last_snapshots_tree_is_damaged_the_next_one_is_whole(project, files, git, monkeypatch):
    (project / "sub").mkdir()
    (project / "sub/a").write_text("a\n")
    (project / "b").write_text("b\n")
    first = take(project, files).snapshot
    damaged = git(project, "rev-parse", f"{first.commit}:sub").strip()
    (project / ".git/objects" / damaged[:2] / damaged[2:]).unlink()
    monkeypatch.setattr(index, "_MANY", 1)
    (project / "sub/a").write_text("changed\n")
    (project / "b").write_text("changed\n")
    second = take(project, files).snapshot
    assert first.commit != second.commit
    assert tree(git, project, second.commit).keys() == {"b", "sub/a"}


def test_no_snapshot_has_what_git_has_lost(project, files, git, monkeypatch):
    monkeypatch.setattr(index, "_MANY", 1)
    (project / "a").write_text("a\n")
    (project / "b").write_text("b\n")
    first = take(project, files).snapshot
    (project / "a").write_text("changed\n")
    with monkeypatch.context() as killed:
        killed.setattr(index.Index, "tree", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            take(project, files)
    # Nothing refers to what was put in.
    git(project, "prune", "--expire=now")
    git(project, "repack", "-a", "-d", "--quiet")
    (project / "b").write_text("changed, too\n")
    with pytest.raises(ProjectError, match="error building trees"):
        take(project, files)
    assert latest(project) == first
