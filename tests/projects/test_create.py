"""Making projects: whole, or not at all, and running nothing of where they come from."""

import os
import shutil
import socket
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

from regrow.projects.cloning import CloneError
from regrow.projects.create import (
    check_name,
    create_empty,
    create_from_folder,
    create_from_git,
    create_from_template,
    templates,
)
from regrow.projects.errors import BadName, Damaged, ProjectError, ProjectExists
from regrow.projects.scan import LARGE_BYTES
from regrow.projects.snapshot import take

ROOT = Path(__file__).parents[2]


@pytest.fixture
def projects(tmp_path):
    """A folder for projects, in which nothing is left but what was made."""
    folder = tmp_path / "projects"
    folder.mkdir()
    return folder


@pytest.fixture
def source(tmp_path, git):
    """A repository of two commits on `main` and one on `side`, at `main`, with a change that is not committed."""
    folder = tmp_path / "source"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch=main")
    for number in (1, 2):
        (folder / "a.txt").write_text(f"{number}\n")
        git(folder, "add", ".")
        git(folder, "commit", "--quiet", "-m", f"commit {number}")
    git(folder, "tag", "v1", "HEAD~")
    git(folder, "switch", "--quiet", "-c", "side", "HEAD~")
    git(folder, "commit", "--quiet", "--allow-empty", "-m", "on the side")
    git(folder, "switch", "--quiet", "main")
    (folder / "a.txt").write_text("changed\n")
    return folder


def state(folder):
    """Every file in a folder with its content and time."""
    return {
        path: (path.read_bytes(), path.lstat().st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink()
    }


@pytest.mark.parametrize("name", ["a", "A9", "faces", "x" * 100, "my.model-2_b", "2024"])
def test_plain_names_are_taken(name):
    check_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "x" * 101,
        ".hidden",
        "-rf",
        "_x",
        "a/b",
        "..",
        "a b",
        "ünï",
        "a\n",
        "x.git",
        "x.GIT",
        "x.lock",
        "x.",
        "a\x1b[0m",
    ],
)
def test_other_names_are_refused_with_the_rule(name, projects):
    with pytest.raises(BadName, match="begins with a letter or digit, and does not end in .git") as caught:
        check_name(name)
    assert str(caught.value).isprintable()


def test_an_empty_project_is_a_repository_on_main_with_one_commit(projects, git, files):
    made = create_empty(projects / "faces")
    assert made.project == projects / "faces" and made.warnings == []
    assert git(made.project, "log", "--format=%s", "main").splitlines() == ["Create faces"]
    assert git(made.project, "status", "--porcelain") == ""
    assert take(made.project, files).is_new
    assert [each.name for each in projects.iterdir()] == ["faces"]


