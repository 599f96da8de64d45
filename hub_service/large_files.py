"""Reading large files out of users' folders into the store."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import Any

from regrow.hub_service.errors import NotFound, OverQuota
from regrow.hub_service.projects import Service
from regrow.hub_service.registry.tables import Project
from regrow.hub_service.users_files import folder_below, open_file_below, opened_folder
from regrow.projects.large_files import Kept, put
from regrow.projects.scan import Stat


def keep(
    service: Service, project: Project, folder: str, paths: Iterable[str], say: Callable[[dict[str, Any]], None]
) -> int:
    """Read the files at `paths` of the owner's `folder` into the store, saying of each what was kept; return how many.

    Files that are gone are left out. Raises `Refused` and `StoreError`; then nothing is kept.
    """
    left = service.bytes_left(project.owner)
    kept: list[Kept] = []
    try:
        with (
            opened_folder(service.places.projects_of(project.owner)) as projects,
            folder_below(projects, folder) as root,
            service.store.writer() as writer,
        ):
            for path in paths:
                say({"reading": path})
                try:
                    descriptor = open_file_below(root, path)
                except FileNotFoundError:
                    continue
                except OSError as error:
                    kept.append(Kept(path, None, Stat(0, 0, 0, 0, False), error=error.strerror or str(error)))
                    continue
                kept.append(put(writer, path, descriptor))
                if left is not None:
                    left -= kept[-1].stat.size
                    if left < 0:
                        raise OverQuota(
                            f"{path} does not fit into what this hub lets you keep. No snapshot was taken. "
                            "Delete projects that you don't need, or leave it out by a line in .regrowignore."
                        )
    except FileNotFoundError as error:
        raise NotFound(f"{project.owner} has no folder {folder} on this hub.") from error
    service.add_large(project, [each.pointer for each in kept if each.pointer])
    for each in kept:
        say({"kept": asdict(each)})
    return len(kept)
