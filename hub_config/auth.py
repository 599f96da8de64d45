"""Sign-in: NativeAuthenticator, with the first administrator's password set before anybody can sign up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bcrypt
import nativeauthenticator.handlers
from nativeauthenticator import NativeAuthenticator
from nativeauthenticator.orm import UserInfo
from tornado.escape import url_escape
from traitlets import Unicode


class LoginHandler(nativeauthenticator.handlers.LoginHandler):  # type: ignore[misc]
    """The login page. NativeAuthenticator 1.3's own form fails on JupyterHub 6, which has no `statsd` any more."""

    def _render(self, login_error: str | None = None, username: str | None = None, **kwargs: Any) -> Any:
        return self.render_template(
            "native-login.html",
            next=url_escape(self.get_argument("next", default="")),
            username=username,
            login_error=login_error,
            login_url=self.settings["login_url"],
            enable_signup=self.authenticator.enable_signup,
            two_factor_auth=self.authenticator.allow_2fa,
            **kwargs,
        )

    async def post(self) -> None:
        """Sign in, or show the form again with the reason (HTTP 403)."""
        data = {name: self.get_body_argument(name, strip=False) for name in self.request.body_arguments}
        if user := await self.login_user(data):
            self._jupyterhub_user = user
            self.redirect(self.get_next_url(user))
            return
        username, password = data.get("username", ""), data.get("password", "")
        known = self.authenticator.get_user(username)
        waiting = known and known.is_valid_password(password) and not known.is_authorized
        error = "An administrator has not authorized this account yet." if waiting else "Invalid username or password."
        self.set_status(403)
        self.finish(await self._render(login_error=error, username=username))


class RegrowAuthenticator(NativeAuthenticator):  # type: ignore[misc]
    """NativeAuthenticator whose first administrator comes from a file, which is removed once it was read.

    Without it, whoever signs up first under the administrator's name would be the administrator.
    """

    first_password_file = Unicode(
        config=True,
        help="File (mode 0600) of `NAME:PASSWORD` for the first administrator; read and removed when the hub starts.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        path = Path(self.first_password_file)
        if self.first_password_file and path.exists():
            name, password = path.read_text().strip().split(":", 1)
            self._add_administrator(name, password)
            path.unlink()

    def get_handlers(self, app: Any) -> list[tuple[str, type]]:
        ours = {"/login": LoginHandler}
        return [(route, ours.get(route, handler)) for route, handler in super().get_handlers(app)]

    def _add_administrator(self, name: str, password: str) -> None:
        if self.user_exists(name):
            self.log.warning("The administrator %s exists already and keeps their password.", name)
            return
        encoded = bcrypt.hashpw(password.encode(), bcrypt.gensalt())
        self.db.add(UserInfo(username=name, password=encoded, is_authorized=True))
        self.db.commit()