def test_a_project_is_committed_by_who_git_says_one_is_and_else_by_regrow(projects, git, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    assert git(create_empty(projects / "one").project, "log", "--format=%an") == "Regrow\n"
    (tmp_path / ".gitconfig").write_text("[user]\n\tname = Grace\n\temail = grace@example.org\n")
    assert git(create_empty(projects / "two").project, "log", "--format=%an %ce") == "Grace grace@example.org\n"


def test_what_is_there_is_never_touched_and_names_that_differ_in_case_are_refused(projects):
    create_empty(projects / "faces")
    (projects / "taken").mkdir()
    for name in ("faces", "taken"):
        with pytest.raises(ProjectExists, match=f"There is a {name} in .* already"):
            create_empty(projects / name)
    with pytest.raises(
        ProjectExists, match="There is a faces in .* Faces would differ from it only in upper and lower"
    ):
        create_empty(projects / "Faces")
    assert sorted(each.name for each in projects.iterdir()) == ["faces", "taken"]


def test_what_a_process_that_died_left_is_removed_and_what_one_is_at_work_on_is_not(projects):
    wait = "import sys, time; print('ready', flush=True); time.sleep(60)"
    code = (
        "from pathlib import Path; from regrow.projects.create import _building\n"
        f"with _building(Path({str(projects / 'other')!r})) as new:\n"
        "    (new / 'half').write_text('x')\n"
        f"    {wait}"
    )
    working = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    try:
        assert working.stdout.readline() == b"ready\n"
        create_empty(projects / "one")
        assert len(list(projects.glob(".regrow-NEW-*"))) == 1
    finally:
        working.kill()
        working.communicate()
    create_empty(projects / "two")
    assert sorted(each.name for each in projects.iterdir()) == ["one", "two"]


def test_there_is_no_project_where_there_is_no_folder_for_it(projects):
    with pytest.raises(ProjectError, match="There is no folder .*nowhere to make a project in"):
        create_empty(projects / "nowhere/faces")


def test_every_template_has_a_line_on_it_and_becomes_a_project(projects, git):
    assert [each.name for each in templates()] == ["blank", "training"]
    for each in templates():
        assert each.description.endswith(".") and "\n" not in each.description
        made = create_from_template(projects / f"my-{each.name}", each.name).project
        assert git(made, "status", "--porcelain", "--ignored") == ""
        committed = set(git(made, "ls-files").split())
        assert {".gitignore", "README.md"} < committed
        assert any(name.endswith(".ipynb") for name in committed)
        assert (made / "README.md").read_text().startswith(f"# my-{each.name}\n")
        for name in committed:
            assert not (made / name).is_symlink()
            assert os.access(made / name, os.W_OK)
        for notebook in made.glob("*.ipynb"):
            nbformat.validate(nbformat.read(notebook, as_version=nbformat.NO_CONVERT))


def test_a_template_that_is_not_there_is_said_with_those_that_are(projects):
    with pytest.raises(ProjectError, match=r"There is no template '\.\./blank'\. There are: blank, training\."):
        create_from_template(projects / "faces", "../blank")
    assert list(projects.iterdir()) == []


def test_the_training_template_trains_and_goes_on_where_it_was(projects, git):
    made = create_from_template(projects / "faces", "training").project
    for epochs, begun in ((6, "from the beginning"), (8, "6 epochs are done already")):
        notebook = nbformat.read(made / "train.ipynb", as_version=4)
        cells = {each.id: each for each in notebook.cells}
        assert "EPOCHS = 40" in cells["settings"].source
        cells["settings"].source = cells["settings"].source.replace("EPOCHS = 40", f"EPOCHS = {epochs}")
        NotebookClient(notebook, resources={"metadata": {"path": str(made)}}).execute()
        assert begun in cells["resume"].outputs[0].text
        accuracy = float(cells["result"].outputs[0].text.removeprefix("test accuracy: "))
        assert accuracy > 0.55  # a coin is right in half
    assert "checkpoints" not in git(made, "status", "--porcelain")


def test_a_wheel_has_the_templates_with_their_hidden_files(tmp_path):
    python = [
        sys.executable,
        "-c",
        "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])",
    ]
    checkout = tmp_path / "checkout"
    about = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    for folder in {Path(each).parts[0] for each in about["package-dir"].values()}:
        shutil.copytree(ROOT / folder, checkout / folder)
    for file in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / file, checkout)
    wanted = {
        f"regrow/projects/{path.relative_to(ROOT / 'projects')}"
        for path in (ROOT / "projects/templates").rglob("*")
        if path.is_file()
    }
    assert "regrow/projects/templates/training/.gitignore" in wanted
    subprocess.run([*python, str(tmp_path)], cwd=checkout, check=True, capture_output=True)
    (wheel,) = tmp_path.glob("*.whl")
    assert wanted <= set(zipfile.ZipFile(wheel).namelist())


