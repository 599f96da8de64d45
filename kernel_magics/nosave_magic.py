"""The help of `%%nosave`, and its errors: cells that are as they should be never come here (`nosave.py`)."""

from __future__ import annotations

from typing import Any

from IPython.core.magic import Magics, line_cell_magic, magics_class

from regrow.client.errors import OptionError
from regrow.client.options import help_text, parse, refuse_words

from .checkpoint_usages import NOSAVE


@magics_class
class NosaveMagics(Magics):
    """The magic, as IPython registers it."""

    @line_cell_magic
    def nosave(self, line: str, cell: str | None = None) -> None:
        """Run the cell, and keep what it binds out of checkpoints."""
        parsed = parse(NOSAVE, line)
        if parsed.given("--help"):
            print(help_text(NOSAVE))
            return
        refuse_words(NOSAVE, parsed.words)
        raise OptionError(f"{NOSAVE.magic} is the first line of a cell, above the code that it is about.")


def load_ipython_extension(shell: Any) -> None:
    """Called by IPython at the first use of `%%nosave` that is not above a cell."""
    shell.register_magics(NosaveMagics)
