"""One deployment: Regrow's traits, and the JupyterHub configuration that they stand for."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import nativeauthenticator
from traitlets import Bool, Enum, Float, Int, List, Unicode, default
from traitlets.config import Config, Configurable

from regrow.hub_config.projects import configure_projects
from regrow.hub_config.proxy import proxy_command
from regrow.hub_config.secrets import secret
from regrow.images.engine import connect
from regrow.spawner.engine import engine_answers, ensure_network, share_mounts
from regrow.spawner.profiles import Profile, parse_profiles
from regrow.spawner.swarm_network import ensure_swarm_network, service_network

SPAWNERS = {"docker": "regrow-docker", "swarm": "regrow-swarm", "local": "regrow-local"}

#: `regrow up` hands its command line to the hub's process through this variable, as JSON.
CONFIG_VARIABLE = "REGROW_CONFIG"

#: What the service `regrow-cli` may do: `regrow smoke` and `regrow token` need this and no more.
CLI_SCOPES = ["admin:users", "servers", "tokens"]

LOCAL_NOTE = (
    "This hub has no container engine: servers are processes of one system user, so users are not protected "
    "from each other, the profile's limits are not enforced, and sudo is the machine's own."
)


#: How often jupyterhub-singleuser says by itself when it was used last.
_ACTIVITY_INTERVAL_S = 300


class Regrow(Configurable):
    """What an administrator decides about a deployment."""

    name = Unicode(
        "regrow",
        config=True,
        help="""Name of this deployment: of its container network, and the prefix of its containers. Two deployments on
        one engine need two names.""",
    )
    data_dir = Unicode(
        config=True,
        help="""Folder of everything that is kept: the hub's database and secrets, users' and groups' files.
        Default: $XDG_DATA_HOME/regrow, that is ~/.local/share/regrow.""",
    )
    spawner = Enum(
        list(SPAWNERS),
        config=True,
        help="""How servers run: `docker` (containers), `swarm` (services of a Docker Swarm, on many machines) or
        `local` (processes; one machine, one trusted team). Default: docker where an engine answers, else local.""",
    )
    profiles: List[Any] = List(
        config=True,
        help="""What users can choose on the spawn page, the default first: a list of dicts with `slug` (its name in
        the REST API), `name`, `description`, `image`, `cpus`, `memory_bytes`, `gpus` (0: no limit, no GPU) and
        `groups` (only their members see it). Default: the CPU image; with a GPU too where there is any.""",
    )
    admin_name = Unicode("admin", config=True, help="The first administrator, whose password `regrow up` prints once.")
    projects_port = Int(
        0, min=0, config=True, help="Port of the service of projects. Default: that of bind_url plus 82, so 8082."
    )
    idle_timeout_s = Float(
        0,
        config=True,
        help="Seconds without activity after which a server is stopped, by jupyterhub-idle-culler. 0: never.",
    )
    kernel_idle_timeout_s = Int(
        0,
        min=0,
        config=True,
        help="""Seconds without activity after which a kernel that no browser shows is saved and stopped, while its
        server goes on. 0: never. Users can set another in their own MappingKernelManager.cull_idle_timeout.""",
    )
    open_signup = Bool(
        False,
        config=True,
        help="Whether people who sign up may use the hub at once. Default: an administrator authorizes them first.",
    )

    @default("data_dir")
    def _data_dir_default(self) -> str:
        base = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share"
        return str(Path(base) / "regrow")

    @default("spawner")
    def _spawner_default(self) -> str:
        return "docker" if engine_answers() else "local"

    @default("profiles")
    def _profiles_default(self) -> list[dict[str, Any]]:
        cpu = {
            "slug": "cpu",
            "name": "Notebook",
            "description": "JupyterLab with a C++ toolchain, PyTorch and scikit-learn.",
            "image": "regrow/notebook:cpu",
        }
        gpu = {
            "slug": "gpu",
            "name": "GPU notebook",
            "description": "The same with CUDA and one GPU.",
            "image": "regrow/notebook:cuda",
            "gpus": 1,
        }
        return [cpu, gpu] if self.spawner == "docker" and _has_gpus() else [cpu]

    @property
    def hub_dir(self) -> Path:
        """Where the hub's own files are: database, secrets, process ids."""
        return Path(self.data_dir) / "hub"

    @property
    def administrator_file(self) -> Path:
        """Marks that the first administrator was made, and says their name."""
        return self.hub_dir / "administrator"

    @property
    def first_password_file(self) -> Path:
        """Where `regrow up` leaves the first administrator's name and password for the hub to take."""
        return self.hub_dir / "first_password"

    def parsed_profiles(self) -> list[Profile]:
        """The profiles, checked. Raises `ProfileError`."""
        return parse_profiles(self.profiles)


def configure(c: Config) -> Regrow:
    """Fill in the JupyterHub configuration `c` for the deployment that `c.Regrow` describes.

    What the deployment's own file sets before this call stays as it is, so any authenticator and any option of
    JupyterHub can be had. Makes the folders, secrets and the container network that are missing. Raises
    `ProfileError`, `ProxyError`, `EngineError` or `OSError`, each saying what to do.
    """
    c.merge(Config(json.loads(os.environ.get(CONFIG_VARIABLE, "{}"))))
    regrow = Regrow(config=c)
    regrow.parsed_profiles()
    for folder in (Path(regrow.data_dir), regrow.hub_dir):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
    _configure_hub(c, regrow)
    _configure_sign_in(c, regrow)
    _configure_spawner(c, regrow)
    _configure_services(c, regrow)
    return regrow


