"""Tab completion of the magics' lines."""

from __future__ import annotations

from regrow.client.options import HELP

from . import usages


def completions(line: str) -> list[str]:
    """What may follow `line`, a magic's up to the cursor."""
    name = line.lstrip("% ").split(maxsplit=1)[0] if line.strip("% ") else ""
    if name in ("project", "fork"):
        # It asks the hub, with what takes a moment to import.
        from regrow.client.completion import candidates

        return candidates(line)
    if name == "checkpoint":
        from .checkpoint_completion import candidates as of_checkpoints

        return of_checkpoints(line)
    for usage in usages.ALL:
        if usage.magic.lstrip("%") == name:
            return [option.name for option in (*usage.options, HELP)]
    return []
