"""Who gets what from each endpoint, and that what one may not see looks like what is not there."""

import json
import re
import shutil
import subprocess
from dataclasses import dataclass

import httpx
import pytest

from regrow.client.hub import HubError
from regrow.client.working import fork, publish, snapshot
from regrow.hub_service import projects_api, quotas, repositories
from regrow.hub_service.registry.tables import VISIBILITIES, Offer, Project, new_id, now
from regrow.hub_service.scopes import ADMIN, DELETE, FORK, PUBLISH, READ, SCOPES, WRITE

from support.service import OWN_SCOPES, noise, quiet

STATE = {"id": "20260101T000000.000000Z-0123abcd"}
DONE, SIGN_IN, FORBIDDEN, NOT_FOUND = "done", 401, 403, 404
TOKENS = {
    "nobody": None,
    "unknown token": "mallory",
    "stranger": "eve",
    "team member": "bob",
    "owner": "ada",
    "admin": "root",
}
SEEN_BY = {
    "private": {"owner", "admin"},
    "team": {"team member", "owner", "admin"},
    "hub": {"stranger", "team member", "owner", "admin"},
    "public": {"nobody", "stranger", "team member", "owner", "admin"},
}


@dataclass(frozen=True)
class Endpoint:
    """A request, the scope that it needs, and whom it is for.

    `seer`: who sees the project, and `signed in` of them; `owner`: whose it is; `anybody` at all, or who is `known`;
    `deleted`: the owner of what is in the recycle bin; `offer`: the owner of the project that an offer is made to.
    """

    method: str
    path: str
    scope: str
    whom: str
    body: object = None


_OF_PROJECT = "/projects/{owner}/{name}"
ENDPOINTS = [
    Endpoint("GET", "/user", READ, "known"),
    Endpoint("GET", "/projects", READ, "anybody"),
    Endpoint("POST", "/projects", WRITE, "known", {"name": "new"}),
    Endpoint("GET", _OF_PROJECT, READ, "seer"),
    Endpoint("DELETE", _OF_PROJECT, DELETE, "owner"),
    Endpoint("GET", f"{_OF_PROJECT}/lineage", READ, "seer"),
    Endpoint("GET", f"{_OF_PROJECT}/snapshots", READ, "signed in"),
    Endpoint("POST", f"{_OF_PROJECT}/snapshots", WRITE, "owner", STATE),
    Endpoint("POST", f"{_OF_PROJECT}/large-files", WRITE, "owner", {"folder": "{name}", "paths": []}),
    Endpoint("POST", f"{_OF_PROJECT}/large-files/missing", READ, "signed in", [{"oid": "ab" * 32, "size": 1}]),
    Endpoint("PUT", f"{_OF_PROJECT}/publication", PUBLISH, "owner", {"visibility": "private"}),
    Endpoint("POST", f"{_OF_PROJECT}/forks", FORK, "signed in", {"name": "mine"}),
    Endpoint("PUT", f"{_OF_PROJECT}/base", WRITE, "owner", {"commit": "a" * 40}),
    Endpoint("POST", f"{_OF_PROJECT}/offers", FORK, "owner", {}),
    Endpoint("GET", f"{_OF_PROJECT}/offers", READ, "owner"),
    Endpoint("GET", "/recycle-bin", READ, "known"),
    Endpoint("POST", "/recycle-bin/{project_id}/restore", DELETE, "deleted"),
    Endpoint("DELETE", "/recycle-bin/{project_id}", DELETE, "deleted"),
    Endpoint("PUT", "/offers/{offer_id}", WRITE, "offer", {"state": "declined"}),
]


def expected(endpoint, role, visibility):
    """What the table says."""
    seen = role in SEEN_BY[visibility]
    if role == "unknown token" or (role == "nobody" and endpoint.whom not in ("anybody", "seer")):
        return SIGN_IN
    owns = role in ("owner", "admin")
    answers = {
        "anybody": DONE,
        "known": DONE,
        "seer": DONE if seen else NOT_FOUND,
        "signed in": DONE if seen else NOT_FOUND,
        "owner": DONE if owns else FORBIDDEN if seen else NOT_FOUND,
        "deleted": DONE if owns else NOT_FOUND,
        # The team member's is the fork that is offered.
        "offer": DONE if owns else FORBIDDEN if role == "team member" else NOT_FOUND,
    }
    return answers[endpoint.whom]


@pytest.fixture
def lab(deployment):
    deployment.sign_in.groups |= {"ada": {"lab"}, "bob": {"lab"}, "eve": {"others"}}


