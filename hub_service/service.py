"""What all that is done with the projects of one deployment shares: its places, registry, store, limits and locks.

Each operation on projects, in the modules beside this one, is whole or not at all, whenever the service is killed. The
order that makes it so: what is on disk is there before the registry says it is whole, and stays until the registry says
that it is gone. What `recovery` finds in between at a start was cut off, and is taken back.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

from sqlalchemy import Engine
from sqlalchemy.orm import Session

from regrow.hub_service.places import Places
from regrow.store import Store

Progress = Callable[[str], None]


@dataclass
class Limits:
    """What an administrator allows each user: bytes and number of projects (0: no limit), seconds in the bin."""

    bytes_per_user: int = 0
    projects_per_user: int = 0
    bin_s: float = 30 * 24 * 3600.0


@dataclass
class LayerLocks:
    """Who makes the layer of which commit, and how many are about to use layers that nothing stands on yet."""

    making: dict[str, threading.Lock] = field(default_factory=lambda: defaultdict(threading.Lock))
    sweeping: threading.Lock = field(default_factory=threading.Lock)
    users: int = 0


@dataclass
class Service:
    """The projects of one deployment."""

    places: Places
    engine: Engine
    store: Store
    limits: Limits = field(default_factory=Limits)
    #: The URL of a project's repository, for those who clone it: told owner and name.
    clone_url: Callable[[str, str], str] = lambda owner, name: f"/git/{owner}/{name}.git"
    layer_locks: LayerLocks = field(default_factory=LayerLocks)
    #: Between the store and the rows that say who needs what is in it.
    large_lock: threading.Lock = field(default_factory=threading.Lock)

    def session(self) -> Session:
        """A session with the registry, to be used in a `with`."""
        return Session(self.engine, expire_on_commit=False)
