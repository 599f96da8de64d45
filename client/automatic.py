"""`python -m regrow.client.automatic REASON`: a snapshot of every project of this server that has changed.

They stay here: what a hub has is what its user sent. What could not be done is said on stderr, and tried again by the
next.
"""

from __future__ import annotations

import sys

from regrow.client.hub import HubClient, HubError
from regrow.client.working import Working, all_here
from regrow.projects.errors import ProjectError
from regrow.projects.snapshot import take
from regrow.store import StoreError


def main(reason: str) -> int:
    """Take them, and return how many could not be taken."""
    failed = 0
    with HubClient.from_environment() as hub:
        for working in all_here():
            try:
                _take(hub, working, reason)
            except (ProjectError, HubError, StoreError, OSError) as error:
                print(f"{working.name}: {error}", file=sys.stderr)
                failed += 1
    return failed


def _take(hub: HubClient, working: Working, reason: str) -> None:
    taken = take(working.folder, working.large_files(hub), reason)
    if taken.is_new:
        for warning in taken.warnings:
            print(f"{working.name}: {warning}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(1 if main(sys.argv[1]) else 0)