@pytest.fixture
def subject(lab, hub, make):
    """`subject(visibility, whom)`: what is in an endpoint's path, of something new of ada's."""
    number = iter(range(10_000))

    def subject(visibility, whom="owner"):
        project = make(
            "ada", f"p{next(number)}", visibility=visibility, deleted_at=now() if whom == "deleted" else None
        )
        theirs = make("bob", project.name, parent_id=project.id)
        offer = Offer(id=new_id(), project_id=project.id, fork_id=theirs.id, commit="a" * 40, base_commit="b" * 40)
        with hub.service.session() as session, session.begin():
            session.add(offer)
        return {"owner": "ada", "name": project.name, "project_id": project.id, "offer_id": offer.id}

    return subject


@pytest.fixture
def make(hub, tmp_path):
    """`make(owner, name, **values)`: a project with an empty folder and repository."""
    empty = tmp_path / "empty.git"
    repositories.create(empty)

    def make(owner, name, **values):
        (hub.projects(owner) / name).mkdir(parents=True, exist_ok=True)
        made = Project(
            owner=owner, owner_id=hub.places.user_id(owner), name=name, folded_name=name, team="lab", **values
        )
        with hub.service.session() as session, session.begin():
            session.add(made)
        shutil.copytree(empty, hub.places.repository(made.id))
        return made

    return make


@pytest.fixture
def ask(hub):
    """`ask(endpoint, token, **path)`: the status of the answer, also where it is in the last line, and its message."""
    with httpx.Client(base_url=f"{hub.url}api", timeout=60) as http:

        def ask(endpoint, token, **path):
            headers = {"Authorization": f"token {token}"} if token else {}
            body = json.loads(json.dumps(endpoint.body).replace("{name}", path.get("name", "")))
            answer = http.request(endpoint.method, endpoint.path.format(**path), headers=headers, json=body)
            said = json.loads(answer.text.splitlines()[-1]) if answer.content else {}
            if "error" in said:
                return said["status"], said["error"]
            return answer.status_code, said["message"] if answer.is_error else ""

        yield ask


def test_the_table_has_every_endpoint_and_the_description_too(hub):
    described = httpx.get(f"{hub.url}api/openapi.json").json()["paths"]
    prefix = "/services/regrow/api"
    documented = {
        (method.upper(), path.removeprefix(prefix)) for path, methods in described.items() for method in methods
    }
    routes = {
        (method, route.path.removeprefix("/api")) for route in projects_api.router.routes for method in route.methods
    }
    assert {(each.method, each.path) for each in ENDPOINTS} == documented == routes
    assert all(about["description"] for methods in described.values() for about in methods.values())


@pytest.mark.parametrize("visibility", VISIBILITIES)
def test_everybody_gets_from_every_endpoint_what_the_table_says(subject, ask, visibility):
    wrong = []
    for endpoint in ENDPOINTS:
        for role, token in TOKENS.items():
            status, message = ask(endpoint, token, **subject(visibility, endpoint.whom))
            wanted = expected(endpoint, role, visibility)
            # What was let in may still be impossible, as there is nothing in these projects.
            got = status if status in (SIGN_IN, FORBIDDEN, NOT_FOUND) else DONE if status < 500 else status
            if got != wanted:
                wrong.append(f"{endpoint.method} {endpoint.path} by {role}: {status} {message}, not {wanted}")
    assert wrong == []


def test_a_token_that_lacks_the_scope_is_of_no_use_even_to_the_owner_or_an_administrator(subject, ask):
    for endpoint in ENDPOINTS:
        others = ",".join(OWN_SCOPES - {endpoint.scope})
        for user in ("ada", "root"):
            path = subject("public", endpoint.whom)
            status, message = ask(endpoint, f"{user}/{others}", **path)
            assert (status, message) == (
                FORBIDDEN,
                f"This token lacks the scope {endpoint.scope} ({SCOPES[endpoint.scope]}).",
            ), endpoint
            for scope in (endpoint.scope, ADMIN):
                status, message = ask(endpoint, f"{user}/{scope}", **path)
                assert status not in (SIGN_IN, FORBIDDEN), (endpoint, message)


def test_what_one_may_not_see_is_said_to_be_missing_as_what_is_missing(subject, ask):
    for endpoint in ENDPOINTS:
        if endpoint.whom in ("known", "anybody"):
            continue
        for token in (None, "eve"):
            hidden = subject("private", endpoint.whom)
            missing = {**hidden, "name": "none", "project_id": "0" * 16, "offer_id": "0" * 16}
            there, not_there = (ask(endpoint, token, **path) for path in (hidden, missing))
            for key in ("name", "project_id", "offer_id"):
                there = (there[0], re.sub(rf"\b{hidden[key]}\b", missing[key], there[1]))
            assert there == not_there, endpoint
            assert there[0] in (SIGN_IN, NOT_FOUND)


