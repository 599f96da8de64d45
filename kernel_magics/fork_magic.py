"""`%fork`: a project of one's own that is what another one is, kept up to date with it."""

from __future__ import annotations

from typing import Any

from IPython.core.magic import Magics, line_magic, magics_class

from .project_magic import run_line


@magics_class
class ForkMagics(Magics):
    """The magic, as IPython registers it."""

    @line_magic
    def fork(self, line: str) -> None:
        """Fork a project, or bring a fork and its parent together. `%fork --help` lists the options."""
        run_line("fork", line)


def load_ipython_extension(shell: Any) -> None:
    """Called by IPython at the first use of `%fork`."""
    shell.register_magics(ForkMagics)
