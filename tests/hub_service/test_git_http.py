"""The git endpoint, as stock git and hostile clients see it."""

import contextlib
import random
import resource
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlsplit

import httpx
import pytest

from regrow.hub_service.repositories import refs, set_ref, size_bytes

from support.git_endpoint import GitEndpoint, gits, wait_for


@pytest.fixture
def hub(tmp_path):
    with GitEndpoint.start(tmp_path) as endpoint:
        yield endpoint


@pytest.fixture
def project(hub):
    return hub.project()


@pytest.fixture
def clone(hub, project):
    """The owner's clone, with one commit on main that is pushed."""
    clone = hub.clone("clone")
    hub.git(clone, "checkout", "--quiet", "-b", "main")
    hub.commit(clone, "a.txt")
    hub.git(clone, "push", "--quiet", "--set-upstream", "origin", "main")
    return clone


def fsck(project):
    """What git finds wrong with a repository, whole; unreachable objects aside."""
    command = ["git", "fsck", "--full", "--strict", "--no-dangling", "--no-progress"]
    done = subprocess.run(command, cwd=project.repository, capture_output=True, text=True, check=True)
    return [line for line in (done.stdout + done.stderr).splitlines() if not line.startswith("notice: HEAD points")]


def state(project):
    """Refs and objects."""
    objects = sorted(path for path in (project.repository / "objects").rglob("*") if path.is_file())
    return refs(project.repository), objects


def packet(text):
    return b"%04x%s" % (len(text) + 4, text)


def push_body(hub, clone, commit, ref):
    """What git would send to push `commit` as the new `ref`."""
    pack = subprocess.run(
        ["git", "pack-objects", "--revs", "--stdout", "--quiet"],
        cwd=clone,
        input=f"{commit}\n".encode(),
        capture_output=True,
        check=True,
    ).stdout
    command = f"{'0' * 40} {commit} {ref}\0report-status side-band-64k\n".encode()
    return packet(command) + b"0000" + pack


def post(hub, service, body, user="ada", **headers):
    url = hub.url("") + f"/{service}"
    content_type = {"Content-Type": f"application/x-{service}-request"}
    return httpx.post(url, content=body, headers=content_type | headers, auth=("any", f"token-{user}"), timeout=60)


