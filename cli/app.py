"""The `regrow` command: one table of subcommands, each imported only when it is called."""

from __future__ import annotations

import sys
from typing import Any

from traitlets.config import Application, catch_config_error

SUBCOMMANDS = {
    "up": ("regrow.hub_config.up.UpApp", "Set up what is missing and start the hub."),
    "doctor": ("regrow.hub_config.doctor.DoctorApp", "Say what this machine lacks and how to get it."),
    "images": ("regrow.images.app.ImagesApp", "Build and list notebook images."),
    "smoke": ("regrow.hub_config.smoke.SmokeApp", "Run a throwaway user's whole session and time each step."),
    "token": ("regrow.hub_config.token.TokenApp", "Mint an API token of the hub."),
    "store": ("regrow.store.app.StoreApp", "Make, measure, verify and clean a store."),
    "project": ("regrow.client.app.ProjectApp", "List, make, publish and delete projects; snapshots of one."),
    "fork": ("regrow.client.app.ForkApp", "Fork a project; bring a fork and its parent together."),
    "packages": ("regrow.server_extension.packages.PackagesApp", "In a server: list or reinstall added packages."),
}


class RegrowApp(Application):
    """The entry point; `regrow SUBCOMMAND --help` describes each one."""

    name = "regrow"
    description = "Regrow: JupyterHub notebooks that are machines of their own."
    examples = """
    regrow up                 # set everything up and start the hub
    regrow doctor             # what is missing here, and how to get it
    regrow images build cpu   # build a notebook image
    regrow smoke              # does the running deployment work?
    """
    subcommands = SUBCOMMANDS

    @catch_config_error
    def initialize(self, argv: Any = None) -> None:
        super().initialize(argv)
        if self.subapp is None:
            if self.extra_args:
                self.log.error("regrow: no command %r. Commands: %s.", self.extra_args[0], ", ".join(SUBCOMMANDS))
                self.exit(2)
            self.print_help()
            self.exit(0)

    def start(self) -> Any:
        assert self.subapp is not None
        return self.subapp.start()


def main() -> None:
    """Run `regrow`; the exit status is that of the subcommand."""
    sys.exit(RegrowApp.launch_instance(sys.argv[1:]))
