"""Large files by stock git-lfs, and what a hostile client of its API gets."""

import hashlib
import random
import resource
import socket
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote

import httpx
import pytest

from support.git_endpoint import GitEndpoint

JSON = "application/vnd.git-lfs+json"


@pytest.fixture
def hub(tmp_path):
    with GitEndpoint.start(tmp_path) as endpoint:
        yield endpoint


@pytest.fixture
def project(hub):
    return hub.project()


@pytest.fixture
def clone(hub, project):
    """The owner's clone, whose *.bin are large files."""
    clone = hub.clone("clone")
    hub.git(clone, "checkout", "--quiet", "-b", "main")
    hub.commit(clone, ".gitattributes", b"*.bin filter=lfs diff=lfs merge=lfs -text\n")
    return clone


def noise(seed, size=3_000_000):
    return random.Random(seed).randbytes(size)


def oid_of(content):
    return hashlib.sha256(content).hexdigest()


def ask(hub, method, path, user="ada", name="faces", **options):
    url = f"{hub.url('', name=name)}/info/lfs{path}"
    auth = ("any", f"token-{user}") if user else None
    return httpx.request(method, url, auth=auth, timeout=60, **options)


def batch(hub, operation, *objects, **options):
    """The answer to a batch of (oid, size)."""
    asked = {"operation": operation, "objects": [{"oid": oid, "size": size} for oid, size in objects]}
    headers = {"Content-Type": JSON, "Accept": JSON} | options.pop("headers", {})
    return ask(hub, "POST", "/objects/batch", json=asked, headers=headers, **options)


def put(hub, content, oid=None, size=None, **options):
    path = f"/objects/{oid or oid_of(content)}/{len(content) if size is None else size}"
    return ask(hub, "PUT", path, content=content, **options)


def assert_says(answer, status, message):
    assert (answer.status_code, answer.headers["content-type"]) == (status, JSON)
    assert message in answer.json()["message"]


def test_what_git_lfs_pushes_another_clone_has(hub, project, clone):
    contents = {f"{seed}.bin": noise(seed) for seed in range(3)} | {"empty.bin": b""}
    for path, content in contents.items():
        hub.commit(clone, path, content)
    hub.git(clone, "push", "--quiet", "origin", "main")
    assert project.large.sizes == {oid_of(content): len(content) for content in contents.values() if content}
    other = hub.clone("other", "--branch=main", user="bob")
    assert {path: (other / path).read_bytes() for path in contents} == contents
    assert "version https://git-lfs" in hub.git(other, "cat-file", "-p", "HEAD:1.bin")


def test_git_lfs_is_told_of_no_locks(hub, project, clone):
    hub.commit(clone, "a.bin", noise(1))
    assert "lock" not in hub.git(clone, "push", "origin", "main").lower()
    assert "Files can't be locked on this hub." in hub.git(clone, "lfs", "lock", "a.bin", check=False)


def test_credentials_of_a_helper_are_used_for_large_files_too(hub, project, clone):
    hub.commit(clone, "a.bin", noise(1))
    helper = "!f() { echo username=any; echo password=token-ada; }; f"
    hub.git(clone, "-c", f"credential.helper={helper}", "push", "--quiet", hub.url(""), "main")
    hub.git(clone, "-c", f"credential.helper={helper}", "clone", "--quiet", "-b", "main", hub.url(""), "../by-helper")
    assert (hub.folder / "by-helper/a.bin").read_bytes() == noise(1)


def test_what_is_there_is_not_sent_again(hub, project, clone):
    hub.commit(clone, "a.bin", noise(1))
    hub.git(clone, "push", "--quiet", "origin", "main")
    (answer,) = batch(hub, "upload", (oid_of(noise(1)), 3_000_000)).json()["objects"]
    assert answer == {"oid": oid_of(noise(1)), "size": 3_000_000}


def test_what_is_alike_is_stored_once(hub, project):
    hub.project(name="other")
    sizes = []
    for name in ("faces", "other"):
        assert put(hub, noise(1), name=name).status_code == 200
        sizes.append(sum(path.stat().st_size for path in (hub.folder / "store").rglob("*") if path.is_file()))
    assert sizes[1] - sizes[0] < 10_000


def test_other_projects_large_files_are_neither_given_nor_seen(hub, project):
    other = hub.project(name="other")
    assert put(hub, noise(1), name="other").status_code == 200
    oid = oid_of(noise(1))
    (answer,) = batch(hub, "download", (oid, 3_000_000)).json()["objects"]
    assert answer["error"]["code"] == 404
    (answer,) = batch(hub, "upload", (oid, 3_000_000)).json()["objects"]
    assert "upload" in answer["actions"]
    assert_says(ask(hub, "GET", f"/objects/{oid}"), 404, "This project has no large file")
    assert_says(ask(hub, "POST", "/verify", json={"oid": oid, "size": 3_000_000}), 404, "did not arrive")
    assert other.large.sizes and not project.large.sizes