def test_a_folder_is_copied_and_left_as_it_is(projects, tmp_path, git):
    source = tmp_path / "source"
    (source / "sub/empty").mkdir(parents=True)
    (source / "sub/run.sh").write_text("true\n")
    (source / "sub/run.sh").chmod(0o755)
    (source / "link").symlink_to("/etc/passwd")
    (source / "-dash").write_text("x")
    (source / os.fsdecode(b"we\xffird")).write_text("y")
    (source / "big.bin").write_bytes(os.urandom(LARGE_BYTES + 1))
    os.mkfifo(source / "pipe")
    (source / "sub").chmod(0o555)
    before = state(source)
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(source / "sock"))
        made = create_from_folder(projects / "copy", source)
    copy = made.project
    assert {str(path.relative_to(source)): what for path, what in before.items()} == {
        str(path.relative_to(copy)): what for path, what in state(copy).items() if ".git" not in path.parts
    }
    assert state(source) == before
    assert (copy / "link").readlink() == Path("/etc/passwd")
    assert os.access(copy / "sub/run.sh", os.X_OK) and (copy / "sub/empty").is_dir()
    assert not (copy / "pipe").exists() and not (copy / "sock").exists()
    assert made.warnings == [
        "pipe is a device, socket or pipe and was left out.",
        "sock is a device, socket or pipe and was left out.",
        "1 files over 1 MiB were copied, but are not in the first commit, as git would be slow with them. "
        "Snapshots have them: big.bin",
    ]
    assert git(copy, "status", "--porcelain").splitlines() == ["?? big.bin"]
    assert git(copy, "rev-list", "--count", "HEAD") == "1\n"


def test_a_repository_is_copied_with_its_branches_tags_snapshots_and_what_is_not_committed(
    projects, source, git, files
):
    snapshot = take(source, files, name="kept").snapshot
    before = state(source)
    copy = create_from_folder(projects / "copy", source).project
    assert state(source) == before
    for each in ("main", "side", "v1", "HEAD", f"refs/regrow/snapshots/{snapshot.id}"):
        assert git(copy, "rev-parse", each) == git(source, "rev-parse", each)
    assert git(copy, "branch", "--show-current") == "main\n"
    assert git(copy, "status", "--porcelain") == " M a.txt\n"
    assert git(copy, "fsck", "--full") == ""
    assert not (copy / ".git/objects/info/alternates").exists() and not (copy / ".git/adopting").exists()


def test_a_copy_of_a_repository_that_is_at_no_branch_is_at_none_either(projects, source, git):
    git(source, "checkout", "--quiet", "--detach")
    git(source, "commit", "--quiet", "-am", "on no branch")
    copy = create_from_folder(projects / "copy", source).project
    assert git(copy, "branch", "--show-current") == ""
    assert git(copy, "log", "-1", "--format=%s") == "on no branch\n"
    assert "adopting" not in git(copy, "for-each-ref")


def test_a_copy_of_a_fork_has_the_objects_that_the_fork_shares(projects, source, tmp_path, git):
    fork = tmp_path / "fork"
    subprocess.run(["git", "clone", "--quiet", "--shared", str(source), str(fork)], check=True)
    copy = create_from_folder(projects / "copy", fork).project
    source.rename(tmp_path / "gone")
    assert git(copy, "log", "--format=%s").splitlines() == ["commit 2", "commit 1"]
    assert git(copy, "fsck", "--full") == ""


def test_nothing_of_a_repository_is_run_when_it_is_copied(projects, source, git, tmp_path):
    ran = tmp_path / "ran"
    run = tmp_path / "run"
    run.write_text(f"#!/bin/sh\ntouch {ran}\nexec cat\n")
    run.chmod(0o755)
    hostile = (
        ("core.fsmonitor", run),
        ("core.sshCommand", run),
        ("uploadpack.packObjectsHook", run),
        ("filter.evil.clean", run),
        ("filter.evil.smudge", run),
        ("filter.evil.process", run),
        ("core.alternateRefsCommand", run),
        ("core.hooksPath", tmp_path / "hooks"),
    )
    (tmp_path / "hooks").mkdir()
    for hook in ("post-checkout", "pre-commit", "reference-transaction", "post-index-change"):
        (tmp_path / "hooks" / hook).write_text(run.read_text())
        (tmp_path / "hooks" / hook).chmod(0o755)
    (source / ".gitattributes").write_text("* filter=evil\n")
    for key, value in hostile:
        git(source, "config", key, str(value))
    create_from_folder(projects / "with", source)
    for file in (source / ".git/refs/heads").iterdir():
        file.unlink()  # without history there is a first commit of the files, which filters would be run for
    (source / ".git/refs/tags/v1").unlink()
    made = create_from_folder(projects / "without", source).project
    assert git(made, "rev-list", "--count", "HEAD") == "1\n"
    assert not ran.exists()
    config = (projects / "with/.git/config").read_text()
    assert str(run) not in config


