"""A small client of JupyterHub's REST API and of the kernels of a user's server.

    async with HubAPI("http://127.0.0.1:8000", token) as hub:
        await hub.create_user("alice")
        await hub.start_server("alice", {"profile": "cpu"}, on_progress=print)
        assert (await hub.run_cell("alice", "6 * 7")).value == "42"
        await hub.stop_server("alice")
        await hub.delete_user("alice")

`regrow smoke`, `regrow token`, the benchmarks and the end-to-end tests all use it. Every call has a time
limit, and every failure is a `HubAPIError` whose text says what was asked, what the hub answered, what to do.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import quote, urlsplit

import httpx
import websockets

from regrow.hub_config.kernel_protocol import (
    KERNEL_PROTOCOL,
    LARGEST_MESSAGE_BYTES,
    CellResult,
    KernelError,
    execute,
)

log = logging.getLogger("regrow.hub_api")

Model = dict[str, Any]
"""A JSON object as the hub sends it: a user, a server, a progress event."""

SERVER_TOKEN_LIFETIME_S = 3600
POLL_INTERVAL_S = 0.05
ADVICE = {
    401: "Check the token: it may be wrong, expired or revoked.",
    403: "Check the token: it may be wrong, expired or revoked, or lack the scope for this.",
    404: "Check the name, and that the token may see it.",
    429: "The hub is busy. Try again in a minute.",
    500: "The hub's log has the details.",
    502: "The server behind the proxy does not answer. Its own log and the hub's have the details.",
    503: "The server is not running, or the hub is starting. Start it, or try again in a minute.",
}


class HubAPIError(Exception):
    """What was asked of the hub and did not happen. `status` is the HTTP status, None without an answer."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class APIToken:
    """An API token that the hub has just minted. `repr` leaves the secret out."""

    id: str
    scopes: list[str]
    expires_at: str | None
    token: str = field(repr=False)


