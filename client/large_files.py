"""A project's large files, kept by the hub: it reads them itself, where it has them before it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from regrow.client.hub import HubClient
from regrow.projects.errors import ProjectError
from regrow.projects.large_files import Kept, Progress
from regrow.projects.pointers import Pointer
from regrow.projects.scan import Stat


class HubLargeFiles:
    """`regrow.projects.large_files.LargeFiles` for the project `owner`/`name` of a hub.

    What is read may come from `others` too: projects as (owner, name), such as the one that this is a fork of.
    """

    def __init__(self, hub: HubClient, owner: str, name: str, others: Iterable[tuple[str, str]] = ()) -> None:
        self._hub = hub
        self._project = (owner, name)
        self._sources = ((owner, name), *others)
        self.id = hub.store_id

    def keep(self, project: Path, files: Mapping[str, Stat], progress: Progress) -> Iterator[Kept]:
        """As `LargeFiles.keep`. Raises `HubError`."""
        unnameable = [path for path in files if not path.isprintable() or not _is_text(path)]
        for path in unnameable:
            yield Kept(path, None, files[path], error="large files need a name that can be printed")
        wanted = [path for path in files if path not in unnameable]
        for line in self._hub.keep_large(*self._project, project.name, wanted) if wanted else ():
            if "reading" in line:
                progress(line["reading"], files[line["reading"]].size)
            if "kept" in line:
                yield _kept(line["kept"], files)

    def missing(self, pointers: Iterable[Pointer]) -> set[Pointer]:
        """As `LargeFiles.missing`. Raises `HubError`."""
        left = set(pointers)
        for source in self._sources:
            if left:
                asked = [{"oid": each.oid, "size": each.size} for each in left]
                left = {Pointer(each["oid"], each["size"]) for each in self._hub.missing_large(*source, asked)}
        return left

    def content(self, pointer: Pointer) -> Iterator[memoryview]:
        """As `LargeFiles.content`; the hub has verified it against what it was stored as. Raises `HubError`."""
        asked = [{"oid": pointer.oid, "size": pointer.size}]
        for source in self._sources:
            if not self._hub.missing_large(*source, asked):
                with self._hub.large(*source, pointer.oid) as parts:
                    yield from (memoryview(part) for part in parts)
                return
        raise ProjectError(f"The hub does not have the large file {pointer.oid[:16]}… any more.")


def _kept(model: dict[str, Any], files: Mapping[str, Stat]) -> Kept:
    path, pointer = model["path"], model["pointer"]
    if pointer is None:
        return Kept(path, None, files[path], error=model["error"])
    return Kept(path, Pointer(**pointer), Stat(**model["stat"]), model["steady"])


def _is_text(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True
