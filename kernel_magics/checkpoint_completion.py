"""What may follow on the line of `%checkpoint`, for the Tab key."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from IPython.core.getipython import get_ipython

from regrow.client.options import HELP

from .checkpoint_usages import CHECKPOINT


def candidates(line: str) -> list[str]:
    """What may stand where `line`, up to the cursor, ends."""
    _, *before = line.lstrip("% ").split()
    typed = "" if line[-1:].isspace() else before.pop() if before else ""
    if not before:
        return [*CHECKPOINT, HELP.name]
    usage = CHECKPOINT.get(before[0])
    if usage is None:
        return []
    session: Any = getattr(get_ipython(), "regrow_session", None)
    options = [option.name for option in (*usage.options, HELP)]
    return [*options, *([] if session is None or typed.startswith("-") else _words(before[0], session))]


def _words(command: str, session: Any) -> Iterable[str]:
    from regrow.state import rerun, trust
    from regrow.state.checkpoints import Checkpoints
    from regrow.state.errors import StateError
    from regrow.store import StoreError

    try:
        if command in ("show", "restore", "delete"):
            with Checkpoints(session.directory) as checkpoints:
                entries = checkpoints.entries(session.notebook)
            return [*(each.id for each in entries), *(f"In[{cell.count}]" for cell in session.cells[-20:])]
        if command == "untrust":
            return trust.trusted(session.directory)
    except (StateError, StoreError, OSError):
        return []  # a key is no question that one waits for an error to
    if command == "rerun":
        return rerun.missing(session)
    if command == "exclude":
        return [name for name in session.variables if name not in session.excluded]
    return sorted(session.excluded) if command == "include" else []