def test_content_that_is_not_what_it_is_called_is_not_kept(hub, project):
    content = noise(1)
    assert_says(put(hub, content, oid="0" * 64), 422, "Nothing is kept")
    assert_says(put(hub, content, size=len(content) + 1), 422, "Nothing is kept")
    assert_says(put(hub, content, size=len(content) - 1), 422, "Nothing is kept")
    assert_says(put(hub, b"", oid=oid_of(content), size=0), 422, "Nothing is kept")
    assert list(hub.store.names()) == [] and project.large.sizes == {}


def test_an_upload_that_breaks_off_is_not_kept(hub, project):
    content = noise(1)
    with socket.create_connection(("127.0.0.1", hub.port)) as connection:
        path = httpx.URL(hub.url("")).path + f"/info/lfs/objects/{oid_of(content)}/{len(content)}"
        head = f"PUT {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Basic YW55OnRva2VuLWFkYQ==\r\n"
        connection.sendall(f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content[:2_000_000])
    assert put(hub, noise(2)).status_code == 200
    assert list(hub.store.names()) == [f"lfs/{oid_of(noise(2))[:2]}/{oid_of(noise(2))[2:4]}/{oid_of(noise(2))}"]
    assert project.large.sizes == {oid_of(noise(2)): 3_000_000}


def test_two_uploads_of_the_same_at_once_are_both_well(hub, project):
    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(lambda _: put(hub, noise(1)).status_code, range(4)))
    assert answers == [200] * 4
    assert ask(hub, "GET", f"/objects/{oid_of(noise(1))}").content == noise(1)


@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=1000000-", 1_000_000, 3_000_000),
        ("bytes=5-2999999", 5, 3_000_000),
        ("bytes=2999990-9999999", 2_999_990, 3_000_000),
        ("bytes=-7", 2_999_993, 3_000_000),
        ("bytes=-9999999", 0, 3_000_000),
    ],
)
def test_parts_are_given(hub, project, asked, start, stop):
    put(hub, noise(1))
    answer = ask(hub, "GET", f"/objects/{oid_of(noise(1))}", headers={"Range": asked})
    assert answer.status_code == 206
    assert answer.headers["content-range"] == f"bytes {start}-{stop - 1}/3000000"
    assert answer.content == noise(1)[start:stop]


def test_parts_that_are_not_there_are_refused_and_what_is_no_part_is_the_whole(hub, project):
    put(hub, noise(1))
    for asked in ("bytes=3000000-", "bytes=5-4", "bytes=-0"):
        answer = ask(hub, "GET", f"/objects/{oid_of(noise(1))}", headers={"Range": asked})
        assert_says(answer, 416, "3000000 bytes")
        assert answer.headers["content-range"] == "bytes */3000000"
    for asked in ("bytes=-", "bytes=0-1,5-6", "lines=1-2", f"bytes={'9' * 5000}-"):
        answer = ask(hub, "GET", f"/objects/{oid_of(noise(1))}", headers={"Range": asked})
        assert (answer.status_code, answer.content) == (200, noise(1))


def test_no_browser_shows_a_large_file(hub, project):
    content = b"<script>alert(1)</script>"
    put(hub, content)
    headers = ask(hub, "GET", f"/objects/{oid_of(content)}").headers
    assert headers["content-type"] == "application/octet-stream"
    assert headers["content-disposition"] == "attachment"
    assert headers["x-content-type-options"] == "nosniff"


def test_addresses_are_the_proxys_and_have_no_credentials(hub, project):
    headers = {"X-Forwarded-Proto": "https,http", "X-Forwarded-Host": "hub.example.org, inner"}
    answer = batch(hub, "upload", ("a" * 64, 5), headers=headers)
    base = "https://hub.example.org/team/services/regrow/git/ada/faces.git/info/lfs"
    (answer,) = answer.json()["objects"]
    assert answer["actions"] == {
        "upload": {"href": f"{base}/objects/{'a' * 64}/5"},
        "verify": {"href": f"{base}/verify"},
    }
    (answer,) = batch(hub, "upload", ("a" * 64, 5)).json()["objects"]
    assert answer["actions"]["verify"]["href"] == hub.url("") + "/info/lfs/verify"


