"""The service as JupyterHub starts it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from urllib.parse import quote, urlsplit

import uvicorn
from traitlets.config import Config

from regrow.hub_service.app import create_app
from regrow.hub_service.auth import HubSignIn
from regrow.hub_service.places import Places
from regrow.hub_service.registry.database import open_database
from regrow.hub_service.service import Limits, Service
from regrow.hub_service.settings import CONFIG_VARIABLE, HubService
from regrow.store import Store


def main() -> None:
    """Serve until the hub says to stop."""
    settings = HubService(config=Config(json.loads(os.environ[CONFIG_VARIABLE])))
    places = Places(Path(settings.data_dir))
    places.make()
    url = urlsplit(os.environ["JUPYTERHUB_SERVICE_URL"])
    prefix = os.environ["JUPYTERHUB_SERVICE_PREFIX"]

    def clone_url(owner: str, name: str) -> str:
        return f"{url.scheme}://{url.netloc}{prefix}git/{quote(owner, safe='')}/{quote(name, safe='')}.git"

    with Store.create(settings.store_url or str(places.data_dir / "store"), places.data_dir / "store_cache") as store:
        limits = Limits(settings.bytes_per_user, settings.projects_per_user, settings.recycle_bin_s)
        database = settings.database_url or f"sqlite:///{places.data_dir / 'registry.sqlite'}"
        service = Service(places, open_database(database), store, limits, clone_url)
        app = create_app(service, HubSignIn(), prefix)
        uvicorn.run(app, host=url.hostname or "127.0.0.1", port=url.port or 80, log_level="warning")


if __name__ == "__main__":
    main()
