"""Sign-in: NativeAuthenticator, with the first administrator's password set before anybody can sign up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import bcrypt
from nativeauthenticator import NativeAuthenticator
from nativeauthenticator.orm import UserInfo
from traitlets import Unicode


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

    def _add_administrator(self, name: str, password: str) -> None:
        encoded = bcrypt.hashpw(password.encode(), bcrypt.gensalt())
        if user := self.get_user(name):
            user.password = encoded
            user.is_authorized = True
        else:
            self.db.add(UserInfo(username=name, password=encoded, is_authorized=True))
        self.db.commit()
