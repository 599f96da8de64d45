"""The hub-managed service of projects in JupyterHub's configuration, and what users may do there."""

from __future__ import annotations

import json
import sys
from urllib.parse import urlsplit

from traitlets.config import Config

from regrow.hub_service.scopes import ADMIN, READ, SCOPES
from regrow.hub_service.settings import CONFIG_VARIABLE

NAME = "regrow"


def configure_projects(c: Config, data_dir: str, port: int) -> None:
    """Add the service, its scopes and roles, and tell servers where it is. `port` 0: the default one."""
    # Where servers reach it: beside the hub's own address.
    host = c.JupyterHub.get("hub_connect_ip") or c.JupyterHub.get("hub_ip") or "127.0.0.1"
    url = f"http://{host}:{projects_port(c, port)}"
    c.HubService.setdefault("data_dir", data_dir)
    access, own = f"access:services!service={NAME}", [scope for scope in SCOPES if scope != ADMIN]
    c.JupyterHub.services.append(
        {
            "name": NAME,
            "url": url,
            # A hub that is killed with -9 takes its service along; the next hub starts one of its own.
            "command": ["setpriv", "--pdeathsig", "TERM", sys.executable, "-m", "regrow.hub_service"],
            "environment": {CONFIG_VARIABLE: json.dumps({"HubService": dict(c.HubService)})},
            "oauth_no_confirm": True,
            # What its pages may do in a browser: show.
            "oauth_client_allowed_scopes": [access, READ],
        }
    )
    scopes = {scope: {"description": description} for scope, description in SCOPES.items()}
    c.JupyterHub.setdefault("custom_scopes", {}).update(scopes)
    roles = {
        NAME: {"services": [NAME], "scopes": ["read:users:name", "read:users:groups"]},
        "user": {"scopes": ["self", access, *own]},
        "server": {"scopes": ["users:activity!user", "access:servers!server", *own]},
    }
    # A deployment that has roles of these names decides itself.
    there = {role["name"] for role in c.JupyterHub.load_roles}
    c.JupyterHub.load_roles += [{"name": name, **role} for name, role in roles.items() if name not in there]
    c.Spawner.setdefault("environment", {})["REGROW_SERVICE_URL"] = f"{url}{_base_url(c)}services/{NAME}/"


def projects_port(c: Config, port: int) -> int:
    """The port of the service, for a configuration that has a `bind_url`."""
    return port or (urlsplit(c.JupyterHub.bind_url).port or 8000) + 82


def _base_url(c: Config) -> str:
    path = (c.JupyterHub.get("base_url") or urlsplit(c.JupyterHub.bind_url).path).strip("/")
    return f"/{path}/" if path else "/"