class HubAPI:
    """One connection to the hub at `url` (with its base URL, if it has one) with an API token."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url.rstrip("/")
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise HubAPIError(f"{url!r} is not the URL of a hub. Give one such as http://127.0.0.1:8000.")
        self._origin = f"{parts.scheme}://{parts.netloc}"
        self._token = token
        # A proxy meant for the world outside is no way to this machine itself.
        self._use_proxy = parts.hostname not in ("localhost", "127.0.0.1", "::1")
        self._client = httpx.AsyncClient(trust_env=self._use_proxy, timeout=httpx.Timeout(60, connect=10))
        self._server_tokens: dict[tuple[str, str], APIToken] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        try:
            for (user, _), token in self._server_tokens.items():
                try:
                    await self.revoke_token(user, token)
                except HubAPIError as error:
                    log.debug("A token was left to expire by itself: %s", error)
        finally:
            await self._client.aclose()

    # ---- the hub ----

    async def request(self, method: str, path: str, body: Any = None, *, doing: str = "") -> Any:
        """Send one request to the hub's REST API and return its JSON answer, or None if it has no body.

        `path` is relative to `/hub/api/`; `doing` says what it is for, in error messages. Raises HubAPIError.
        """
        url = f"{self.url}/hub/api/{path}"
        return await self._send(method, url, self._token, body, doing or f"{method} /hub/api/{path}")

    async def create_user(self, user: str) -> Model:
        """Make a user who does not exist yet. Raises HubAPIError, with status 409 if they do."""
        users = await self.request("POST", "users", {"usernames": [user]}, doing=f"create user {user}")
        created: Model = users[0]
        return created

    async def user_model(self, user: str) -> Model:
        """The hub's model of a user: `name`, `groups`, `servers` (those that run, by name) and more."""
        model: Model = await self.request("GET", _user_path(user), doing=f"find user {user}")
        return model

    async def delete_user(self, user: str, timeout_s: float = 120) -> None:
        """Stop a user's servers, also those that are just starting, and delete the user."""
        async with _time_limit(timeout_s, f"delete user {user}"):
            model = await self.user_model(user)
            for server_name in model.get("servers") or {}:
                await self.stop_server(user, server_name, timeout_s)
            await self.request("DELETE", _user_path(user), doing=f"delete user {user}")
        self._server_tokens = {key: token for key, token in self._server_tokens.items() if key[0] != user}

    async def server_model(self, user: str, server_name: str = "") -> Model:
        """The hub's model of a server: `ready`, `pending`, `stopped`, `url`, `user_options` and more."""
        doing = f"look at {_server(user, server_name)}"
        model: Model = await self.request("GET", _server_path(user, server_name), doing=doing)
        return model

    async def start_server(
        self,
        user: str,
        options: Model | None = None,
        server_name: str = "",
        *,
        timeout_s: float = 300,
        on_progress: Callable[[Model], None] | None = None,
    ) -> list[Model]:
        """Start a server with the given user options, wait until it is ready, return its progress events.

        `on_progress` is called with each event as it comes. Raises HubAPIError with the spawner's own message
        when the spawn fails, or when it is not ready in time (the spawn then goes on; stop_server ends it).
        """
        events: list[Model] = []
        doing = f"start {_server(user, server_name)}"
        body = {"user_options": options or {}}
        async with _time_limit(timeout_s, doing, lambda: events[-1]["message"] if events else ""):
            # The hub answers this when the server is ready or 10 s have passed; progress comes meanwhile.
            post = asyncio.create_task(self.request("POST", _server_path(user, server_name), body, doing=doing))
            try:
                while not post.done():
                    if await self._is_starting(user, server_name):
                        break
                    await asyncio.wait([post], timeout=POLL_INTERVAL_S)
                if post.done():
                    await post  # refused or failed at once: this raises
                async for event in self._progress(user, server_name, doing):
                    events.append(event)
                    if on_progress:
                        on_progress(event)
                    if event.get("failed"):
                        message = event["message"].removeprefix("Spawn failed: ").rstrip(".")
                        raise HubAPIError(f"Could not {doing}: {message}.")
                if not (events and events[-1].get("ready")):
                    await post
                    raise HubAPIError(f"Could not {doing}: the hub's progress ended before it was ready. {ADVICE[500]}")
            finally:
                if not post.done():
                    post.cancel()
                await asyncio.gather(post, return_exceptions=True)
        return events

    async def _is_starting(self, user: str, server_name: str) -> bool:
        try:
            return bool((await self.server_model(user, server_name))["pending"] == "spawn")
        except HubAPIError as error:
            if error.status == 404:  # a named server exists only once it has been asked for
                return False
            raise

    async def _progress(self, user: str, server_name: str, doing: str) -> AsyncIterator[Model]:
        url = f"{self.url}/hub/api/{_server_path(user, server_name)}/progress"
        headers = {"Authorization": f"token {self._token}"}
        try:
            async with self._client.stream("GET", url, headers=headers) as response:
                if response.is_error:
                    await response.aread()
                    raise _refused(response, doing)
                async for line in response.aiter_lines():
                    if line.startswith("data:"):
                        yield json.loads(line.removeprefix("data:"))
        except httpx.HTTPError as error:
            raise _unreachable(self.url, doing, error) from error

    async def stop_server(self, user: str, server_name: str = "", timeout_s: float = 120) -> None:
        """Stop a server and wait until it has stopped. A server that does not run is left as it is."""
        doing = f"stop {_server(user, server_name)}"
        async with _time_limit(timeout_s, doing):
            await self.request("DELETE", _server_path(user, server_name), doing=doing)
            while not (model := await self.server_model(user, server_name))["stopped"]:
                if not model["pending"]:
                    raise HubAPIError(f"Could not {doing}: the hub gave up, and it still runs. {ADVICE[500]}")
                await asyncio.sleep(POLL_INTERVAL_S)

    async def mint_token(
        self,
        user: str,
        scopes: list[str] | None = None,
        expires_in_s: int | None = None,
        note: str = "",
    ) -> APIToken:
        """Mint an API token that belongs to `user`; without scopes it can do all that the user can.

        Without `expires_in_s` it lives as long as the hub allows. Raises HubAPIError.
        """
        body: Model = {"note": note, "expires_in": expires_in_s}
        if scopes is not None:
            body["scopes"] = scopes
        model = await self.request("POST", f"{_user_path(user)}/tokens", body, doing=f"mint a token for {user}")
        return APIToken(id=model["id"], scopes=model["scopes"], expires_at=model["expires_at"], token=model["token"])

    async def revoke_token(self, user: str, token: APIToken) -> None:
        """Make a minted token worthless."""
        await self.request("DELETE", f"{_user_path(user)}/tokens/{token.id}", doing=f"revoke a token of {user}")

    # ---- a user's server ----

    async def server_request(
        self, user: str, method: str, path: str, body: Any = None, *, server_name: str = ""
    ) -> Any:
        """Send one request to the server's own REST API, to a path such as `api/kernels`; returns its answer.

        It goes with a token of the user's for this server only, which is revoked when the client closes.
        """
        url, token = await self._server_access(user, server_name)
        return await self._send(method, url + path, token, body, f"{method} {path} of {_server(user, server_name)}")

    async def start_kernel(
        self, user: str, *, kernel_name: str = "python3", path: str = "", server_name: str = ""
    ) -> str:
        """Start a kernel whose working directory is `path`, relative to the server's root; returns its id."""
        body = {"name": kernel_name, "path": path}
        model = await self.server_request(user, "POST", "api/kernels", body, server_name=server_name)
        return str(model["id"])

    async def run_cell(
        self,
        user: str,
        code: str,
        timeout_s: float = 60,
        *,
        kernel_id: str | None = None,
        server_name: str = "",
    ) -> CellResult:
        """Run a cell on the given kernel, else on one that already runs, else on a new one; wait for its end.

        What the cell raises is in the result. Raises HubAPIError when the cell can't be run, when its kernel
        dies, or after `timeout_s` seconds (the cell then goes on running).
        """
        doing = f"run a cell on {_server(user, server_name)}"
        async with _time_limit(timeout_s, doing, advice="If the cell had started, it goes on running."):
            url, token = await self._server_access(user, server_name)
            if kernel_id is None:
                kernels = await self.server_request(user, "GET", "api/kernels", server_name=server_name)
                kernel_id = kernels[0]["id"] if kernels else await self.start_kernel(user, server_name=server_name)
            session = secrets.token_hex(16)
            try:
                async with websockets.connect(
                    f"{url.replace('http', 'ws', 1)}api/kernels/{kernel_id}/channels?session_id={session}",
                    additional_headers={"Authorization": f"token {token}"},
                    subprotocols=[KERNEL_PROTOCOL],
                    max_size=LARGEST_MESSAGE_BYTES,
                    proxy=True if self._use_proxy else None,
                    open_timeout=timeout_s,
                ) as socket:
                    return await execute(socket, code, session)
            except KernelError as error:
                raise HubAPIError(f"Could not {doing}: {error}") from error
            except (OSError, websockets.WebSocketException) as error:
                raise HubAPIError(f"Could not {doing}: its websocket failed ({error}). {ADVICE[502]}") from error

    async def _server_access(self, user: str, server_name: str) -> tuple[str, str]:
        """The server's URL, with a slash at its end, and a token for it."""
        model = await self.server_model(user, server_name)
        if (user, server_name) not in self._server_tokens:
            scopes = [f"access:servers!server={user}/{server_name}"]
            self._server_tokens[user, server_name] = await self.mint_token(
                user, scopes, SERVER_TOKEN_LIFETIME_S, "regrow: to run cells"
            )
        url = model["url"] if "://" in model["url"] else self._origin + model["url"]
        return url, self._server_tokens[user, server_name].token

    async def _send(self, method: str, url: str, token: str, body: Any, doing: str) -> Any:
        headers = {"Authorization": f"token {token}"}
        try:
            response = await self._client.request(method, url, headers=headers, json=body)
        except httpx.HTTPError as error:
            raise _unreachable(self.url, doing, error) from error
        if not response.is_success:
            raise _refused(response, doing)
        try:
            return response.json() if response.content else None
        except ValueError as error:
            message = f"Could not {doing}: {self.url} answered, but not as a JupyterHub does. Check the URL."
            raise HubAPIError(message, response.status_code) from error