def test_a_repository_that_is_damaged_is_said_and_nothing_is_left(projects, source, git):
    lost = git(source, "rev-parse", "HEAD^{tree}").strip()
    (source / ".git/objects" / lost[:2] / lost[2:]).unlink()
    with pytest.raises(Damaged, match=r"The history of .*source can't be read: .* Nothing was created\. Try git fsck"):
        create_from_folder(projects / "copy", source)
    assert list(projects.iterdir()) == []


def test_history_that_is_elsewhere_is_not_followed(projects, source, tmp_path, git):
    tree = tmp_path / "tree"
    git(source, "worktree", "add", "--quiet", str(tree), "side")
    made = create_from_folder(projects / "copy", tree)
    assert made.warnings == [f"The history of {tree} is in another place and was not copied."]
    assert git(made.project, "log", "--format=%s") == "Create copy\n"


def test_a_folder_is_not_copied_into_itself_and_no_file_is_a_folder(projects, tmp_path):
    with pytest.raises(ProjectError, match="would be inside"):
        create_from_folder(projects / "copy", tmp_path)
    (tmp_path / "file").write_text("x")
    with pytest.raises(ProjectError, match="is not a folder"):
        create_from_folder(projects / "copy", tmp_path / "file")
    assert list(projects.iterdir()) == []


def test_a_clone_has_all_branches_and_progress_goes_from_nothing_to_all(projects, source, git):
    told = []
    made = create_from_git(projects / "clone", f"file://{source}", lambda done, message: told.append((done, message)))
    assert git(made.project, "log", "--format=%s").splitlines() == ["commit 2", "commit 1"]
    assert git(made.project, "rev-parse", "origin/side") == git(source, "rev-parse", "side")
    assert [done for done, _ in told] == sorted(done for done, _ in told)
    assert told[-1] == (1.0, "Cloned") and all(0 <= done <= 1 for done, _ in told)
    assert any("Receiving objects" in message for _, message in told)


def test_a_clone_of_nothing_has_a_first_commit(projects, tmp_path, git):
    git(tmp_path, "init", "--quiet", "--bare", "bare.git")
    made = create_from_git(projects / "clone", f"file://{tmp_path}/bare.git").project
    assert git(made, "log", "--format=%s") == "Create clone\n"


@pytest.mark.parametrize(
    "url",
    [
        "ext::sh -c touch% x", "ext::sh", "--upload-pack=x", "-x", "/etc", "../x", "ftp://host/x", "git://host/x",
        "file://host/x", "ssh://-oProxyCommand=x/y", "https:///x", "git@-host:x", "git@host:-x", "https://a b/c",
        "https://host/\x1b[31m", "https://[::1/x", "fd::17/x", "https::ext::sh", "",
    ],
)  # fmt: skip
def test_addresses_that_could_run_or_read_something_are_refused(url, projects):
    with pytest.raises(CloneError) as caught:
        create_from_git(projects / "clone", url)
    assert str(caught.value).isprintable()
    assert list(projects.iterdir()) == []