@pytest.mark.parametrize("visibility", VISIBILITIES)
def test_lists_have_what_one_may_see_and_nothing_else(subject, hub, visibility):
    subject(visibility)
    deleted = subject(visibility, "deleted")
    for role, token in TOKENS.items():
        if role == "unknown token":
            continue
        headers = {"Authorization": f"token {token}"} if token else {}
        for query in ({}, {"owner": "ada"}, {"search": "ada"}, {"search": "p0"}):
            found = httpx.get(f"{hub.url}api/projects", headers=headers, params=query).json()
            assert ("ada" in {each["owner"] for each in found}) == (role in SEEN_BY[visibility]), (role, query)
            assert deleted["project_id"] not in {each["id"] for each in found}
        if token:
            binned = httpx.get(f"{hub.url}api/recycle-bin", headers=headers).json()
            assert bool(binned) == (role in ("owner", "admin"))


def test_an_unknown_token_is_told_so_wherever_it_is_used(hub, subject):
    path = subject("public")
    for url in (
        f"{hub.url}api/projects",
        f"{hub.url}api/projects/ada/{path['name']}",
        f"{hub.url}git/ada/{path['name']}.git/info/refs?service=git-upload-pack",
        f"{hub.url}git/ada/{path['name']}.git/info/lfs/objects/{'ab' * 32}",
    ):
        for header in (
            "token mallory",
            "Bearer mallory",
            "Basic bWFsbG9yeTptYWxsb3J5",
            "Basic !",
            "Digest x",
            "token",
        ):
            answer = httpx.get(url, headers={"Authorization": header})
            assert answer.status_code == 401, (url, header)
            assert answer.headers["WWW-Authenticate"].startswith("Basic")


@pytest.mark.parametrize("visibility", VISIBILITIES)
def test_git_and_git_lfs_let_in_whom_the_api_does(new_project, acting, hub, lab, visibility):
    project = new_project("ada", "faces", {"a": b"1", "model.bin": noise(1)})
    with acting("ada") as client:
        publish(client, project, visibility, "lab" if visibility == "team" else "", quiet)
        sent = snapshot(client, project, quiet).model
    oid = next(iter(quotas.brought(hub.service, "ada")))

    def statuses(token, name):
        auth = ("any", token) if token else None
        base = f"{hub.url}git/ada/{name}.git"
        batch = {"objects": [{"oid": oid, "size": len(noise(1))}]}
        return [
            httpx.get(f"{base}/info/refs?service=git-upload-pack", auth=auth),
            httpx.get(f"{base}/info/lfs/objects/{oid}", auth=auth),
            httpx.post(f"{base}/info/lfs/objects/batch", auth=auth, json={"operation": "download", **batch}),
            httpx.get(f"{base}/info/refs?service=git-receive-pack", auth=auth),
            httpx.post(f"{base}/git-receive-pack", auth=auth, content=b"0000"),
            httpx.post(f"{base}/info/lfs/objects/batch", auth=auth, json={"operation": "upload", **batch}),
            httpx.put(f"{base}/info/lfs/objects/{'cd' * 32}/1", auth=auth, content=b"x"),
            httpx.post(f"{base}/info/lfs/verify", auth=auth, json=batch["objects"][0]),
        ]

    for role, token in TOKENS.items():
        got = [answer.status_code for answer in statuses(token, "faces")]
        missing = [answer.status_code for answer in statuses(token, "none")]
        if role == "unknown token":
            assert got == missing == [401] * 8
        elif role not in SEEN_BY[visibility]:
            assert got == missing == ([401] if role == "nobody" else [404]) * 8, role
        elif role in ("owner", "admin"):
            assert got[:4] == [200] * 4
            assert set(got[4:]) <= {200, 415, 422}, got
        else:
            assert got == [200] * 3 + [401 if role == "nobody" else 403] * 5, role
    without = ("any", f"ada/{PUBLISH}")
    assert httpx.get(f"{hub.url}git/ada/faces.git/info/refs?service=git-upload-pack", auth=without).status_code == 403
    assert sent["id"]


