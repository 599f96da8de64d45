"""Reading large files out of users' folders into the store."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import PurePosixPath
from typing import Any, NoReturn

from regrow.hub_service import large_objects, quotas
from regrow.hub_service.errors import NotFound, OverQuota
from regrow.hub_service.registry.tables import Project
from regrow.hub_service.service import Service
from regrow.hub_service.users_files import folder_below, open_file_below, opened_folder
from regrow.projects.large_files import Kept, put
from regrow.projects.pointers import Pointer
from regrow.projects.printable import printable
from regrow.projects.scan import Stat


def keep(
    service: Service, project: Project, folder: str, paths: Iterable[str], say: Callable[[dict[str, Any]], None]
) -> int:
    """Read the files at `paths` of the owner's `folder` into the store, saying of each what was kept; return how many.

    Files that are gone are left out. Raises `Refused` and `StoreError`; then nothing is kept.
    """
    room = _Room(service, project.owner)
    kept: list[Kept] = []
    with _opened(service, project.owner, folder) as root, service.store.writer() as writer:
        for path in paths:
            say({"reading": path})
            try:
                descriptor = open_file_below(root, path)
            except FileNotFoundError:
                continue
            except OSError as error:
                kept.append(Kept(path, None, Stat(0, 0, 0, 0, False), error=error.strerror or str(error)))
                continue
            room.check(path, descriptor)
            kept.append(put(writer, path, descriptor))
            if pointer := kept[-1].pointer:
                room.take(path, pointer)
        # The block's end puts them there.
        large_objects.begin(service, [each.pointer for each in kept if each.pointer])
    large_objects.add(service, project, [each.pointer for each in kept if each.pointer])
    for each in kept:
        say({"kept": asdict(each)})
    return len(kept)


@contextmanager
def _opened(service: Service, owner: str, folder: str) -> Iterator[int]:
    with ExitStack() as stack:
        try:
            if not folder or PurePosixPath(folder).name != folder:
                raise FileNotFoundError(folder)
            projects = stack.enter_context(opened_folder(service.places.projects_of(owner)))
            root = stack.enter_context(folder_below(projects, folder))
        except OSError as error:
            raise NotFound(f"{owner} has no folder {printable(folder)} on this hub.") from error
        yield root


class _Room:
    """What a user's quota leaves for large files, of which each counts once."""

    def __init__(self, service: Service, owner: str) -> None:
        self._left = quotas.bytes_left(service, owner)
        self._there = quotas.brought(service, owner)

    def check(self, path: str, descriptor: int) -> None:
        """Close `descriptor` and raise `OverQuota`, if that file can't fit: before it is read."""
        size = os.fstat(descriptor).st_size
        if self._left is not None and size > self._left and size not in self._there.values():
            os.close(descriptor)
            self._refuse(path)

    def take(self, path: str, pointer: Pointer) -> None:
        """Count a file. Raises `OverQuota`."""
        if self._left is None or pointer.oid in self._there:
            return
        self._there[pointer.oid] = pointer.size
        self._left -= pointer.size
        if self._left < 0:
            self._refuse(path)

    def _refuse(self, path: str) -> NoReturn:
        raise OverQuota(
            f"{printable(path)} does not fit into what this hub lets you keep. No snapshot was taken. "
            "Delete projects that you don't need, or leave it out by a line in .regrowignore."
        )