@pytest.mark.parametrize("url", ["https://ada:s3cret@host/x", "http://s3cret@host/x", "ssh://git:s3cret@host/x"])
def test_a_password_in_an_address_is_refused_and_not_repeated(url, projects):
    with pytest.raises(CloneError, match="has a user or password in it") as caught:
        create_from_git(projects / "clone", url)
    assert "s3cret" not in str(caught.value)


def test_a_repository_that_is_not_there_is_said_with_what_git_says(projects, tmp_path):
    with pytest.raises(CloneError, match=r"file://.*/nowhere can't be cloned\. git says: .*does not"):
        create_from_git(projects / "clone", f"file://{tmp_path}/nowhere")
    assert list(projects.iterdir()) == []


def test_a_server_that_asks_for_a_password_gets_none_and_nobody_waits(projects, tmp_path, monkeypatch):
    asked = tmp_path / "asked"
    ask = tmp_path / "ask"
    ask.write_text(f"#!/bin/sh\ntouch {asked}\nsleep 60\n")
    ask.chmod(0o755)
    for name in ("GIT_ASKPASS", "SSH_ASKPASS"):
        monkeypatch.setenv(name, str(ask))
    server = (
        "from http.server import *\n"
        "class Asks(BaseHTTPRequestHandler):\n"
        "    def do_GET(self):\n"
        "        self.send_response(401); self.send_header('WWW-Authenticate', 'Basic'); self.end_headers()\n"
        "server = HTTPServer(('127.0.0.1', 0), Asks); print(server.server_port, flush=True); server.serve_forever()\n"
    )
    serving = subprocess.Popen([sys.executable, "-c", server], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        port = int(serving.stdout.readline())
        with pytest.raises(CloneError, match="could not read Username|terminal prompts disabled"):
            create_from_git(projects / "clone", f"http://127.0.0.1:{port}/x.git")
    finally:
        serving.kill()
        serving.communicate()
    assert not asked.exists()


def test_objects_that_git_would_not_make_are_not_taken_in(projects, source, git):
    tree = subprocess.run(
        ["git", "hash-object", "-t", "tree", "-w", "--stdin", "--literally"],
        cwd=source, check=True, capture_output=True,
        input=b"100644 .git\0" + bytes.fromhex(git(source, "hash-object", "-w", "a.txt").strip()),
    ).stdout.decode().strip()  # fmt: skip
    commit = git(source, "commit-tree", tree, "-m", "hostile").strip()
    git(source, "update-ref", "refs/heads/main", commit)
    with pytest.raises(CloneError, match="fsck error|hasDotgit"):
        create_from_git(projects / "clone", f"file://{source}")
    with pytest.raises(Damaged):
        create_from_folder(projects / "copy", source)
    assert list(projects.iterdir()) == []


def test_a_clone_that_is_given_up_leaves_nothing(projects, source):
    def give_up(done, message):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        create_from_git(projects / "clone", f"file://{source}", give_up)
    assert list(projects.iterdir()) == []


def test_a_clone_starts_no_hooks_of_the_users_template(projects, source, tmp_path, monkeypatch):
    hooks = tmp_path / "template/hooks"
    hooks.mkdir(parents=True)
    (hooks / "post-checkout").write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\n")
    (hooks / "post-checkout").chmod(0o755)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    (tmp_path / ".gitconfig").write_text(f"[init]\n\ttemplateDir = {tmp_path}/template\n")
    create_from_git(projects / "clone", f"file://{source}")
    assert not (tmp_path / "ran").exists() and not (projects / "clone/.git/hooks").exists()


def test_two_who_make_the_same_project_at_once_do_not_both_get_it(projects):
    code = (
        "from pathlib import Path; from regrow.projects.create import create_empty; "
        f"create_empty(Path({str(projects / 'faces')!r}))"
    )
    both = [subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE) for _ in range(3)]
    said = [each.communicate()[1].decode() for each in both]
    assert sorted(each.returncode for each in both) == [0, 1, 1]
    assert sum("ProjectExists" in each for each in said) == 2
    assert [each.name for each in projects.iterdir()] == ["faces"]
