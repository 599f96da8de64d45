"""What the commands that talk to a running hub share: where it is, and with which token."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, NoReturn

from traitlets import Unicode
from traitlets.config import Application
from traitlets.config.loader import ArgumentError, KVArgParseConfigLoader

TOKEN_VARIABLE = "REGROW_API_TOKEN"


class UsageError(Exception):
    """The command was called in a way that can't work; exit status 2."""


def default_data_dir() -> Path:
    """`$XDG_DATA_HOME/regrow`, or `~/.local/share/regrow`: what `Regrow.data_dir` is unless it is set."""
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "regrow"


class _StrictLoader(KVArgParseConfigLoader):
    """Refuses an option that does not exist, where traitlets only warns."""

    def _handle_unrecognized_alias(self, arg: str) -> None:
        raise ArgumentError(f"There is no option --{arg}.")


class HubClientApp(Application):
    """A command that talks to a hub through its REST API."""

    url = Unicode("http://127.0.0.1:8000", help="The hub's URL, with its base URL if it has one.").tag(config=True)
    token_file = Unicode(
        help=f"""A file that holds an API token of the hub and nothing else. Default: the environment variable
        {TOKEN_VARIABLE}, and without it the file that `regrow up` writes for its own hub, `hub/cli_token` in
        `$XDG_DATA_HOME/regrow`.""",
    ).tag(config=True)

    aliases = {
        "url": "HubClientApp.url",
        "token-file": "HubClientApp.token_file",
        "log-level": "Application.log_level",
    }

    def exit(self, exit_status: int | str | None = 0) -> None:
        """End the process; traitlets says 1 for a mistake on the command line, which is 2 everywhere else."""
        super().exit(2 if exit_status == 1 else exit_status)

    def _create_loader(self, argv: Any, aliases: Any, flags: Any, classes: Any) -> KVArgParseConfigLoader:
        return _StrictLoader(argv, aliases, flags, classes=classes, log=self.log, subcommands=self.subcommands)

    def read_token(self) -> str:
        """The API token to use. Raises UsageError when there is none."""
        if not self.token_file and (token := os.environ.get(TOKEN_VARIABLE, "").strip()):
            return token
        path = Path(self.token_file or default_data_dir() / "hub" / "cli_token").expanduser()
        try:
            token = path.read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not a text file"
            raise UsageError(
                f"No API token: {path} cannot be read ({reason}). `regrow up` writes that file for its own "
                f"hub; for another, name a file with --token-file or set {TOKEN_VARIABLE}."
            ) from error
        # A token travels in an HTTP header: one word of ASCII.
        if not token or len(token.split()) != 1 or not token.isascii():
            raise UsageError(f"No API token: {path} should hold one and nothing else.")
        return token

    def fail(self, message: str, status: int) -> NoReturn:
        """Say why on stderr and end the process."""
        print(f"{self.name}: {message}", file=sys.stderr)
        sys.exit(status)


def run_until_signal(work: Coroutine[Any, Any, int]) -> int:
    """Run `work` to its end and return its exit status.

    Ctrl-C and SIGTERM cancel it, so that it can clean up; the status is 130 or 143 then, as shells have it. A
    second Ctrl-C cuts the cleaning up short.
    """
    received: list[int] = []

    async def supervise() -> int:
        loop = asyncio.get_running_loop()
        task = loop.create_task(work)

        def stop(number: int) -> None:
            received.append(number)
            task.cancel()
            loop.remove_signal_handler(signal.SIGINT)

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop, number)
        return await task

    try:
        return asyncio.run(supervise())
    except (asyncio.CancelledError, KeyboardInterrupt):
        return 128 + (received[0] if received else signal.SIGINT)
