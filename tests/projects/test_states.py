"""What of a snapshot leaves the project: large files by attributes, its parent, sending and fetching."""

import os
import subprocess

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from regrow.projects.attributes import with_large, without_large
from regrow.projects.changes import pointers_of_tree
from regrow.projects.git import git as run_git
from regrow.projects.pointers import Pointer
from regrow.projects.scan import LARGE_BYTES
from regrow.projects.snapshot import take
from regrow.projects.states import UPSTREAM, NotTransferred, fetch_state, make_state, push_state

POINTER = Pointer("a" * 64, 5 * 1024 * 1024)
ODD = (
    "plain.bin", "with space.bin", 'quo"te.bin', "back\\slash.bin", "st*r.bin", "qu?stion.bin", "[br]acket.bin",
    "!not.bin", "#hash.bin", " leading.bin", "trailing ", "tab\tnew\nline.bin", "ünï.bin", os.fsdecode(b"raw\xff\xfe.bin"),
    "sub/folder/deep.bin", "sub/!not", "del\x7f\x01.bin", "a\\*b", "{brace,s}.bin", "[attr]lfs", "-dash", "**/x",
)  # fmt: skip
# What a pattern that is not escaped would match too.
DECOYS = (
    "sub/plain.bin", "starr.bin", "stXr.bin", "quXstion.bin", "b.bin", "bracket.bin", "backslash.bin", "not.bin", "with", "x",
    "a\\Xb", "s.bin", "y/x", "raw.bin", "trailing", "sub/folder/sub/folder/deep.bin",
)  # fmt: skip


def tree_of(folder, entries):
    """A tree of `{path: content}`, in the object database only."""
    index = {"GIT_INDEX_FILE": str(folder / "test-index")}
    lines = b""
    for path, content in entries.items():
        blob = run_git(folder, "hash-object", "-w", "--stdin", input=content).strip()
        lines += b"100644 " + blob + b"\t" + os.fsencode(path) + b"\0"
    run_git(folder, "read-tree", "--empty", environment=index)
    run_git(folder, "update-index", "-z", "--index-info", input=lines, environment=index)
    return run_git(folder, "write-tree", environment=index).decode().strip()


def filtered(folder, tree, paths):
    """Those of `paths` that stock git takes for LFS's in a checkout of `tree`."""
    index = {"GIT_INDEX_FILE": str(folder / "test-index")}
    run_git(folder, "read-tree", tree, environment=index)
    asked = b"".join(os.fsencode(path) + b"\0" for path in paths)
    said = run_git(folder, "check-attr", "--cached", "-z", "--stdin", "filter", input=asked, environment=index)
    fields = said.split(b"\0")
    return {os.fsdecode(path) for path, value in zip(fields[0::3], fields[2::3], strict=False) if value == b"lfs"}


def attributes(folder, tree):
    return run_git(folder, "cat-file", "blob", f"{tree}:.gitattributes")


