"""`regrow project` and `regrow fork`: what `%project` and `%fork` do, from a terminal."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from typing import Any

from traitlets.config import Application

from regrow.client.caller import Caller
from regrow.client.commands import REFUSALS, run
from regrow.client.errors import OptionError
from regrow.client.hub import NotConnected
from regrow.projects.printable import printable

_CLEAR_LINE = "\r\x1b[K"


class CommandApp(Application):
    """A command whose line is the one of a magic.

    Exit status 1 when it is refused, 2 for bad usage and where there is no hub.
    """

    command = ""

    def initialize(self, argv: Any = None) -> None:
        self.words: Sequence[str] = sys.argv[1:] if argv is None else argv

    def start(self) -> None:
        """Run it; ends the process with the exit status."""
        caller = Caller("regrow ", _progress, colour=sys.stdout.isatty() and not os.environ.get("NO_COLOR"))
        try:
            result = run(self.command, self.words, caller)
        except (OptionError, NotConnected) as error:
            self._fail(error, 2)
        except REFUSALS as error:
            self._fail(error, 1)
        except KeyboardInterrupt:
            _progress("")
            sys.exit(130)
        _progress("")
        print(result.text)

    def _fail(self, error: Exception, status: int) -> None:
        _progress("")
        message = re.sub(r"%(project|fork)\b", r"regrow \1", str(error))
        print("\n".join(map(printable, f"{self.name}: {message}".split("\n"))), file=sys.stderr)
        sys.exit(status)


class ProjectApp(CommandApp):
    """`regrow project`."""

    name = "regrow project"
    description = "List, make, publish and delete projects; take snapshots of one, and bring them back."
    command = "project"


class ForkApp(CommandApp):
    """`regrow fork`."""

    name = "regrow fork"
    description = "Fork a project, and keep the fork and its parent up to date with each other."
    command = "fork"


def _progress(message: str) -> None:
    """Show what is being done on one line, until the next is, or ""."""
    if sys.stderr.isatty():
        print(f"{_CLEAR_LINE}{printable(message)}", end="", file=sys.stderr, flush=True)