def test_lineage_has_no_names_that_one_may_not_see(make, ask, hub, lab):
    root = make("ada", "root-of-all", visibility="hub")
    hidden = make("bob", "secret-plans", visibility="private", parent_id=root.id)
    below = make("eve", "seen", visibility="public", parent_id=hidden.id)
    gone = make("bob", "gone-secret", visibility="hub", parent_id=root.id, deleted_at=now(), purged_at=now())
    path = f"{hub.url}api/projects/eve/seen/lineage"
    for token, named in (
        ("eve", {"root-of-all", "seen"}),
        (None, {"seen"}),
        ("bob", {"root-of-all", "seen", "secret-plans"}),
    ):
        answer = httpx.get(path, headers={"Authorization": f"token {token}"} if token else {})
        shown = {each["id"]: each for each in answer.json()}
        assert shown.keys() == {root.id, hidden.id, below.id, gone.id}
        assert {each["name"] for each in shown.values()} - {""} == named | (
            {"gone-secret"} if token == "bob" else set()
        )
        assert all(bool(each["name"]) == bool(each["owner"]) for each in shown.values())
        assert shown[below.id]["parent_id"] == hidden.id
    model = httpx.get(f"{hub.url}api/projects/eve/seen").json()
    assert model["parent"] == ""
    assert "secret" not in json.dumps(httpx.get(path, headers={"Authorization": "token eve"}).json())


def test_large_files_of_others_are_not_to_be_had_by_their_hash(new_project, acting, hub):
    secret = new_project("ada", "secret", {"model.bin": noise(1)})
    own = new_project("bob", "own", {"a": b"1"})
    with acting("ada") as client:
        snapshot(client, secret, quiet)
    ((oid, size),) = quotas.brought(hub.service, "ada").items()
    lfs = f"{hub.url}git/bob/own.git/info/lfs"
    with acting("bob") as client:
        snapshot(client, own, quiet)
        asked = [{"oid": oid, "size": size}]
        assert client.missing_large("bob", "own", asked) == asked
        with pytest.raises(HubError) as said, client.large("bob", "own", oid) as parts:
            next(parts)
        assert said.value.status == 404
        batch = {"operation": "download", "objects": asked}
        (answer,) = httpx.post(f"{lfs}/objects/batch", auth=("any", "bob"), json=batch).json()["objects"]
        assert (answer["error"]["code"], "actions" in answer) == (404, False)
        # As though nobody had it: who uploads, sends it all.
        batch = {"operation": "upload", "objects": asked}
        (answer,) = httpx.post(f"{lfs}/objects/batch", auth=("any", "bob"), json=batch).json()["objects"]
        assert "upload" in answer["actions"]
        assert httpx.post(f"{lfs}/verify", auth=("any", "bob"), json=asked[0]).status_code == 404
        short = httpx.put(f"{lfs}/objects/{oid}/{size}", auth=("any", "bob"), content=b"")
        assert short.status_code == 422
        assert client.missing_large("bob", "own", asked) == asked


def test_what_is_published_anew_is_all_that_others_get_and_private_again_is_nothing(new_project, acting, hub):
    project = new_project("ada", "faces", {"a": b"first"})
    with acting("ada") as client:
        first = snapshot(client, project, quiet).model["id"]
        (project.folder / "a").write_text("second")
        publish(client, project, "hub", "", quiet)
        (project.folder / "a").write_text("third")
        third = snapshot(client, project, quiet).model["id"]
    with acting("bob") as client:
        assert len(client.snapshots("ada", "faces")) == 1
        for wanted in (first, third):
            with pytest.raises(HubError, match="has no published snapshot") as said:
                client.fork("ada", "faces", "mine", wanted, quiet)
            assert said.value.status == 404
        mine = fork(client, "ada", "faces", "mine", quiet).working
        assert (mine.folder / "a").read_text() == "second"
        url = f"{hub.url}git/ada/faces.git"
        settings = ("-c", f"http.extraHeader={client.git_environment['GIT_CONFIG_VALUE_0']}")
        refs = subprocess.run(["git", *settings, "ls-remote", url], capture_output=True, text=True, check=True).stdout
        assert {line.split("\t")[1] for line in refs.splitlines()} == {"HEAD", "refs/heads/published"}
    with acting("ada") as client:
        client.publish("ada", "faces", {"visibility": "private"}, quiet)
    with acting("bob") as client:
        for ask in (
            lambda: client.project("ada", "faces"),
            lambda: client.fork("ada", "faces", "again", "", quiet),
            lambda: client.offer("bob", "mine", "", ""),
        ):
            with pytest.raises(HubError, match="that you can see"):
                ask()
        assert client.project("bob", "mine")["parent"] == ""
        assert (mine.folder / "a").read_text() == "second"


def test_only_a_group_of_ones_own_can_be_shared_with(new_project, acting, lab):
    project = new_project("ada", "faces", {"a": b"1"})
    with acting("ada") as client:
        for team, message in (("others", "You are in no group 'others'"), ("", "Name the group")):
            with pytest.raises(HubError, match=message):
                publish(client, project, "team", team, quiet)
        assert client.project("ada", "faces")["visibility"] == "private"
        publish(client, project, "team", "lab", quiet)
        assert client.project("ada", "faces")["team"] == "lab"
    with acting("bob") as client:
        assert client.project("ada", "faces")["name"] == "faces"
