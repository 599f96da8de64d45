"""What the service does by itself from time to time. Whatever of it a stop cuts off is done the next time."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime

from sqlalchemy import select

from regrow.hub_service import large_objects, repositories
from regrow.hub_service.deleted_users import retire_all
from regrow.hub_service.recycle_bin import purge_expired
from regrow.hub_service.registry.tables import Project
from regrow.hub_service.service import Service
from regrow.projects.git import GitError
from regrow.store.gc import collect

#: How often it is done, and how often the store is collected, in s.
EVERY_S = 3600.0
COLLECT_EVERY_S = 24 * 3600.0

_log = logging.getLogger(__name__)


class Upkeep:
    """The upkeep of one service, whose `run` is called every `EVERY_S`. `now` gives seconds since 1970."""

    def __init__(self, service: Service, now: Callable[[], float] = time.time) -> None:
        self._service = service
        self._now = now
        self._stopped = threading.Event()

    def run(self) -> None:
        """Do all that is due; what can't be done is logged, and does not keep the rest from being done."""
        for work in (self._retire, self._purge, self._repack, self._drop_unnoted, self._collect):
            if self._stopped.is_set():
                return
            try:
                work()
            except Exception:
                _log.exception("What is done from time to time could not be; it is tried again in an hour")

    def stop(self) -> None:
        """Have `run`, in another thread, end soon."""
        self._stopped.set()

    def _retire(self) -> None:
        retire_all(self._service)

    def _purge(self) -> None:
        purge_expired(self._service)

    def _repack(self) -> None:
        with self._service.session() as session:
            there = list(session.scalars(select(Project.id).where(Project.is_whole, Project.purged_at.is_(None))))
        for folder in map(self._service.places.repository, there):
            if self._stopped.is_set():
                return
            try:
                repositories.remove_litter(folder)
                if repositories.is_scattered(folder):
                    repositories.repack(folder)
            except (GitError, OSError):
                if folder.exists():  # else it was deleted for good meanwhile
                    _log.exception("%s can't be repacked", folder)

    def _drop_unnoted(self) -> None:
        # Whoever keeps large files notes them right afterwards: what nobody has noted in an hour was cut off.
        before = datetime.fromtimestamp(self._now() - large_objects.UNNOTED_S, UTC)
        large_objects.drop_unnoted(self._service, before)

    def _collect(self) -> None:
        done = self._service.places.collected
        if not done.exists():
            done.touch()  # a new deployment, or an old one of a version that did not collect
        elif self._now() - done.stat().st_mtime > COLLECT_EVERY_S:
            collect(self._service.store)
            done.touch()
