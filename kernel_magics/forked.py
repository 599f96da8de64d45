"""Variables that came with a fork: put in place where their owner is trusted, and told where not.

Whose they are is what the hub says of the project's parent, never what is in the files.
"""

from __future__ import annotations

import contextlib
from typing import cast

from regrow.client.carrying import Waiting, parent_of, waiting_for
from regrow.client.hub import HubClient, HubError
from regrow.state import restoring
from regrow.state.bundle import Bundle, at_home
from regrow.state.checkpoints import Checkpoints
from regrow.state.errors import StateError
from regrow.state.session import Session
from regrow.state.trust import trusted
from regrow.store import StoreError

# The kernel's first cell waits for it.
_TIMEOUT_S = 5.0


def begin(session: Session) -> None:
    """At a kernel's start: load what came for its notebook, or say what that takes."""
    if session.manifest is not None or restoring.is_anything_kept(session.directory, session.notebook):
        return
    waiting = waiting_for(session.notebook)
    if waiting is None:
        return
    try:
        owner, is_own = _owner(waiting)
        if not is_own and owner not in trusted(session.directory):
            session.teller.later(
                f"regrow: {owner}'s variables came with the fork for this notebook, and are not loaded: that runs code "
                f"of theirs as you. %checkpoint trust {owner} loads them."
            )
            return
        _load(session, waiting, owner)
    except (StateError, StoreError, HubError, OSError) as error:
        session.teller.later(f"regrow: the variables that came with the fork for this notebook are not loaded: {error}")


def load_if_of(session: Session, owner: str) -> list[str]:
    """Load what came for the session's notebook if it is of `owner`; what is there stays. Why it was not, in words."""
    waiting = waiting_for(session.notebook)
    if waiting is None:
        return []
    try:
        found, is_own = _owner(waiting)
        if is_own or found != owner:
            return [f"What came with the fork for this notebook is {found}'s."]
        _load(session, waiting, owner)
    except (StateError, StoreError, HubError, OSError) as error:
        return [f"What came with the fork for this notebook is not loaded: {error}"]
    session.teller.now()
    return []


def _owner(waiting: Waiting) -> tuple[str, bool]:
    """Who has published it, and whether that is the user themselves. Raises `HubError` or `StateError`."""
    with HubClient.from_environment(_TIMEOUT_S) as hub:
        parent = parent_of(hub, waiting.project)
        if not parent:
            raise StateError(
                f"the hub does not say whose they are: you can't see the parent of {waiting.project.name}."
            )
        owner = parent.partition("/")[0]
        return owner, owner == hub.user()["name"]


def _load(session: Session, waiting: Waiting, owner: str) -> None:
    with contextlib.ExitStack() as stack:
        bundle = stack.enter_context(Bundle(waiting.file, waiting.digest))
        manifest = at_home(bundle.manifest, waiting.project.folder)
        # What stands for a value of the user's own would be lost with what it stands for.
        session.load(list(session.variables.snapshot()))
        there = session.variables.snapshot()
        stack.pop_all()  # open for as long as something of it may be loaded
    # It reads as `Checkpoints` do.
    restored = restoring.put_back(session, manifest, cast(Checkpoints, bundle))
    for name, value in there.items():
        session.variables[name] = value
    session.autosave.bring_in = lambda checkpoints: bundle.bring_into(checkpoints, manifest)
    session.tell_restored(restored)
    session.teller.later(f"regrow: they are {owner}'s, and came with the fork. Your next save makes them your own.")
