"""Who asks: JupyterHub's tokens, and its OAuth for browsers."""

from __future__ import annotations

import base64
import binascii
import time
from dataclasses import replace
from typing import Annotated, Any
from urllib.parse import quote, urlencode

import httpx
from fastapi import APIRouter, Depends, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import RedirectResponse
from jupyterhub.services.auth import HubOAuth

from regrow.hub_service.deleted_users import retire
from regrow.hub_service.scopes import ADMIN, SCOPES
from regrow.hub_service.viewer import NOBODY, Viewer

_COOKIE = "regrow-session"
_STATE_COOKIE = "regrow-oauth-state"
_GROUPS_KEPT_S = 30.0


class HubSignIn:
    """Asks JupyterHub who a token belongs to."""

    def __init__(self) -> None:
        self.oauth = HubOAuth(cache_max_age=30)
        self._groups: dict[str, tuple[float, frozenset[str]]] = {}

    async def viewer(self, token: str) -> Viewer:
        """Whom `token` belongs to. Raises `HTTPException` 401 where nobody."""
        model = await self.oauth.user_for_token(token, sync=False)
        if not model or model.get("kind") != "user":
            raise unauthorized("That token is not known to this hub, or has expired.")
        scopes = frozenset(scope.partition("!")[0] for scope in model["scopes"])
        groups = await self._groups_of(model["name"])
        is_admin = ADMIN in scopes or "admin:users" in scopes
        return Viewer(model["name"], groups=groups, is_admin=is_admin, scopes=scopes)

    async def _groups_of(self, user: str) -> frozenset[str]:
        asked, groups = self._groups.get(user, (0.0, frozenset()))
        if time.monotonic() - asked < _GROUPS_KEPT_S:
            return groups
        async with httpx.AsyncClient(trust_env=False) as client:
            answer = await client.get(
                f"{self.oauth.api_url}/users/{quote(user, safe='')}",
                headers={"Authorization": f"token {self.oauth.api_token}"},
            )
        if answer.is_error:
            raise HTTPException(502, f"The hub does not say which groups {user} is in ({answer.status_code}).")
        groups = frozenset(answer.json().get("groups", ()))
        self._groups[user] = (time.monotonic(), groups)
        return groups


def unauthorized(message: str) -> HTTPException:
    """The answer to those who are not known, which has git ask for a password."""
    return HTTPException(401, message, headers={"WWW-Authenticate": 'Basic realm="Regrow"'})


async def viewer_of(request: Request) -> Viewer:
    """Who sends the request: by the token in its header, as a token or (git's way) a password; else nobody.

    Raises `HTTPException` 401 for a token that nobody has.
    """
    kind, _, value = request.headers.get("Authorization", "").partition(" ")
    if not kind:
        return NOBODY
    if kind.lower() == "basic":
        try:
            value = base64.b64decode(value, validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            raise unauthorized("The password can't be read: it should be a token of this hub.") from None
    elif kind.lower() not in ("token", "bearer"):
        raise unauthorized(f"{kind} is no way to sign in here: use a token of this hub.")
    return await _known(request, value.strip())


async def _known(request: Request, token: str) -> Viewer:
    sign_in: HubSignIn = request.app.state.sign_in
    viewer = await sign_in.viewer(token)
    own = await run_in_threadpool(retire, request.app.state.service, viewer.name)
    return replace(viewer, id=own)


def check_scope(viewer: Viewer, scope: str) -> None:
    """Raise `HTTPException` unless the viewer's token may be used for this."""
    if not viewer.name:
        raise unauthorized("Sign in with a token of this hub.")
    if not viewer.scopes & {scope, ADMIN}:
        raise HTTPException(403, f"This token lacks the scope {scope} ({SCOPES[scope]}).")


def needs(scope: str) -> Any:
    """The viewer, whose token has `scope`, as a parameter of a handler."""

    async def check(viewer: Annotated[Viewer, Depends(viewer_of)]) -> Viewer:
        check_scope(viewer, scope)
        return viewer

    return Depends(check)


def browser_router(prefix: str) -> APIRouter:
    """Where JupyterHub sends browsers back to after they have signed in."""
    router = APIRouter(include_in_schema=False)

    @router.get("/oauth_callback")
    async def callback(request: Request, code: str = "", state: str = "") -> RedirectResponse:
        oauth = request.app.state.sign_in.oauth
        if not code or not state or request.cookies.get(_STATE_COOKIE) != state:
            raise HTTPException(400, "That was not the answer to a question of this browser's. Open the page again.")
        token = await oauth.token_for_code(code, code_verifier=oauth.get_code_verifier(state), sync=False)
        answer = RedirectResponse(oauth.get_next_url(state), 302)
        oauth.clear_oauth_state(state)
        answer.delete_cookie(_STATE_COOKIE, path=prefix)
        _set_cookie(answer, request, _COOKIE, token, prefix)
        return answer

    return router


async def browser_viewer(request: Request) -> Viewer | RedirectResponse:
    """Who looks at a page, or the way to sign in. Only for pages that change nothing."""
    sign_in: HubSignIn = request.app.state.sign_in
    if token := request.cookies.get(_COOKIE):
        try:
            return await _known(request, token)
        except HTTPException as error:
            if error.status_code != 401:
                raise
    oauth = sign_in.oauth
    verifier, challenge, method = oauth.generate_pkce_code_challenge()
    state = oauth.generate_state(next_url=request.url.path, code_verifier=verifier)
    parameters = {
        "client_id": oauth.oauth_client_id,
        "redirect_uri": oauth.oauth_redirect_uri,
        "response_type": "code",
        "state": state,
        "code_challenge": challenge,
        "code_challenge_method": method,
    }
    answer = RedirectResponse(f"{oauth.oauth_authorization_url}?{urlencode(parameters)}", 302)
    _set_cookie(answer, request, _STATE_COOKIE, state, oauth.base_url)
    return answer


def _set_cookie(answer: RedirectResponse, request: Request, name: str, value: str, path: str) -> None:
    is_https = request.headers.get("X-Forwarded-Proto", request.url.scheme).split(",")[0] == "https"
    answer.set_cookie(name, value, path=path, httponly=True, samesite="lax", secure=is_https)
