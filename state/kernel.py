"""A kernel's side of saving: starts the session, and answers what the notebook server asks (docs/state.md)."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from regrow.state.places import notebook_of, state_dir
from regrow.state.session import Session


def start(shell: Any, tell: Callable[[str], None], environ: Mapping[str, str] = os.environ) -> Session | None:
    """The session of this kernel, with what was kept of its notebook; None for a kernel that has no notebook."""
    notebook = notebook_of(environ)
    if notebook is None:
        return None
    session = Session(shell, state_dir(environ), notebook, tell)
    session.start()
    if environ.get("REGROW_RESTORE") != "no":
        # Once the kernel has started: the shell hides from %who what is there before that.
        asyncio.get_event_loop().call_soon(_restore, session)
    kernel = getattr(shell, "kernel", None)
    if kernel is not None:
        kernel.control_handlers["regrow_save_request"] = _Answer(kernel, session, _save)
        kernel.control_handlers["regrow_moved_request"] = _Answer(kernel, session, _move)
    return session


def _restore(session: Session) -> None:
    from regrow.state.restoring import is_anything_kept, restore

    if not is_anything_kept(session.directory, session.notebook):
        return
    from regrow.state.checkpoints import opened

    when = ""
    try:
        with opened(session.directory) as checkpoints:
            when = checkpoints.entries(session.notebook)[-1].id
        restored = restore(session)
    except Exception as error:  # the kernel is to start all the same
        again = f" %checkpoint restore {when} tries it again." if when else ""
        session.teller.later(f"regrow: what was saved of this notebook could not be restored: {error}.{again}")
        return
    session.tell_restored(restored)


class _Answer:
    """A handler on the control channel, which has a thread of its own: it answers while a cell runs."""

    def __init__(self, kernel: Any, session: Session, work: Callable[[Session, Any], dict[str, Any]]) -> None:
        self._kernel = kernel
        self._session = session
        self._work = work

    async def __call__(self, stream: Any, ident: Any, parent: Any) -> None:
        loop = asyncio.get_running_loop()
        content = await loop.run_in_executor(None, self._work, self._session, parent["content"])
        kind = parent["header"]["msg_type"].replace("_request", "_reply")
        self._kernel.session.send(stream, kind, content, parent, ident=ident)


def _save(session: Session, content: Any) -> dict[str, Any]:
    timeout_s = float(content.get("timeout_s", 30))
    problem = session.save(str(content.get("reason", "stop")), timeout_s=timeout_s, thoroughly=True)
    return {"status": "ok", "saved": not problem, "message": problem}


def _move(session: Session, content: Any) -> dict[str, Any]:
    session.move(Path(content["path"]))
    return {"status": "ok"}