def _user_path(user: str) -> str:
    return f"users/{quote(user, safe='')}"


def _server_path(user: str, server_name: str) -> str:
    return f"{_user_path(user)}/" + (f"servers/{quote(server_name, safe='')}" if server_name else "server")


def _server(user: str, server_name: str) -> str:
    return f"{user}'s server" + (f" {server_name}" if server_name else "")


def _refused(response: httpx.Response, doing: str) -> HubAPIError:
    try:
        answer = str(response.json()["message"])
    except (ValueError, KeyError, TypeError):
        answer = ""
    if answer in ("", "None"):  # what the hub sends for an error without a message
        answer = response.reason_phrase
    status = response.status_code
    text = f"Could not {doing}: the hub answered {status}: {answer.rstrip('.')}. {ADVICE.get(status, '')}"
    return HubAPIError(text.rstrip(), status)


def _unreachable(url: str, doing: str, error: httpx.HTTPError) -> HubAPIError:
    cause = str(error) or type(error).__name__
    return HubAPIError(
        f"Could not {doing}: the hub at {url} could not be reached ({cause}). Is it running? `regrow up` starts it."
    )


@asynccontextmanager
async def _time_limit(
    timeout_s: float,
    doing: str,
    last_sign: Callable[[], str] = lambda: "",
    advice: str = "The hub's log has the details.",
) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(timeout_s):
            yield
    except TimeoutError as error:
        sign = last_sign()
        detail = f" The last that was heard: {sign}." if sign else ""
        raise HubAPIError(f"Could not {doing} within {timeout_s:g} s.{detail} {advice}") from error
