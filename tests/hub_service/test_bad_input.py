"""What hostile and odd names, paths, files and repositories come to: refused in words, or kept as they are."""

import os
import socket
import stat
import subprocess
import threading

import httpx
import pytest

from regrow.client.hub import HubError
from regrow.client.working import fork, publish, register, snapshot
from regrow.hub_service import quotas
from regrow.hub_service.service import Limits
from regrow.projects.create import create_empty
from regrow.projects.errors import ProjectError
from regrow.projects.pointers import Pointer
from regrow.projects.restore import restore
from regrow.projects.snapshot import snapshots

from support.service import MIB, mounted, noise, own, quiet, state

BAD_NAMES = [
    *("../x", "a/b", ".git", "..", ".", "", "-x", "--help", "x" * 300, "größe", "a b", "a\nb", "a\x00b", "a\x1b[2Jb"),
    *("x.git", "x.lock", "x.", "~", "a\\b", "<b>", "\u202efdp", "name\n"),
]
STATE = "20260101T000000.000000Z-0123abcd"


def git(folder, *arguments, input=b"", check=True):
    """What git says, as the user who owns the project."""
    who = ("-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "protocol.file.allow=always")
    done = subprocess.run(["git", *who, *arguments], cwd=folder, input=input, capture_output=True)
    assert not check or done.returncode == 0, done.stderr
    return (done.stdout + done.stderr).decode(errors="surrogateescape").strip()


def commit_of(folder, *entries):
    """A commit of a tree with these entries: mode, kind, object and path, as `git mktree` takes them."""
    listed = b"".join(b"%s %s %s\t%s\0" % tuple(map(os.fsencode, entry)) for entry in entries)
    tree = git(folder, "mktree", "-z", "--missing", input=listed)
    return git(folder, "commit-tree", tree, "-m", "made by hand")


def blob(folder, content):
    return git(folder, "hash-object", "-w", "--stdin", input=content)


def push(client, folder, commit, check=True):
    settings = ("-c", f"http.extraHeader={client.git_environment['GIT_CONFIG_VALUE_0']}")
    return git(
        folder, *settings, "push", f"{client.url}git/ada/faces.git", f"{commit}:refs/regrow/states/{STATE}", check=check
    )


def note(client, **about):
    return client.add_snapshot("ada", "faces", {"id": STATE, **about})


def kept(client, paths, folder="faces"):
    """What the hub says of large files, by path: its oid, or why it has none."""
    lines = [line["kept"] for line in client.keep_large("ada", "faces", folder, paths) if "kept" in line]
    return {each["path"]: (each["pointer"] and each["pointer"]["oid"]) or each["error"] for each in lines}


@pytest.fixture
def faces(new_project):
    """ada's project."""
    return new_project("ada", "faces", {"a": b"1\n", "model.bin": noise(1)})


# Names


def test_what_cannot_be_a_projects_name_is_refused_for_new_projects_and_forks(faces, hub, acting):
    with acting("ada") as client:
        snapshot(client, faces, quiet)
        for name in BAD_NAMES:
            for ask in (client.create, lambda name: client.fork("ada", "faces", name, "", quiet)):
                with pytest.raises(HubError, match="can't be a project's name") as said:
                    ask(name)
                assert said.value.status == 400
                assert str(said.value).isprintable()
        assert [each["name"] for each in client.projects()] == ["faces"]
    assert sorted(path.name for path in hub.projects("ada").iterdir()) == ["faces"]


def test_a_project_that_cannot_be_is_not_found(faces, hub):
    headers = {"Authorization": "token ada"}
    for name in ("%2E%2E%2Ffaces", "a%00b", "%80", "x" * 5000, "%1B[2J", "faces%0A"):
        for path in (f"api/projects/ada/{name}", f"api/projects/{name}/faces", f"git/ada/{name}.git/info/refs"):
            assert httpx.get(hub.url + path, headers=headers).status_code == 404, path


def test_names_that_differ_only_in_case_are_one(faces, hub):
    with hub.client("ada") as client:
        with pytest.raises(HubError, match="You have a project FACES already"):
            client.create("FACES")
        assert client.project("ada", "Faces")["name"] == "faces"


def test_the_name_of_a_snapshot_is_one_line_of_text(faces, hub):
    with hub.client("ada") as client:
        push(client, faces.folder, "HEAD")
        for text in ("a\x00b", "a\x1b]0;x\x07b", "two\nlines"):
            with pytest.raises(HubError, match="name") as said:
                note(client, name=text)
            assert said.value.status == 422
        assert note(client, name="größer als <b>")["name"] == "größer als <b>"


def test_a_description_has_no_control_characters(hub):
    with hub.client("ada") as client:
        for text in ("a\x00b", "a\x1b[31mb"):
            with pytest.raises(HubError, match="description") as said:
                client.create("other", text)
            assert said.value.status == 422
        assert client.create("other", "größer\n\tals <b>")["description"] == "größer\n\tals <b>"


@pytest.mark.parametrize("branch", ["fix#12", "größe", "feature/+x", "@home"])
def test_any_branch_that_git_can_have_is_a_snapshots(faces, hub, acting, branch):
    git(faces.folder, "checkout", "--quiet", "-b", branch)
    with acting("ada") as client:
        publish(client, faces, "hub", "", quiet)
    with acting("bob") as client:
        mine = fork(client, "ada", "faces", "mine", quiet).working.folder
    assert git(mine, "symbolic-ref", "--short", "HEAD") == branch
    assert git(mine, "rev-parse", "HEAD") == git(faces.folder, "rev-parse", "HEAD")


def test_what_cannot_be_a_branch_is_refused(faces, hub):
    with hub.client("ada") as client:
        push(client, faces.folder, "HEAD")
        for branch in ["a..b", "-x/../y", "a//b", "a.lock", "a\nb", "a b", "a\x00b", "", "x" * 2000]:
            with pytest.raises(HubError, match="branch") as said:
                note(client, branch=branch)
            assert said.value.status in (400, 422)
        assert client.snapshots("ada", "faces") == []


def test_an_environment_is_json_that_every_database_can_keep(faces, hub, acting):
    with acting("ada") as client:
        push(client, faces.folder, "HEAD")
        url = f"{hub.url}api/projects/ada/faces/snapshots"
        for environment in ('{"a": NaN}', '{"a": "%s"}' % ("x" * 300_000)):
            body = f'{{"id": "{STATE}", "environment": {environment}}}'
            headers = {"Authorization": "token ada", "Content-Type": "application/json"}
            answer = httpx.post(url, content=body, headers=headers)
            assert (answer.status_code, "environment" in answer.text) == (400, True)
        assert client.snapshots("ada", "faces") == []


# Large files


BAD_PATHS = ["../faces/model.bin", "/etc/passwd", "sub/../../bob/x", "..", ".", "", "a\x00b", "sub/", "a" * 5000]


def test_a_path_that_is_no_file_of_the_project_is_not_read(faces, hub):
    (faces.folder / "sub").mkdir()
    with hub.client("ada") as client:
        said = kept(client, [*BAD_PATHS, "model.bin"])
    assert said.keys() == {*BAD_PATHS, "model.bin"}
    assert [path for path, each in said.items() if len(each) == 64] == ["model.bin"]


def test_a_folder_that_is_no_project_folder_is_not_read(faces, hub):
    (hub.projects("ada") / "linked").symlink_to(hub.projects("bob"))
    (hub.projects("ada") / "file").write_text("x")
    (hub.projects("bob") / "secret").write_bytes(noise(2))
    with hub.client("ada") as client:
        for folder in ["..", "../bob", "/etc", "faces/../../bob", "a\x00b", "linked", "file", "", "."]:
            with pytest.raises(HubError, match="ada has no folder") as said:
                kept(client, ["secret", "bob/projects/secret", "faces/model.bin"], folder)
            assert said.value.status == 404
            assert str(said.value).isprintable()


def test_no_link_is_followed_in_any_part_of_a_path(faces, hub, tmp_path):
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/secret").write_bytes(noise(2))
    (faces.folder / "deep").mkdir()
    (faces.folder / "deep/link").symlink_to(tmp_path / "outside")
    (faces.folder / "link").symlink_to(tmp_path / "outside/secret")
    (faces.folder / "inside").symlink_to("model.bin")
    with hub.client("ada") as client:
        said = kept(client, ["deep/link/secret", "link", "inside"])
        assert set(said) == {"deep/link/secret", "link", "inside"}
        assert all(len(each) != 64 for each in said.values())
    assert list(hub.service.store.names()) == []


def test_only_files_are_opened_for_their_content(faces, hub, monkeypatch):
    os.mkfifo(faces.folder / "pipe")
    os.mknod(faces.folder / "zeros", stat.S_IFCHR | 0o666, os.makedev(1, 5))
    # Where there is no such device, opening this would say so.
    os.mknod(faces.folder / "device", stat.S_IFBLK | 0o666, os.makedev(240, 7))
    with socket.socket(socket.AF_UNIX) as listening, hub.client("ada") as client:
        monkeypatch.chdir(faces.folder)
        listening.bind("socket")
        said = kept(client, ["pipe", "zeros", "device", "socket", ".git"])
    assert set(said.values()) == {"it is not a file of the project"}
    assert len(said) == 5


def test_what_is_mounted_in_a_project_is_not_the_projects(faces, hub):
    with mounted("tmpfs", faces.folder / "disk"):
        (faces.folder / "disk/model.bin").write_bytes(noise(2))
        with hub.client("ada") as client:
            said = kept(client, ["disk/model.bin"])
    assert "not a file of the project" in said["disk/model.bin"]
    assert list(hub.service.store.names()) == []


def test_a_large_file_that_changes_while_it_is_read_is_said(faces, acting):
    big = faces.folder / "big.bin"
    big.write_bytes(noise(3, 40 * MIB))
    stop = threading.Event()

    def scribble():
        with big.open("r+b") as file:
            while not stop.is_set():
                file.seek(0)
                file.write(os.urandom(16))
                file.flush()

    writer = threading.Thread(target=scribble)
    writer.start()
    try:
        with acting("ada") as client:
            warnings = snapshot(client, faces, quiet).taken.warnings
    finally:
        stop.set()
        writer.join()
    assert [each for each in warnings if "big.bin was written to while it was read" in each]


def test_a_file_that_is_gone_or_cannot_be_named_does_not_keep_the_others_from_it(faces, hub, acting):
    (faces.folder / os.fsdecode(b"odd\xff.bin")).write_bytes(noise(4))
    with acting("ada") as client:
        assert set(kept(client, ["gone.bin", "model.bin"])) == {"model.bin"}
        taken = snapshot(client, faces, quiet).taken
    assert any("need a name that can be printed" in each for each in taken.warnings)


# Quotas


class TestWithLittleRoom:
    @pytest.fixture
    def limits(self):
        return Limits(bytes_per_user=5 * MIB, projects_per_user=2)

    def test_large_files_that_do_not_fit_are_named_and_none_is_kept(self, faces, hub, acting):
        (faces.folder / "fits.bin").write_bytes(noise(5))
        (faces.folder / "too_much.bin").write_bytes(noise(6))
        before = state(faces.folder)
        with acting("ada") as client:
            with pytest.raises(HubError, match=r"too_much\.bin does not fit into what this hub lets you keep") as said:
                snapshot(client, faces, quiet)
            assert said.value.status == 507
            assert state(faces.folder) == before
            assert client.snapshots("ada", "faces") == []
            assert list(hub.service.store.names()) == []
            (faces.folder / "too_much.bin").unlink()
            snapshot(client, faces, quiet)

    def test_a_file_is_counted_once_however_often_it_is_sent(self, faces, hub, acting):
        (faces.folder / "same.bin").write_bytes(noise(1))
        with acting("ada") as client:
            for number in range(4):
                os.utime(faces.folder / "model.bin", (number, number))
                snapshot(client, faces, quiet)

    def test_a_file_that_cannot_fit_is_not_read_first(self, faces, hub):
        with (faces.folder / "endless.bin").open("wb") as file:
            file.truncate(2**40)
        with hub.client("ada") as client, pytest.raises(HubError, match=r"endless\.bin does not fit"):
            kept(client, ["endless.bin"])

    def test_a_push_that_does_not_fit_leaves_everything_as_it_was(self, faces, hub, acting):
        for number in range(8):
            (faces.folder / f"{number}.dat").write_bytes(noise(number, MIB - 10))
        (faces.folder / "model.bin").unlink()
        before = state(faces.folder)
        with acting("ada") as client:
            with pytest.raises(ProjectError, match="could not be sent"):
                snapshot(client, faces, quiet)
            assert client.snapshots("ada", "faces") == []
        assert state(faces.folder) == before
        assert not list(hub.places.repositories.glob("*/objects/pack/*.pack"))

    def test_large_files_that_were_sent_before_a_push_that_does_not_fit_count_and_can_be_brought_back(
        self, faces, hub, acting
    ):
        for number in range(4):
            (faces.folder / f"{number}.dat").write_bytes(noise(number, MIB - 10))
        before = state(faces.folder)
        with acting("ada") as client:
            with pytest.raises(ProjectError, match="could not be sent"):
                snapshot(client, faces, quiet)
            assert client.snapshots("ada", "faces") == []
            (size,) = quotas.brought(hub.service, "ada").values()
            assert size == 2 * MIB
            (kept_here,) = snapshots(faces.folder)
            (faces.folder / "model.bin").unlink()
            restore(faces.folder, faces.large_files(client), kept_here)
            assert state(faces.folder) == before
            client.delete("ada", "faces")
            client.purge(client.recycle_bin()[0]["id"])
        assert list(hub.service.store.names()) == []
        assert quotas.bytes_used(hub.service, "ada") == 0

    def test_as_many_projects_as_allowed_can_be_made_or_forked_and_no_more(self, faces, hub, acting):
        with acting("ada") as client:
            publish(client, faces, "hub", "", quiet)
            fork(client, "ada", "faces", "second", quiet)
            for ask in (lambda: client.create("third"), lambda: fork(client, "ada", "faces", "third", quiet)):
                with pytest.raises(HubError, match="You have 2 projects, which is as many as this hub allows"):
                    ask()
            assert sorted(each["name"] for each in client.projects()) == ["faces", "second"]
            assert not (hub.projects("ada") / "third").exists()
            client.delete("ada", "second")
            client.create("third")


# Repositories


def test_a_pack_with_broken_objects_is_refused_whole(faces, acting, hub):
    folder = faces.folder
    content = blob(folder, b"x")
    nested = git(folder, "mktree", input=f"100644 blob {content}\tconfig\n".encode())
    for mode, kind, name, entry in (
        ("40000", "tree", nested, ".git"),
        ("40000", "tree", nested, ".."),
        ("120000", "blob", blob(folder, b"/etc/passwd"), ".gitmodules"),
    ):
        raw = f"{mode} {entry}".encode() + b"\0" + bytes.fromhex(name)
        tree = git(folder, "hash-object", "--literally", "-w", "-t", "tree", "--stdin", input=raw)
        commit = git(folder, "commit-tree", tree, "-m", kind)
        with acting("ada") as client:
            said = push(client, folder, commit, check=False)
            assert "rejected" in said or "unpack" in said
            with pytest.raises(HubError, match=f"ada/faces has no state {STATE}: it was not pushed"):
                note(client)


@pytest.mark.parametrize("is_first", [True, False], ids=["the first", "a later one"])
def test_a_state_without_the_content_of_its_large_files_is_no_snapshot(faces, acting, hub, is_first):
    folder = faces.folder
    if not is_first:
        with acting("ada") as client:
            snapshot(client, faces, quiet)
    pointer = blob(folder, Pointer("ab" * 32, 5_000_000).encode())
    commit = commit_of(folder, ("100644", "blob", pointer, os.fsdecode(b"od\xffd\x1b.bin")))
    with acting("ada") as client:
        push(client, folder, commit)
        with pytest.raises(HubError, match="was not sent, and neither was the snapshot taken") as said:
            note(client)
        assert said.value.status == 400
        assert str(said.value).isprintable()


def test_links_out_of_a_project_stay_links_in_its_forks(faces, acting, hub, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("the hub's own")
    (faces.folder / "absolute").symlink_to(secret)
    (faces.folder / "above").symlink_to("../../../../../../etc/passwd")
    (faces.folder / "folder").symlink_to("/etc")
    (faces.folder / "home").symlink_to("~/x\n")
    with acting("ada") as client:
        publish(client, faces, "hub", "", quiet)
    with acting("bob") as client:
        mine = fork(client, "ada", "faces", "mine", quiet).working.folder
    assert state(mine) == state(faces.folder)
    assert (mine / "absolute").readlink() == secret
    found = [path for path in hub.places.layers.rglob("*") if path.is_file() and not path.is_symlink()]
    assert not any(path.read_bytes() == secret.read_bytes() for path in found)


def test_a_link_in_the_place_of_a_folder_is_not_followed_by_the_next_layer(faces, acting, hub, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    for number in range(20):
        (faces.folder / f"filler{number}").write_text(str(number))
    (faces.folder / "data").symlink_to(outside)
    with acting("ada") as client:
        publish(client, faces, "hub", "", quiet)
        (faces.folder / "data").unlink()
        (faces.folder / "data").mkdir()
        (faces.folder / "data/large.bin").write_bytes(noise(7))
        (faces.folder / "data/small").write_text("x")
        publish(client, faces, "hub", "", quiet)
    with acting("bob") as client:
        mine = fork(client, "ada", "faces", "mine", quiet).working.folder
        assert state(mine) == state(faces.folder)
    with acting("ada") as client:
        (faces.folder / "data/large.bin").unlink()
        (faces.folder / "data/small").unlink()
        (faces.folder / "data").rmdir()
        (faces.folder / "data").symlink_to(outside)
        publish(client, faces, "hub", "", quiet)
    with acting("bob") as client:
        again = fork(client, "ada", "faces", "again", quiet).working.folder
    assert state(again) == state(faces.folder)
    assert list(outside.iterdir()) == []


@pytest.mark.parametrize("place", [".regrow", ".regrow/state", ".regrow/state/deep"])
@pytest.mark.parametrize("by_hand", [False, True], ids=["published", "pushed"])
def test_a_link_in_the_place_of_variables_is_not_followed_by_the_next_layer(
    faces, acting, hub, tmp_path, place, by_hand
):
    outside = tmp_path / "outside"
    (outside / "state").mkdir(parents=True)
    there = [outside / "a", outside / "state/b"]
    for file in there:
        file.write_text("somebody else's")
    for number in range(20):
        (faces.folder / f"filler{number}").write_text(str(number))
    link = faces.folder / place
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(outside)

    def publish_now(client, number):
        if not by_hand:
            publish(client, faces, "hub", "", quiet)
            return
        # Any tree at all.
        git(faces.folder, "add", "--all", "--force")
        commit = git(faces.folder, "commit-tree", git(faces.folder, "write-tree"), "-m", "made by hand")
        name = f"20260101T00000{number}.000000Z-0123abcd"
        settings = ("-c", f"http.extraHeader={client.git_environment['GIT_CONFIG_VALUE_0']}")
        url = f"{client.url}git/ada/faces.git"
        git(faces.folder, *settings, "push", url, f"{commit}:refs/regrow/states/{name}")
        client.add_snapshot("ada", "faces", {"id": name})
        client.publish("ada", "faces", {"visibility": "hub", "snapshot": name}, quiet)

    with acting("ada") as client:
        list(client.keep_large("ada", "faces", "faces", ["model.bin"]))
        publish_now(client, 0)
        (faces.folder / "filler0").write_text("changed")
        publish_now(client, 1)
        # A folder with a pointer in its place, and a link again.
        link.unlink()
        variables = faces.folder / ".regrow/state/n.ipynb.state"
        variables.parent.mkdir(parents=True, exist_ok=True)
        ((oid, size),) = quotas.brought(hub.service, "ada").items()
        variables.write_bytes(Pointer(oid, size).encode())
        publish_now(client, 2)
        variables.unlink()
        for folder in (variables.parent, variables.parent.parent):
            if folder.is_relative_to(link):
                folder.rmdir()
        link.symlink_to(outside)
        publish_now(client, 3)
    with acting("bob") as client:
        mine = fork(client, "ada", "faces", "mine", quiet).working.folder
    assert (mine / "filler0").read_text() == "changed"
    assert (mine / ".regrow").is_symlink() == (place == ".regrow")
    assert place == ".regrow" or not (mine / place).is_symlink()
    assert [file.read_text() for file in there] == ["somebody else's"] * 2
    assert sorted(outside.rglob("*")) == sorted([*there, outside / "state"])


def test_odd_names_and_modes_survive_a_fork(faces, acting, hub):
    for name in (b"caf\xe9", b"new\nline", b"-rf", b'quo"te\\', b"tab\t", b" space ", b":(exclude)a", b"x" * 255):
        (faces.folder / os.fsdecode(name)).write_bytes(name)
    for name in ("Clash", "CLASH", "clash/file", "Straße", "STRASSE", "nai\u0308ve", "na\u00efve"):
        (faces.folder / name).parent.mkdir(exist_ok=True)
        (faces.folder / name).write_text(name)
    for name in ("run.sh", "large.sh"):
        (faces.folder / name).write_bytes(noise(8) if name == "large.sh" else b"#!/bin/sh\n")
        (faces.folder / name).chmod(0o755)
    with acting("ada") as client:
        publish(client, faces, "hub", "", quiet)
    with acting("bob") as client:
        mine = fork(client, "ada", "faces", "mine", quiet).working.folder
        assert state(mine) == state(faces.folder)
        assert os.access(mine / "large.sh", os.X_OK)
        (mine / os.fsdecode(b"caf\xe9")).write_text("changed")
        fork(client, "bob", "mine", "again", quiet)
    assert (hub.projects("bob") / "again" / os.fsdecode(b"caf\xe9")).read_text() == "changed"


def test_a_project_without_files_can_be_forked(new_project, acting, hub):
    empty = new_project("ada", "empty")
    with acting("ada") as client:
        publish(client, empty, "hub", "", quiet)
    with acting("bob") as client:
        mine = fork(client, "ada", "empty", "mine", quiet).working.folder
    assert state(mine) == {}
    assert git(mine, "status", "--porcelain") == ""


def test_a_project_without_commits_can_be_forked(hub, acting):
    folder = hub.projects("ada") / "fresh"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch=main")
    (folder / "a").write_text("a")
    own(folder)
    with acting("ada") as client:
        publish(client, register(client, folder), "hub", "", quiet)
    with acting("bob") as client:
        mine = fork(client, "ada", "fresh", "mine", quiet).working
        assert state(mine.folder) == state(folder)
        assert git(mine.folder, "status", "--porcelain") == "?? a"
        snapshot(client, mine, quiet)


def test_what_was_never_sent_has_nothing_to_fork_or_publish(hub):
    with hub.client("ada") as client:
        client.create("bare")
        for ask in (
            lambda: client.fork("ada", "bare", "mine", "", quiet),
            lambda: client.publish("ada", "bare", {"visibility": "hub"}, quiet),
        ):
            with pytest.raises(HubError, match=r"The hub has no snapshot yet of ada/bare\. Take one"):
                ask()
        assert client.project("ada", "bare")["visibility"] == "private"
        assert [each["name"] for each in client.projects()] == ["bare"]


def test_a_repository_inside_a_project_is_an_empty_folder_in_its_forks(faces, acting, hub):
    inner = faces.folder / "lib/inner"
    inner.parent.mkdir()
    create_empty(inner)
    own(inner)
    with acting("ada") as client:
        publish(client, faces, "hub", "", quiet)
    with acting("bob") as client:
        mine = fork(client, "ada", "faces", "mine", quiet).working
        assert list((mine.folder / "lib/inner").iterdir()) == []
        sent = snapshot(client, mine, quiet)
        again = fork(client, "bob", "mine", "again", quiet).working
    assert git(mine.folder, "ls-tree", "-r", sent.taken.snapshot.commit, "lib").startswith("160000 commit")
    assert state(again.folder) == state(mine.folder)


def test_a_file_that_only_looks_like_a_pointer_is_a_file_of_its_own(faces, acting, hub):
    with acting("bob") as client:
        client.create("stranger")
    other = Pointer("cd" * 32, 7)
    (faces.folder / "looks").write_bytes(other.encode())
    with acting("ada") as client, pytest.raises(HubError, match="The content of looks was not sent"):
        snapshot(client, faces, quiet)
