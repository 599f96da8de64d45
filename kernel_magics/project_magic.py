"""`%project`: the user's projects, and the snapshots of the one that the notebook is in."""

from __future__ import annotations

import shlex
from typing import Any

from IPython.core.getipython import get_ipython
from IPython.core.magic import Magics, line_magic, magics_class

from regrow.client.caller import Caller
from regrow.client.commands import REFUSALS, run
from regrow.client.errors import OptionError
from regrow.projects.printable import printable

from .display import show_live
from .errors import MagicError


class CommandError(MagicError):
    """The hub, or a project, said no."""


@magics_class
class ProjectMagics(Magics):
    """The magic, as IPython registers it."""

    @line_magic
    def project(self, line: str) -> None:
        """List, make, publish and restore projects. `%project --help` lists the commands."""
        run_line("project", line)


def run_line(name: str, line: str) -> None:
    """Run a command with the rest of its line, and show what comes of it. Raises `ShownError`."""
    try:
        words = shlex.split(line)
    except ValueError as error:
        raise OptionError(f"The line of %{name} cannot be read: {str(error).lower()}. Close the quotes.") from None
    _save_for(name, words)
    try:
        show_live(lambda progress: run(name, words, Caller("%", progress)))
    except REFUSALS as error:
        raise CommandError("\n".join(map(printable, str(error).split("\n")))) from None
    except KeyboardInterrupt:
        raise CommandError("It was stopped. Run it again to complete it.") from None


def _save_for(name: str, words: list[str]) -> None:
    """What goes of this notebook's variables with a project is what they are now."""
    session: Any = getattr(get_ipython(), "regrow_session", None)
    asked = {word.partition("=")[0] for word in words}
    if session is not None and (name == "fork" or words[:1] == ["publish"]) and asked & {"--state", "--with-state"}:
        session.save("publish")


def load_ipython_extension(shell: Any) -> None:
    """Called by IPython at the first use of `%project`."""
    shell.register_magics(ProjectMagics)
