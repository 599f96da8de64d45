"""Tab completion of the magics' options."""

from __future__ import annotations

from . import usages
from .options import HELP


def options_of(line: str) -> list[str]:
    """The options that may follow what is typed on a magic's line."""
    name = line.lstrip("% ").split(maxsplit=1)[0] if line.strip("% ") else ""
    for usage in usages.ALL:
        if usage.magic.lstrip("%") == name:
            return [option.name for option in (*usage.options, HELP)]
    return []
