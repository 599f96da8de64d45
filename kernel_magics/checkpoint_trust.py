"""`%checkpoint trust` and `untrust`: whose variables are loaded where they come with a fork."""

from __future__ import annotations

from regrow.client.options import Parsed
from regrow.client.result import Result, joined, say, warn
from regrow.state import trust as trusting
from regrow.state.session import Session


def trust(session: Session, parsed: Parsed) -> Result:
    """Trust somebody, or say who is trusted."""
    if not parsed.words:
        owners = trusting.trusted(session.directory)
        return say(f"Trusted: {', '.join(owners)}." if owners else "Nobody is trusted.")
    (owner,) = parsed.words
    if owner in trusting.trusted(session.directory):
        return say(f"{owner} is trusted already.")
    trusting.trust(session.directory, owner)
    # It asks the hub, with what takes a moment to import and draws random numbers while it is.
    from . import forked

    said = say(f"Variables that come with forks of {owner}'s projects are loaded from now on.")
    return joined(said, warn(forked.load_if_of(session, owner)))


def untrust(session: Session, parsed: Parsed) -> Result:
    """Trust somebody no longer."""
    (owner,) = parsed.words
    trusting.untrust(session.directory, owner)
    return say(f"Variables that come with forks of {owner}'s projects are not loaded any more. What is here stays.")
