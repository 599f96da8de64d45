"""A small client of the hub service's REST API."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any, Self
from urllib.parse import quote

import httpx

URL_VARIABLE = "REGROW_SERVICE_URL"
TOKEN_VARIABLES = ("REGROW_API_TOKEN", "JUPYTERHUB_API_TOKEN")

Model = dict[str, Any]
Progress = Callable[[str], None]


class HubError(Exception):
    """The hub said no, or nothing; `status` is HTTP's, 0 where it could not be reached."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class NotConnected(HubError):
    """Nothing says where the hub is."""


class HubClient:
    """Requests to the hub service at `url` with a token of JupyterHub's. Methods raise `HubError`.

    What the models are is described by the service itself, at `api/openapi.json`.
    """

    def __init__(self, url: str, token: str, timeout_s: float = 60.0) -> None:
        self.url = url.rstrip("/") + "/"
        self._token = token
        # What is on the way between a server and its hub is known: no proxy of the user's.
        self._http = httpx.Client(
            base_url=f"{self.url}api/",
            headers={"Authorization": f"token {token}"},
            timeout=httpx.Timeout(timeout_s, connect=min(timeout_s, 10.0)),
            trust_env=False,
        )

    @classmethod
    def from_environment(cls, timeout_s: float = 60.0) -> Self:
        """The hub of this server or, on a laptop, the one that the environment names. Raises `NotConnected`.

        An answer is waited for for `timeout_s`, but where something long is done.
        """
        url = os.environ.get(URL_VARIABLE, "")
        token = next((os.environ[name] for name in TOKEN_VARIABLES if os.environ.get(name)), "")
        if not url or not token:
            raise NotConnected(
                f"This is no server of a Regrow hub. Elsewhere, set {URL_VARIABLE} to the hub's "
                f".../services/regrow/ and {TOKEN_VARIABLES[0]} to a token of it."
            )
        return cls(url, token, timeout_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    @property
    def git_environment(self) -> dict[str, str]:
        """Variables with which git signs in to the hub: in no command line, no file and no URL."""
        return {
            "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": f"http.{self.url}.extraHeader",
            "GIT_CONFIG_VALUE_0": f"Authorization: token {self._token}",
        }

    @cached_property
    def store_id(self) -> str:
        """Which store the hub keeps large files in."""
        return str(self.user()["store_id"])

    def git_url(self, owner: str, name: str) -> str:
        """A project's repository, for git with `git_environment`."""
        return f"{self.url}git/{quote(owner, safe='')}/{quote(name, safe='')}.git"

    def user(self) -> Model:
        """Who the token belongs to: `name`, `groups`, `is_admin`, `bytes_used`, `bytes_left`, `store_id`."""
        return self._get("user")

    def projects(self, search: str = "", owner: str = "") -> list[Model]:
        """The projects that the user may see, the last changed first."""
        return self._request("GET", "projects", params={"search": search, "owner": owner})  # type: ignore[no-any-return]

    def project(self, owner: str, name: str) -> Model:
        """One project."""
        return self._get(_path(owner, name))

    def create(self, name: str, description: str = "") -> Model:
        """A new project of the user's, without a folder."""
        return self._request("POST", "projects", {"name": name, "description": description})  # type: ignore[no-any-return]

    def delete(self, owner: str, name: str) -> None:
        """Put a project into the recycle bin."""
        self._request("DELETE", _path(owner, name))

    def recycle_bin(self) -> list[Model]:
        """The user's deleted projects."""
        return self._request("GET", "recycle-bin")  # type: ignore[no-any-return]

    def undelete(self, project_id: str) -> Model:
        """Take a project out of the recycle bin."""
        return self._request("POST", f"recycle-bin/{quote(project_id, safe='')}/restore")  # type: ignore[no-any-return]

    def purge(self, project_id: str) -> None:
        """Remove a deleted project for good."""
        self._request("DELETE", f"recycle-bin/{quote(project_id, safe='')}")

    def lineage(self, owner: str, name: str) -> list[Model]:
        """The tree of forks that a project is in."""
        return self._request("GET", _path(owner, name, "lineage"))  # type: ignore[no-any-return]

    def snapshots(self, owner: str, name: str) -> list[Model]:
        """The snapshots that the hub has, the newest first."""
        return self._request("GET", _path(owner, name, "snapshots"))  # type: ignore[no-any-return]

    def add_snapshot(self, owner: str, name: str, snapshot: Model) -> Model:
        """Have the hub note a state that was pushed: `id`, `name`, `reason`, `branch`, `environment`."""
        return self._request("POST", _path(owner, name, "snapshots"), snapshot)  # type: ignore[no-any-return]

    def keep_large(self, owner: str, name: str, folder: str, paths: list[str]) -> Iterator[Model]:
        """Have the hub read large files in `~/projects/FOLDER`; yields `reading` and `kept` as it goes."""
        return self._lines("POST", _path(owner, name, "large-files"), {"folder": folder, "paths": paths})

    def missing_large(self, owner: str, name: str, pointers: list[Model]) -> list[Model]:
        """Those of the large files (`oid`, `size`) that the project does not have."""
        return self._request("POST", _path(owner, name, "large-files/missing"), pointers)  # type: ignore[no-any-return]

    @contextmanager
    def large(self, owner: str, name: str, oid: str) -> Iterator[Iterator[bytes]]:
        """The content of a large file, in parts."""
        url = f"{self.git_url(owner, name)}/info/lfs/objects/{oid}"
        with self._errors(), self._http.stream("GET", url) as answer:
            _check(answer)
            yield answer.iter_bytes()

    def publish(self, owner: str, name: str, publication: Model, progress: Progress) -> Model:
        """Decide who sees a project: `visibility`, `team`, `snapshot`."""
        return self._streamed("PUT", _path(owner, name, "publication"), publication, progress)

    def fork(self, owner: str, name: str, new_name: str, snapshot: str, progress: Progress) -> Model:
        """Fork a project: `project` and `snapshot` of what was made."""
        return self._streamed("POST", _path(owner, name, "forks"), {"name": new_name, "snapshot": snapshot}, progress)

    def set_base(self, owner: str, name: str, commit: str) -> None:
        """Have the hub note which state of its parent a fork has merged."""
        self._request("PUT", _path(owner, name, "base"), {"commit": commit})

    def offer(self, owner: str, name: str, snapshot: str, message: str) -> Model:
        """Offer a fork's snapshot to its parent."""
        return self._request("POST", _path(owner, name, "offers"), {"snapshot": snapshot, "message": message})  # type: ignore[no-any-return]

    def offers(self, owner: str, name: str) -> list[Model]:
        """What was offered to a project, and what it offers itself."""
        return self._request("GET", _path(owner, name, "offers"))  # type: ignore[no-any-return]

    def decide(self, offer_id: str, state: str) -> Model:
        """Set an offer's state: `accepted`, `declined` or `withdrawn`."""
        return self._request("PUT", f"offers/{quote(offer_id, safe='')}", {"state": state})  # type: ignore[no-any-return]

    def _get(self, path: str) -> Model:
        return self._request("GET", path)  # type: ignore[no-any-return]

    def _request(self, method: str, path: str, body: Any = None, params: Model | None = None) -> Any:
        with self._errors():
            answer = self._http.request(method, path, json=body, params=params)
            _check(answer)
            return answer.json() if answer.content else None

    def _streamed(self, method: str, path: str, body: Model, progress: Progress) -> Model:
        for line in self._lines(method, path, body):
            if "message" in line:
                progress(line["message"])
            if "result" in line:
                return line["result"]  # type: ignore[no-any-return]
        raise HubError("The hub hung up before it was done.")

    def _lines(self, method: str, path: str, body: Model) -> Iterator[Model]:
        # Layers and large files take minutes, in which there may be nothing to say.
        with (
            self._errors(),
            self._http.stream(method, path, json=body, timeout=httpx.Timeout(None, connect=10)) as answer,
        ):
            _check(answer)
            for text in answer.iter_lines():
                line = json.loads(text)
                if "error" in line:
                    raise HubError(line["error"], line["status"])
                yield line

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except httpx.HTTPError as error:
            raise HubError(
                f"The hub at {self.url} can't be reached ({error or type(error).__name__}). Try again in a moment; "
                "your files are as they were."
            ) from error


def _path(owner: str, name: str, below: str = "") -> str:
    return f"projects/{quote(owner, safe='')}/{quote(name, safe='')}" + (f"/{below}" if below else "")


def _check(answer: httpx.Response) -> None:
    if answer.is_success:
        return
    answer.read()
    try:
        message = str(answer.json()["message"])
    except (ValueError, KeyError, TypeError):
        message = f"The hub answered {answer.status_code} {answer.reason_phrase}."
    raise HubError(message, answer.status_code)
