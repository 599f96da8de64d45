"""`regrow up`: set up what is missing, then become the hub."""

from __future__ import annotations

import json
import os
import secrets
import sys
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

from traitlets import TraitError, Unicode
from traitlets.config import Application, Config, catch_config_error
from traitlets.config.loader import PyFileConfigLoader

from regrow.hub_config.deployment import CONFIG_VARIABLE, Regrow
from regrow.hub_config.ports import is_free
from regrow.hub_config.projects import projects_port
from regrow.hub_config.proxy import ProxyError, ensure_proxy
from regrow.hub_config.secrets import secret
from regrow.images.build import build_image, image_exists
from regrow.images.check import ImageError
from regrow.images.progress import BuildProgress
from regrow.spawner.engine import EngineError
from regrow.spawner.profiles import ProfileError

OUR_IMAGES = {"regrow/notebook:cpu": "cpu", "regrow/notebook:cuda": "cuda"}


class UpApp(Application):
    """Set up what is missing and start the hub.

    Installs the proxy, builds the notebook images that the profiles name, makes the secrets and the first
    administrator, and becomes JupyterHub. Ctrl-C stops the hub and leaves users' servers; the next `regrow up` finds
    them again.
    """

    name = "regrow up"
    description = __doc__
    examples = """
    regrow up                                    # http://127.0.0.1:8000
    regrow up --port 9000 --data-dir /srv/regrow
    regrow up --config /etc/regrow/jupyterhub_config.py
    regrow up --spawner local                    # no containers, even where there is an engine
    """
    classes = [Regrow]
    config_file = Unicode(
        config=True,
        help="""The deployment's own configuration. Default: jupyterhub_config.py in the current folder if there is
        one, else Regrow's defaults.""",
    )
    port = Unicode(config=True, help="Port on 127.0.0.1. Default: the configuration's bind_url, or 8000.")
    aliases = {
        "config": "UpApp.config_file",
        "port": "UpApp.port",
        "data-dir": "Regrow.data_dir",
        "name": "Regrow.name",
        "spawner": "Regrow.spawner",
        "idle-timeout-s": "Regrow.idle_timeout_s",
        "log-level": "Application.log_level",
    }
    flags = {}

    @catch_config_error
    def initialize(self, argv: Any = None) -> None:
        super().initialize(argv)
        if self.extra_args:
            self._stop(f"regrow up takes no argument {self.extra_args[0]!r}. See regrow up --help.", status=2)

    def start(self) -> None:
        """Set up, then replace this process by the hub."""
        file = self._config_file()
        if self.port and not (self.port.isdecimal() and 0 < int(self.port) < 65536):
            self._stop(f"{self.port!r} is not a port.", status=2)
        try:
            given = Regrow(config=self.config)
            overrides = Config({"Regrow": {name: getattr(given, name) for name in self.config.Regrow}})
        except TraitError as error:
            self._stop(str(error), status=2)
        if self.port:
            overrides.JupyterHub.bind_url = f"http://127.0.0.1:{self.port}"
        os.environ[CONFIG_VARIABLE] = json.dumps(overrides)
        try:
            print("Proxy: configurable-http-proxy ", end="", flush=True)
            ensure_proxy()
            print("is installed.")
            # The file calls configure(), which checks everything and makes the folders, secrets and the network.
            config = PyFileConfigLoader(file.name, path=str(file.parent)).load_config()
            regrow = Regrow(config=config)
            self._check_ports(regrow, config)
            self._say_how_servers_run(regrow)
            if regrow.spawner != "local":
                self._build_images(regrow)
            self._make_first_administrator(regrow, config)
        except (SyntaxError, NameError, AttributeError, TypeError, ImportError) as error:
            self._stop(f"The configuration {file} can't be used: {type(error).__name__}: {error}", status=2)
        except (ProfileError, TraitError) as error:
            self._stop(f"The configuration {file} can't be used: {error}", status=2)
        except (ProxyError, EngineError, ImageError, OSError) as error:
            self._stop(str(error), status=1)
        print(f"Hub: {config.JupyterHub.bind_url} (Ctrl-C stops it and leaves users' servers)", flush=True)
        os.execv(sys.executable, [sys.executable, "-m", "jupyterhub", "-f", str(file)])

    def _config_file(self) -> Path:
        if self.config_file:
            path = Path(self.config_file).resolve()
            if not path.is_file():
                self._stop(f"There is no configuration {path}.", status=2)
            return path
        here = Path("jupyterhub_config.py").resolve()
        return here if here.is_file() else Path(__file__).with_name("jupyterhub_config.py").resolve()

    def _check_ports(self, regrow: Regrow, config: Config) -> None:
        hub = config.JupyterHub
        ours = (hub.hub_port, projects_port(config, regrow.projects_port))
        ports = [(hub.get("hub_ip", "127.0.0.1"), port) for port in ours]
        # A hub that was killed left its proxy there, which the next hub takes over by this file.
        if not (regrow.hub_dir / "proxy.pid").exists():
            public = urlsplit(hub.bind_url)
            ports.insert(0, (public.hostname or "", public.port or 8000))
        for host, port in ports:
            if not is_free(host, port):
                self._stop(
                    f"Port {port} of {host or 'this machine'} is taken. Does this deployment's hub run already? "
                    "Stop it, or choose another port with --port.",
                    status=1,
                )

    def _say_how_servers_run(self, regrow: Regrow) -> None:
        if regrow.spawner == "local":
            print(
                "Servers: local processes (no Docker engine is used). What is different: users share one system user "
                "and are not protected from each other, profiles' limits are not enforced, sudo is the machine's own."
            )
        else:
            kind = "containers" if regrow.spawner == "docker" else "services of a Docker Swarm"
            print(f"Servers: {kind}.")

    def _build_images(self, regrow: Regrow) -> None:
        for profile in regrow.parsed_profiles():
            variant = OUR_IMAGES.get(profile.image)
            if variant and not image_exists(profile.image):
                print(f"Image: {profile.image} is missing and is built now. This takes some minutes, once.", flush=True)
                with BuildProgress() as progress:
                    build_image(variant, uid=os.getuid() or 1000, progress=progress)
            there = "" if image_exists(profile.image) else " IS MISSING: build or pull it"
            print(f"Image: {profile.image} ({profile.name}){there}.", flush=True)

    def _make_first_administrator(self, regrow: Regrow, config: Config) -> None:
        ours = "RegrowAuthenticator" in str(config.JupyterHub.get("authenticator_class", ""))
        if not ours or (regrow.administrator_file.exists() and not regrow.first_password_file.exists()):
            return
        password = secrets.token_urlsafe(12)
        if regrow.first_password_file.exists():
            password = secret(regrow.first_password_file).split(":", 1)[1]
        else:
            secret(regrow.first_password_file, f"{regrow.admin_name}:{password}")
            regrow.administrator_file.write_text(regrow.admin_name)
        print(f"\n  Sign in as  {regrow.admin_name}\n  password    {password}\n  (shown once)\n", flush=True)

    def _stop(self, message: str, status: int) -> NoReturn:
        print(f"regrow up: {message}", file=sys.stderr)
        sys.exit(status)