def test_visitors_download_and_do_not_upload(hub, project):
    put(hub, noise(1))
    (answer,) = batch(hub, "download", (oid_of(noise(1)), 3_000_000), user="bob").json()["objects"]
    assert ask(
        hub, "GET", "/" + answer["actions"]["download"]["href"].partition("/info/lfs/")[2], user="bob"
    ).is_success
    assert_says(batch(hub, "upload", ("a" * 64, 5), user="bob"), 403, "not yours to write")
    assert_says(put(hub, noise(2), user="bob"), 403, "not yours to write")
    assert_says(ask(hub, "POST", "/verify", user="bob", json={"oid": "a" * 64, "size": 1}), 403, "not yours")


def test_strangers_are_asked_who_they_are(hub, project):
    for answer in (batch(hub, "download", user=""), ask(hub, "GET", f"/objects/{'a' * 64}", user="")):
        assert_says(answer, 401, "Who are you?")
        assert answer.headers["www-authenticate"] == 'Basic realm="Regrow"'


@pytest.mark.parametrize("oid", ["a" * 63, "A" * 64, "a" * 65, "a" * 64 + "\n", "../" * 21 + "x", "é" * 64])
def test_what_is_no_hash_is_refused(hub, project, oid):
    assert_says(batch(hub, "download", (oid, 1)), 422, "The request is not one of git-lfs's: body.objects.0.oid")
    answer = ask(hub, "PUT", f"/objects/{quote(oid, safe='')}/1", content=b"x")
    assert answer.status_code in (404, 422)
    assert list(hub.store.names()) == []


def test_requests_that_make_no_sense_are_refused(hub, project):
    assert_says(batch(hub, "upload", ("a" * 64, -1)), 422, "body.objects.0.size")
    assert_says(batch(hub, "remove", ("a" * 64, 1)), 422, "body.operation")
    for content, status in ((b"{", 422), (b"[]", 422), (b"[" * 100_000, 400), (b"\xff", 400), (b" " * 2_000_000, 413)):
        answer = ask(hub, "POST", "/objects/batch", content=content, headers={"Content-Type": JSON})
        assert answer.status_code == status, content[:10]
    asked = {"operation": "download", "objects": [], "hash_algo": "sha512"}
    assert_says(ask(hub, "POST", "/objects/batch", json=asked), 409, "sha256")


def test_over_the_quota_nothing_is_taken_and_git_lfs_says_why(hub, project, clone):
    project.bytes_left = 4_000_000
    hub.commit(clone, "a.bin", noise(1))
    hub.commit(clone, "b.bin", noise(2))
    said = hub.git(clone, "push", "origin", "main", check=False)
    assert "The quota leaves 4,000,000 bytes, and this needs 6,000,000. Nothing of it is kept." in said
    project.bytes_left = -1
    assert_says(put(hub, noise(1)), 507, "The quota leaves 0 bytes, and this needs 3,000,000")
    assert list(hub.store.names()) == [] and project.large.sizes == {}
    project.bytes_left = 6_000_000
    hub.git(clone, "push", "--quiet", "origin", "main")


def test_damage_in_the_store_is_no_file(hub, project, clone):
    hub.commit(clone, "a.bin", noise(1))
    hub.git(clone, "push", "--quiet", "origin", "main")
    for pack in (
        path for path in (hub.folder / "store").rglob("*") if path.stat().st_size > 1_000_000 and path.is_file()
    ):
        content = bytearray(pack.read_bytes())
        content[len(content) // 2] ^= 1
        pack.chmod(0o600)
        pack.write_bytes(content)
    with pytest.raises(httpx.RemoteProtocolError):
        ask(hub, "GET", f"/objects/{oid_of(noise(1))}")
    said = hub.git(
        hub.folder, "-c", "lfs.transfer.maxretries=1", "clone", "-b", "main", hub.url("bob"), "other", check=False
    )
    assert "smudge filter lfs failed" in said


def test_what_the_store_has_lost_is_said(hub, project, clone):
    hub.commit(clone, "a.bin", noise(1))
    hub.git(clone, "push", "--quiet", "origin", "main")
    for name in list(hub.store.names()):
        hub.store.drop(name)
    assert_says(ask(hub, "GET", f"/objects/{oid_of(noise(1))}"), 404, "is lost. Push it again from a clone.")


def test_a_large_file_passes_in_little_memory(hub, project, clone):
    size = 256 * 1024 * 1024
    digest = hashlib.sha256()
    block = noise(1, 1024 * 1024)

    def content():
        for number in range(256):
            yield number.to_bytes(8) + block[8:]

    for part in content():
        digest.update(part)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    path = f"/objects/{digest.hexdigest()}"
    assert ask(hub, "PUT", f"{path}/{size}", content=content()).status_code == 200
    received = hashlib.sha256()
    url = f"{hub.url('')}/info/lfs{path}"
    with httpx.stream("GET", url, auth=("any", "token-bob"), timeout=60) as answer:
        for part in answer.iter_raw():
            received.update(part)
    assert received.digest() == digest.digest()
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < size / 2