@contextlib.contextmanager
def half_sent(hub, body):
    """A connection on which half of a push's body was sent."""
    url = urlsplit(hub.url(""))
    head = (
        f"POST {url.path}/git-receive-pack HTTP/1.1\r\nHost: {url.netloc}\r\nConnection: close\r\n"
        f"Authorization: Basic YW55OnRva2VuLWFkYQ==\r\nContent-Type: application/x-git-receive-pack-request\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection((url.hostname, url.port), timeout=60) as connection:
        connection.sendall(head.encode() + body[: len(body) // 2])
        yield connection


def test_what_one_clone_pushes_another_pulls(hub, clone):
    other = hub.clone("other", "--branch", "main")
    assert (other / "a.txt").read_text() == "one\n"
    hub.commit(clone, "a.txt", b"two\n")
    hub.git(clone, "push", "--quiet")
    hub.git(other, "pull", "--quiet")
    assert (other / "a.txt").read_text() == "two\n"


def test_an_empty_project_can_be_cloned(hub, project):
    assert list(hub.clone("clone").iterdir()) == [hub.folder / "clone/.git"]


def test_the_published_branch_is_what_a_clone_checks_out(hub, project, clone):
    set_ref(project.repository, "refs/heads/published", refs(project.repository)["refs/heads/main"], None)
    assert (hub.clone("visit", user="bob") / "a.txt").read_text() == "one\n"


def test_branches_and_tags_are_pushed_moved_and_deleted(hub, project, clone):
    first = hub.commit(clone, "b.txt")
    hub.git(clone, "tag", "-a", "v1", "-m", "one")
    hub.git(clone, "push", "--quiet", "origin", "HEAD:refs/heads/topic/x", "v1")
    assert refs(project.repository)["refs/heads/topic/x"] == first
    hub.git(clone, "commit", "--quiet", "--amend", "-m", "another")
    assert "non-fast-forward" in hub.git(clone, "push", "origin", "HEAD:topic/x", check=False)
    hub.git(clone, "push", "--quiet", "--force", "origin", "HEAD:topic/x")
    assert refs(project.repository)["refs/heads/topic/x"] == hub.git(clone, "rev-parse", "HEAD").strip()
    hub.git(clone, "push", "--quiet", "--delete", "origin", "topic/x", "v1")
    assert refs(project.repository).keys() == {"refs/heads/main"}


def test_a_clone_can_be_shallow_and_deepened(hub, clone):
    for number in range(3):
        hub.commit(clone, "a.txt", b"%d\n" % number)
    hub.git(clone, "push", "--quiet")
    shallow = hub.clone("shallow", "--depth=1", "--branch=main")
    assert hub.git(shallow, "rev-list", "--count", "HEAD").strip() == "1"
    hub.git(shallow, "fetch", "--quiet", "--unshallow")
    assert hub.git(shallow, "rev-list", "--count", "HEAD").strip() == "4"


@pytest.mark.parametrize("version", [0, 1, 2])
def test_every_version_of_the_protocol_fetches(hub, clone, version):
    said = hub.git(
        clone, "-c", f"protocol.version={version}", "ls-remote", "origin", "refs/heads/main", GIT_TRACE_PACKET="1"
    )
    assert f"{hub.git(clone, 'rev-parse', 'main').strip()}\trefs/heads/main" in said
    assert ("< version 2" in said) == (version == 2)
    assert ("< version 1" in said) == (version == 1)


@pytest.mark.parametrize("user", ["ada", "bob"])
def test_requests_that_git_compresses_are_read(hub, clone, user):
    for number in range(60):
        hub.commit(clone, "a.txt", b"%d\n" % number)
        hub.git(clone, "branch", f"b{number}")
    hub.git(clone, "push", "--quiet", "--all")
    hub.git(hub.folder, "init", "--quiet", "--bare", "many")
    said = hub.git(hub.folder / "many", "fetch", hub.url(user), "refs/heads/*:refs/heads/*", GIT_TRACE_CURL="1")
    assert "content-encoding: gzip" in said.lower()
    assert len(hub.git(hub.folder / "many", "branch", "--list", "b*").split()) == 60


def test_a_huge_push_and_clone_pass_in_little_memory(hub, clone):
    noise = random.Random(1)
    size = 96 * 1024 * 1024
    for number in range(4):
        (clone / f"noise{number}").write_bytes(noise.randbytes(size // 4))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    hub.git(clone, "add", ".")
    hub.git(clone, "commit", "--quiet", "-m", "noise")
    hub.git(clone, "push", "--quiet")
    other = hub.clone("other", "--branch=main")
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < size / 4
    assert (other / "noise3").read_bytes() == (clone / "noise3").read_bytes()


def test_visitors_see_branches_and_tags_alone(hub, project, clone):
    main = refs(project.repository)["refs/heads/main"]
    set_ref(project.repository, "refs/regrow/states/1", main, None)
    hub.git(clone, "push", "--quiet", "origin", "main:refs/tags/v1")
    seen = {line.split("\t")[1] for line in hub.git(clone, "ls-remote", hub.url("bob")).splitlines()}
    assert seen == {"refs/heads/main", "refs/tags/v1"}
    assert "refs/regrow/states/1" in hub.git(clone, "ls-remote", hub.url("ada"))


def test_visitors_get_nothing_by_its_hash_that_no_branch_has(hub, project, clone):
    secret = hub.commit(clone, "secret.txt", b"secret")
    hub.git(clone, "push", "--quiet", "origin", f"{secret}:refs/regrow/states/1")
    objects = [hub.git(clone, "rev-parse", f"{secret}{part}").strip() for part in ("", "^{tree}", ":secret.txt")]
    for wanted in (*objects, hub.git(clone, "rev-parse", "main~1").strip()):
        body = packet(f"want {wanted}\n".encode()) + b"0000" + packet(b"done\n")
        answer = post(hub, "git-upload-pack", body, user="bob").content
        assert (b"PACK" in answer) == (wanted not in objects)
        body = packet(b"command=fetch") + b"0001" + packet(f"want {wanted}\n".encode()) + packet(b"done\n") + b"0000"
        answers = [post(hub, "git-upload-pack", body, user, **{"Git-Protocol": "version=2"}) for user in ("bob", "ada")]
        assert [b"PACK" in answer.content for answer in answers] == [False, True]


def test_the_owner_pushes_states_and_no_other_ref_of_ours(hub, project, clone):
    hub.git(clone, "push", "--quiet", "origin", "main:refs/regrow/states/1")
    before = state(project)
    hub.commit(clone, "b.txt")
    for ref in ("refs/regrow/snapshots/1", "refs/notes/x", "refs/heads/published", "refs/heads/published/x"):
        said = hub.git(clone, "push", "origin", f"HEAD:{ref}", "HEAD:refs/heads/good", check=False)
        assert f"remote: Regrow: {ref} " in said
        assert "remote: Regrow: Nothing of this push is kept." in said
        assert "[remote rejected]" in said
    assert state(project) == before


def test_the_owner_can_not_delete_what_is_published(hub, project, clone):
    main = refs(project.repository)["refs/heads/main"]
    set_ref(project.repository, "refs/heads/published", main, None)
    said = hub.git(clone, "push", "origin", ":refs/heads/published", check=False)
    assert "refs/heads/published is written by publishing the project" in said
    assert refs(project.repository)["refs/heads/published"] == main


def test_names_of_refs_are_no_commands(hub, project, clone):
    ref = "refs/notes/$(touch${IFS}/tmp/x)`id`;'\"%s%n"
    said = hub.git(clone, "push", "origin", f"HEAD:{ref}", check=False)
    assert f"remote: Regrow: {ref} can't be pushed" in said


def test_visitors_can_not_push(hub, project, clone):
    before = state(project)
    hub.commit(clone, "b.txt")
    assert "403" in hub.git(clone, "push", hub.url("bob"), "HEAD:main", check=False)
    assert post(hub, "git-receive-pack", b"0000", user="bob").status_code == 403
    assert state(project) == before


def test_strangers_are_asked_who_they_are_and_git_answers_from_its_helper(hub, clone):
    answer = httpx.get(hub.url("") + "/info/refs?service=git-upload-pack")
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == 'Basic realm="Regrow"'
    helper = "!f() { echo username=any; echo password=token-bob; }; f"
    hub.git(hub.folder, "-c", f"credential.helper={helper}", "clone", "--quiet", hub.url(""), "by-helper")
    assert "not found" in hub.git(hub.folder, "clone", hub.url(name="none"), "none", check=False)


def test_files_of_the_repository_are_not_served(hub, clone):
    for path in ("/info/refs", "/info/refs?service=git-upload-archive", "/HEAD", "/config", "/objects/info/packs"):
        answer = httpx.get(hub.url("") + path, auth=("any", "token-ada"))
        assert answer.status_code in (403, 404), path
        assert b"refs/heads" not in answer.content


def test_a_request_of_another_type_is_refused(hub, clone):
    answer = post(hub, "git-upload-pack", b"0000", **{"Content-Type": "text/plain"})
    assert answer.status_code == 415


def test_a_push_over_the_quota_is_refused_and_says_so(hub, project, clone):
    project.bytes_left = 100_000
    before = state(project)
    hub.commit(clone, "big.bin", random.Random(1).randbytes(900_000))
    said = hub.git(clone, "push", check=False)
    assert "remote: Regrow: This push is larger than what the quota leaves. Nothing of it is kept." in said
    assert "97.66 KiB" in said
    assert state(project) == before
    hub.git(clone, "reset", "--quiet", "--hard", "HEAD~1")
    hub.commit(clone, "small.bin", random.Random(1).randbytes(50_000))
    hub.git(clone, "push", "--quiet")


def test_where_the_quota_leaves_nothing_branches_can_still_be_deleted(hub, project, clone):
    hub.git(clone, "push", "--quiet", "origin", "main:topic")
    project.bytes_left = -5
    hub.commit(clone, "b.txt")
    assert "what the quota leaves" in hub.git(clone, "push", check=False)
    hub.git(clone, "push", "--quiet", "--delete", "origin", "topic")
    assert refs(project.repository).keys() == {"refs/heads/main"}


@pytest.mark.parametrize("name", [".git", "..", ".GIT", "git~1", ".git\u200c"])
def test_trees_that_would_write_where_they_must_not_are_refused(hub, project, clone, name):
    before = state(project)
    blob = bytes.fromhex(hub.git(clone, "rev-parse", "HEAD:a.txt").strip())
    tree = subprocess.run(
        ["git", "hash-object", "-w", "--literally", "-t", "tree", "--stdin"],
        cwd=clone,
        input=b"100644 " + name.encode() + b"\0" + blob,
        capture_output=True,
        check=True,
    ).stdout.decode().strip()  # fmt: skip
    commit = hub.git(clone, "commit-tree", tree, "-m", "bad").strip()
    said = hub.git(clone, "push", "origin", f"{commit}:refs/heads/bad", check=False)
    assert "remote: error: object" in said and "unpacker error" in said
    assert state(project) == before


def test_packs_that_are_broken_or_lack_something_are_refused(hub, project, clone):
    before = state(project)
    commit = hub.commit(clone, "b.txt")
    good = push_body(hub, clone, commit, "refs/heads/bad")
    flipped = bytearray(good)
    flipped[-40] ^= 1
    tree = hub.git(clone, "rev-parse", f"{commit}^{{tree}}").strip()
    lacking = push_body(hub, clone, f"{commit}\n^{tree}", "refs/heads/bad").replace(b"\n^" + tree.encode(), b"")
    for body in (bytes(flipped), good[:-30], lacking, b"garbage", b"ffff", packet(b"x\0y") + b"0000"):
        answer = post(hub, "git-receive-pack", body)
        assert b"ok refs/heads/bad" not in answer.content
        assert state(project) == before
    assert b"ok refs/heads/bad" in post(hub, "git-receive-pack", good).content


def test_two_pushes_at_once_are_both_kept(hub, project, clone):
    clones = [hub.clone(f"clone{number}", "--branch=main") for number in range(4)]
    for number, each in enumerate(clones):
        hub.commit(each, f"{number}.bin", random.Random(number).randbytes(500_000))
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda each: hub.git(each, "push", "--quiet", "origin", f"HEAD:{each.name}"), clones))
    assert refs(project.repository).keys() == {f"refs/heads/{each.name}" for each in clones} | {"refs/heads/main"}
    with ThreadPoolExecutor(4) as threads:
        said = list(threads.map(lambda each: hub.git(each, "push", "origin", "HEAD:main", check=False), clones))
    assert sum("rejected" not in each for each in said) == 1
    assert fsck(project) == []


def test_a_client_that_goes_takes_git_with_it(hub, project, clone):
    before = state(project)
    commit = hub.commit(clone, "big.bin", random.Random(1).randbytes(3_000_000))
    with half_sent(hub, push_body(hub, clone, commit, "refs/heads/gone")):
        wait_for(lambda: gits("index-pack"))
    wait_for(lambda: not gits("http-backend") and not gits("receive-pack") and not gits("index-pack"))
    assert state(project) == before
    assert size_bytes(project.repository) < 1_000_000


def test_a_client_that_goes_while_it_is_answered_takes_git_with_it(hub, project, clone):
    hub.commit(clone, "big.bin", random.Random(1).randbytes(30_000_000))
    hub.git(clone, "push", "--quiet")
    main = refs(project.repository)["refs/heads/main"]
    body = packet(f"want {main}\n".encode()) + b"0000" + packet(b"done\n")
    headers = {"Content-Type": "application/x-git-upload-pack-request"}
    url = hub.url("") + "/git-upload-pack"
    with httpx.stream("POST", url, content=body, headers=headers, auth=("any", "token-bob")) as answer:
        content = answer.iter_raw()
        assert next(content) == b"0008NAK\n"
        assert gits("upload-pack")
    wait_for(lambda: not gits("upload-pack") and not gits("pack-objects"))


@pytest.mark.parametrize("killed", ["receive-pack", "index-pack"])
def test_git_killed_while_it_receives_leaves_the_repository_whole(hub, project, clone, killed):
    before = refs(project.repository)
    commit = hub.commit(clone, "big.bin", random.Random(1).randbytes(3_000_000))
    body = push_body(hub, clone, commit, "refs/heads/new")
    with half_sent(hub, body) as connection:
        wait_for(lambda: gits("index-pack"))
        for process in gits(killed):
            process.kill()
        with contextlib.suppress(ConnectionError):
            connection.sendall(body[len(body) // 2 :])
            assert b"ok refs/heads/new" not in connection.makefile("rb").read()
    wait_for(lambda: not gits("receive-pack"))
    assert refs(project.repository) == before
    assert fsck(project) == []
    hub.git(clone, "push", "--quiet", "origin", "HEAD:new")
    assert refs(project.repository)["refs/heads/new"] == commit


def test_a_client_that_says_nothing_is_not_waited_for(tmp_path):
    with GitEndpoint.start(tmp_path, idle_s=1.0) as hub:
        project = hub.project()
        clone = hub.clone("clone")
        commit = hub.commit(clone, "big.bin", random.Random(1).randbytes(1_000_000))
        with half_sent(hub, push_body(hub, clone, commit, "refs/heads/new")) as connection:
            assert connection.makefile("rb").read().startswith(b"HTTP/1.1 408 ")
        assert not gits("receive-pack")
        assert refs(project.repository) == {}


def test_settings_of_the_hubs_own_user_change_nothing(hub, project, clone, tmp_path, monkeypatch):
    (tmp_path / ".gitconfig").write_text("[transfer]\nhideRefs = refs/heads\n[http]\nuploadpack = false\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "nowhere"))
    monkeypatch.setenv("GIT_CONFIG_PARAMETERS", "'http.uploadpack=false'")
    assert "refs/heads/main" in hub.git(clone, "ls-remote", "origin")
    hub.commit(clone, "b.txt")
    hub.git(clone, "push", "--quiet")


def test_hooks_and_settings_do_not_come_with_a_push(hub, project, clone, tmp_path):
    hub.commit(clone, "config", b"[core]\nhooksPath = /tmp\n")
    hub.git(clone, "push", "--quiet")
    assert (project.repository / "config").read_text().count("hooksPath = /dev/null") == 1
    assert [hook.name for hook in (project.repository / "hooks").iterdir()] == ["pre-receive"]


def test_a_hook_that_was_changed_is_put_right_before_the_next_push(hub, project, clone):
    (project.repository / "hooks/pre-receive").write_text("exit 0\n")
    said = hub.git(clone, "push", "origin", "HEAD:refs/notes/x", check=False)
    assert "remote: Regrow: Nothing of this push is kept." in said