def _configure_hub(c: Config, regrow: Regrow) -> None:
    hub = regrow.hub_dir
    _fill(c.JupyterHub, bind_url="http://127.0.0.1:8000")
    # JupyterHub's own 8001 and 8081, moved along, so that two deployments need two ports and not six.
    port = urlsplit(c.JupyterHub.bind_url).port or 8000
    _fill(
        c.JupyterHub,
        hub_port=port + 81,
        db_url=f"sqlite:///{hub / 'jupyterhub.sqlite'}",
        cookie_secret_file=str(hub / "cookie_secret"),
        # A restart of the hub is not a restart of anybody's work.
        cleanup_servers=False,
    )
    _fill(
        c.ConfigurableHTTPProxy,
        command=proxy_command(),
        api_url=f"http://127.0.0.1:{port + 1}",
        auth_token=secret(hub / "proxy_token"),
        pid_file=str(hub / "proxy.pid"),
    )
    # The environment wins in JupyterHub, so that the key can come from a vault.
    if "JUPYTERHUB_CRYPT_KEY" not in os.environ:
        _fill(c.CryptKeeper, keys=[secret(hub / "crypt_key")])


def _configure_sign_in(c: Config, regrow: Regrow) -> None:
    _fill(c.Authenticator, enable_auth_state=True)
    if "authenticator_class" in c.JupyterHub:
        return
    c.JupyterHub.authenticator_class = "regrow.hub_config.auth.RegrowAuthenticator"
    if isinstance(c.Authenticator.admin_users, list | tuple):
        c.Authenticator.admin_users = set(c.Authenticator.admin_users)
    c.Authenticator.admin_users.add(regrow.admin_name)
    # Its pages put "Authorize Users" and "Change Password" into the hub's menu.
    c.JupyterHub.setdefault("template_paths", []).append(str(Path(nativeauthenticator.__file__).parent / "templates"))
    # NativeAuthenticator has its own list of who was authorized.
    _fill(c.Authenticator, allow_all=True, username_pattern=r"^[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}$")
    _fill(
        c.RegrowAuthenticator,
        first_password_file=str(regrow.first_password_file),
        open_signup=regrow.open_signup,
        minimum_password_length=10,
        check_common_password=True,
        allowed_failed_logins=5,
    )


def _configure_services(c: Config, regrow: Regrow) -> None:
    services, roles = c.JupyterHub.setdefault("services", []), c.JupyterHub.setdefault("load_roles", [])
    services.append({"name": "regrow-cli", "api_token": secret(regrow.hub_dir / "cli_token")})
    roles.append({"name": "regrow-cli", "services": ["regrow-cli"], "scopes": CLI_SCOPES})
    configure_projects(c, regrow.data_dir, regrow.projects_port)
    if regrow.idle_timeout_s:
        culler = [sys.executable, "-m", "jupyterhub_idle_culler", f"--timeout={regrow.idle_timeout_s:g}"]
        # A hub that is killed with -9 takes its culler along; the next hub starts one of its own.
        services.append({"name": "idle-culler", "command": ["setpriv", "--pdeathsig", "TERM", *culler]})
        scopes = ["list:users", "read:users:activity", "read:servers", "delete:servers"]
        roles.append({"name": "idle-culler", "services": ["idle-culler"], "scopes": scopes})


def _configure_spawner(c: Config, regrow: Regrow) -> None:
    _fill(c.JupyterHub, spawner_class=SPAWNERS[regrow.spawner])
    _fill(c.RegrowSpawner, data_dir=regrow.data_dir, profiles=regrow.profiles)
    _fill(c.Spawner, start_timeout=180, http_timeout=60, default_url="/lab")
    if 0 < regrow.idle_timeout_s < 3 * _ACTIVITY_INTERVAL_S:
        # A server that is used has to say so more often than it would be stopped.
        interval = str(max(1, int(regrow.idle_timeout_s / 3)))
        c.Spawner.setdefault("environment", {}).setdefault("JUPYTERHUB_ACTIVITY_INTERVAL", interval)
    if regrow.kernel_idle_timeout_s:
        # What `regrow.server_extension.stopping` reads.
        c.Spawner.setdefault("environment", {})["REGROW_KERNEL_IDLE_TIMEOUT_S"] = str(regrow.kernel_idle_timeout_s)
    if regrow.spawner == "local":
        _fill(c.RegrowSpawner, spawn_note=LOCAL_NOTE)
        return
    _fill(c.DockerSpawner, prefix=regrow.name)
    shared = share_mounts(Path(regrow.data_dir))
    _fill(c.ContainerSpawner, projects_propagation="rslave" if shared else "")
    client = connect()
    try:
        if regrow.spawner == "docker":
            _fill(c.JupyterHub, hub_ip=ensure_network(client, regrow.name))
            _fill(c.DockerSpawner, network_name=regrow.name, use_internal_ip=True)
        else:
            _fill(c.JupyterHub, hub_ip=ensure_swarm_network(client, regrow.name))
            _fill(c.DockerSpawner, network_name=service_network(regrow.name), use_internal_ip=False)
    finally:
        client.close()


def _fill(section: Config, **values: Any) -> None:
    """Set what the deployment's file left open."""
    for name, value in values.items():
        section.setdefault(name, value)


def _has_gpus() -> bool:
    client = connect()
    try:
        return "nvidia" in (client.info().get("Runtimes") or {})
    finally:
        client.close()
