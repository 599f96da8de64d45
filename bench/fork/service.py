"""`python -m bench.fork.service DATA_DIR PORT`: the hub's service of projects as it is, without a hub.

Only the sign-in is the benchmark's own: whoever knows the secret in `BENCH_SECRET` is whom they say that they are.
"""

from __future__ import annotations

import os
import secrets
import sys
from pathlib import Path

import uvicorn

from bench.fork.deployment import PREFIX, SECRET
from regrow.hub_service.app import create_app
from regrow.hub_service.auth import HubSignIn, unauthorized
from regrow.hub_service.places import Places
from regrow.hub_service.registry.database import open_database
from regrow.hub_service.scopes import ADMIN, SCOPES
from regrow.hub_service.service import Limits, Service
from regrow.hub_service.viewer import Viewer
from regrow.store import Store


class SignIn(HubSignIn):
    """Takes `NAME-SECRET` for a token of NAME's."""

    def __init__(self, secret: str) -> None:
        self._secret = secret

    async def viewer(self, token: str) -> Viewer:
        """Whom `token` belongs to. Raises `HTTPException` 401 where nobody."""
        name, _, secret = token.rpartition("-")
        if not secrets.compare_digest(secret.encode(), self._secret.encode()):
            raise unauthorized("That token is not known to this benchmark.")
        return Viewer(name, scopes=frozenset(SCOPES) - {ADMIN})


def main(data_dir: Path, port: int) -> None:
    """Serve until SIGTERM."""
    places = Places(data_dir)
    places.make()

    def clone_url(owner: str, name: str) -> str:
        return f"http://127.0.0.1:{port}{PREFIX}git/{owner}/{name}.git"

    with Store.create(str(data_dir / "store"), data_dir / "store_cache") as store:
        database = open_database(f"sqlite:///{data_dir / 'registry.sqlite'}")
        service = Service(places, database, store, Limits(), clone_url)
        app = create_app(service, SignIn(os.environ[SECRET]), PREFIX)
        uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