@pytest.fixture(scope="module")
def bare(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bare")
    run_git(folder, "init", "--quiet", "--bare")
    return folder


@pytest.fixture
def hub(tmp_path, git):
    """A bare repository, as the hub has one."""
    git(tmp_path, "init", "--quiet", "--bare", "hub.git")
    return tmp_path / "hub.git"


def large(seed):
    return bytes([seed]) * (LARGE_BYTES + 1)


def test_exactly_the_large_files_are_named_whatever_their_paths(bare):
    small = {path: b"small" for path in DECOYS if path not in ODD}
    tree = tree_of(bare, {**dict.fromkeys(ODD, POINTER.encode()), **small})
    done = with_large(bare, tree)
    assert set(done.pointers) == set(ODD)
    assert done.warnings == []
    assert filtered(bare, done.tree, [*ODD, *small]) == set(ODD)


@given(path=st.binary(min_size=1, max_size=12), other=st.binary(min_size=1, max_size=12))
@settings(max_examples=40, deadline=None)
def test_no_name_of_a_file_names_another(bare, path, other):
    names = [name.replace(b"\0", b"0").replace(b"/", b"*") for name in (path, other)]
    if names[0] == names[1] or not {b".", b"..", b".gitattributes"}.isdisjoint(names):
        return
    if any(name.lower().startswith((b".git", b"git~")) for name in names):
        return
    one, two = map(os.fsdecode, names)
    done = with_large(bare, tree_of(bare, {one: POINTER.encode(), two: b"small"}))
    assert filtered(bare, done.tree, [one, two]) == {one}


MARKS = st.sampled_from(
    [
        b"# Large files, kept by Regrow; clones get them by Git LFS",
        b"# Large files, kept by Regrow; clones get them by Git LFS (the line above had no end)",
        b"# Large files, kept by Regrow; clones get them by Git LFS (this file was empty)",
        b"# End of large files",
        b"*.png binary",
        b"\n",
        b"\r\n",
        b"",
    ]
)


@given(content=st.none() | st.lists(MARKS | st.binary(max_size=8), max_size=8).map(b"".join))
@example(content=b"")
@example(content=b"*.txt text")
@settings(max_examples=60, deadline=None)
def test_taking_the_block_away_gives_the_very_same_tree(bare, content):
    entries = {"model.bin": POINTER.encode(), "a.py": b"a\n"}
    plain = without_large(bare, tree_of(bare, entries | ({} if content is None else {".gitattributes": content})))
    assert without_large(bare, plain) == plain
    attributed = with_large(bare, plain).tree
    assert attributed != plain
    assert without_large(bare, attributed) == plain
    assert with_large(bare, attributed).tree == attributed


def test_lines_that_a_user_has_added_below_stay(bare):
    tree = tree_of(bare, {"m.bin": POINTER.encode(), ".gitattributes": b"*.a text"})
    changed = attributes(bare, with_large(bare, tree).tree) + b"*.b text\n"
    tree = tree_of(bare, {"m.bin": POINTER.encode(), ".gitattributes": changed})
    assert attributes(bare, without_large(bare, tree)) == b"*.a text\n*.b text\n"


def test_a_tree_without_large_files_is_unchanged(bare):
    tree = tree_of(bare, {"a.py": b"a = 1\n", "like": POINTER.encode() + b"more\n"})
    assert with_large(bare, tree).tree == tree
    assert without_large(bare, tree) == tree


def test_attributes_that_are_a_folder_are_left_and_said(bare):
    tree = tree_of(bare, {"m.bin": POINTER.encode(), ".gitattributes/x": b"x"})
    done = with_large(bare, tree)
    assert done.tree == tree == without_large(bare, tree)
    assert ".gitattributes is not an ordinary file" in done.warnings[0]


def test_attributes_that_are_a_link_are_left_and_said(project, files):
    (project / "m.bin").write_bytes(large(1))
    (project / ".gitattributes").symlink_to("/etc/passwd")
    snapshot = take(project, files).snapshot
    state = make_state(project, snapshot)
    assert state.tree == run_git(project, "rev-parse", f"{snapshot.commit}^{{tree}}").decode().strip()
    assert ".gitattributes is not an ordinary file" in state.warnings[0]


def test_a_path_too_long_for_gits_attributes_is_said(bare):
    path = "/".join(["d" * 200] * 11)
    done = with_large(bare, tree_of(bare, {path: POINTER.encode(), "m.bin": POINTER.encode()}))
    assert [path in warning for warning in done.warnings] == [True]
    assert filtered(bare, done.tree, [path, "m.bin"]) == {"m.bin"}


def test_a_missing_object_is_said(bare):
    entry = b"100644 blob " + b"1" * 40 + b"\tx\0"
    tree = run_git(bare, "mktree", "-z", "--missing", input=entry).decode().strip()
    with pytest.raises(Exception, match="is damaged: the object 1111"):
        pointers_of_tree(bare, tree)


def commit(project, git, message):
    git(project, "add", "--all", ".")
    git(project, "commit", "--quiet", "--message", message)
    return git(project, "rev-parse", "HEAD").strip()


def test_a_state_has_the_snapshots_tree_and_no_earlier_snapshot(project, files, git):
    (project / "a.py").write_text("a = 1\n")
    branch = commit(project, git, "first")
    (project / "secret").write_text("hunter2\n")
    secret = take(project, files).snapshot
    (project / "secret").unlink()
    (project / "model.bin").write_bytes(large(1))
    snapshot = take(project, files, name="clean").snapshot
    state = make_state(project, snapshot)
    assert state.id == snapshot.id
    assert git(project, "rev-parse", f"refs/regrow/states/{snapshot.id}").strip() == state.commit
    assert git(project, "log", "-1", "--format=%P", state.commit).strip() == branch
    same = ["log", "-1", "--format=%an %ae %at %cn %ce %ct %B"]
    assert git(project, *same, state.commit) == git(project, *same, snapshot.commit)
    assert without_large(project, state.tree) == git(project, "rev-parse", f"{snapshot.commit}^{{tree}}").strip()
    assert list(state.pointers) == ["model.bin"]
    assert secret.commit not in git(project, "rev-list", state.commit)
    assert make_state(project, snapshot) == state


@pytest.mark.parametrize("keeps_it_elsewhere", [False, True])
def test_a_commit_that_the_user_has_taken_back_is_not_in_a_state(project, files, git, keeps_it_elsewhere):
    (project / "a.py").write_text("a = 1\n")
    first = commit(project, git, "first")
    (project / "secret").write_text("hunter2\n")
    commit(project, git, "oh no")
    if keeps_it_elsewhere:
        git(project, "branch", "private")
    take(project, files)
    git(project, "reset", "--quiet", "--hard", first)
    state = make_state(project, take(project, files).snapshot)
    assert git(project, "rev-list", state.commit).split() == [state.commit, first]


def test_a_state_keeps_its_parent_when_the_branch_goes_on(project, files, git):
    (project / "a.py").write_text("a = 1\n")
    first = commit(project, git, "first")
    (project / "a.py").write_text("a = 2\n")
    snapshot = take(project, files).snapshot
    before = make_state(project, snapshot)
    commit(project, git, "second")
    git(project, "switch", "--quiet", "--orphan", "elsewhere")
    assert make_state(project, snapshot) == before
    assert git(project, "log", "-1", "--format=%P", before.commit).strip() == first


def test_the_state_of_a_project_without_a_commit_has_no_parent(project, files, git):
    (project / "a.py").write_text("a = 1\n")
    state = make_state(project, take(project, files).snapshot)
    assert git(project, "log", "-1", "--format=%P", state.commit).strip() == ""


def test_a_state_is_sent_whole_and_without_what_the_user_has_set(project, files, hub, git, tmp_path):
    (project / "a.py").write_text("a = 1\n")
    commit(project, git, "first")
    (project / "model.bin").write_bytes(large(1))
    trap = project / ".git/hooks/pre-push"
    trap.parent.mkdir(exist_ok=True)
    trap.write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\nexit 1\n")
    trap.chmod(0o755)
    git(project, "config", f"url.{tmp_path}/elsewhere.insteadOf", f"file://{hub}")
    git(project, "config", "credential.helper", f"!touch {tmp_path}/ran")
    state = make_state(project, take(project, files).snapshot)
    assert push_state(project, f"file://{hub}", state, {}) == []
    assert git(hub, "for-each-ref", "--format=%(objectname) %(refname)").split() == [
        state.commit,
        f"refs/regrow/states/{state.id}",
    ]
    git(hub, "fsck", "--strict", "--connectivity-only")
    assert not (tmp_path / "ran").exists()


def test_branches_that_the_other_side_has_moved_on_are_refused_and_said(project, files, hub, git, tmp_path):
    (project / "a.py").write_text("a = 1\n")
    commit(project, git, "first")
    git(project, "branch", "published")
    state = make_state(project, take(project, files).snapshot)
    said = push_state(project, str(hub), state, {}, branches=True)
    assert said == ["The branch published was not sent: publishing is what sets it there."]
    git(project, "branch", "--delete", "published")
    git(tmp_path, "clone", "--quiet", str(hub), "--branch", "main", "other")
    (tmp_path / "other/b.py").write_text("b = 1\n")
    theirs = commit(tmp_path / "other", git, "theirs")
    git(tmp_path / "other", "push", "--quiet", "origin", "main")
    (project / "c.py").write_text("c = 1\n")
    commit(project, git, "ours")
    git(project, "branch", "work")
    state = make_state(project, take(project, files, name="again").snapshot)
    (refusal,) = push_state(project, str(hub), state, {}, branches=True)
    assert refusal.startswith("The branch main was not sent (")
    assert "Nothing was overwritten." in refusal
    there = git(hub, "for-each-ref", "--format=%(refname)")
    assert f"refs/regrow/states/{state.id}" in there
    assert "refs/heads/work" in there
    assert git(hub, "rev-parse", "main").strip() == theirs


def test_a_push_to_nowhere_says_what_is_kept(project, files, tmp_path):
    (project / "a.py").write_text("a = 1\n")
    state = make_state(project, take(project, files).snapshot)
    with pytest.raises(NotTransferred, match=r"could not be sent \(.*\)\. It is kept here\. Try again\."):
        push_state(project, str(tmp_path / "nowhere"), state, {})


def test_credentials_in_a_url_are_refused(project, files):
    (project / "a.py").write_text("a = 1\n")
    state = make_state(project, take(project, files).snapshot)
    with pytest.raises(ValueError, match="environment"):
        push_state(project, "https://user:token@hub.example/x", state, {})


@pytest.mark.parametrize("url", ["ext::sh -c 'touch ran'", "--upload-pack=touch ran", "ssh://hub.example/x"])
def test_a_url_that_would_run_something_is_refused(project, url):
    with pytest.raises(NotTransferred):
        fetch_state(project, url, {})
    assert not (project / "ran").exists()


def test_what_upstream_has_published_is_fetched_again_and_again(project, files, hub, git, tmp_path):
    (project / "a.py").write_text("a = 1\n")
    (project / "model.bin").write_bytes(large(1))
    fork = tmp_path / "fork"
    git(tmp_path, "init", "--quiet", "fork")
    (fork / "untracked").write_text("x")
    for number in range(2):
        (project / "a.py").write_text(f"a = {number}\n")
        state = make_state(project, take(project, files).snapshot)
        push_state(project, str(hub), state, {})
        git(hub, "update-ref", "refs/heads/published", state.commit)
        assert fetch_state(fork, str(hub), {}) == state.commit
        assert git(fork, "rev-parse", UPSTREAM).strip() == state.commit
        assert git(fork, "show", f"{UPSTREAM}:a.py") == f"a = {number}\n"
    assert git(fork, "for-each-ref", "--format=%(refname)").split() == [UPSTREAM]
    assert git(fork, "status", "--porcelain") == "?? untracked\n"


def test_nothing_published_is_said_and_a_ref_that_is_none_refused(project, hub):
    with pytest.raises(NotTransferred, match=r"could not be fetched .*published.* Nothing was changed\."):
        fetch_state(project, str(hub), {})
    with pytest.raises(NotTransferred):
        fetch_state(project, str(hub), {}, ref="+refs/heads/*:refs/heads/*")


def test_a_hostile_tree_is_not_let_in(project, hub, git):
    blob = run_git(hub, "hash-object", "-w", "--stdin", input=b"[core]\n").decode().strip()
    inner = run_git(hub, "mktree", input=f"100644 blob {blob}\tconfig\n".encode()).decode().strip()
    tree = run_git(hub, "mktree", input=f"040000 tree {inner}\t.git\n".encode()).decode().strip()
    git(hub, "update-ref", "refs/heads/published", git(hub, "commit-tree", "-m", "x", tree).strip())
    with pytest.raises(NotTransferred, match=r"Nothing was changed"):
        fetch_state(project, str(hub), {})
    assert git(project, "for-each-ref") == ""


def test_stock_git_and_lfs_take_a_clone_of_a_state_for_what_it_is(project, files, hub, git, tmp_path):
    (project / "model one.bin").write_bytes(large(1))
    (project / "a.py").write_text("a = 1\n")
    state = make_state(project, take(project, files).snapshot)
    push_state(project, str(hub), state, {})
    git(hub, "update-ref", "refs/heads/published", state.commit)
    environment = {**os.environ, "GIT_LFS_SKIP_SMUDGE": "1"}
    command = ["git", "clone", "--quiet", "--branch", "published", str(hub), "clone"]
    subprocess.run(command, cwd=tmp_path, env=environment, check=True, capture_output=True)
    assert git(tmp_path / "clone", "status", "--porcelain") == ""
    assert filtered(tmp_path / "clone", state.commit, ["model one.bin", "a.py"]) == {"model one.bin"}
