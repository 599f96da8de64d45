"""Where the content of a project's large files is kept."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from regrow.projects.pointers import Pointer
from regrow.projects.scan import Stat
from regrow.store import NotKept, Store
from regrow.store.writer import Writer

_READ_AGAIN = 3

#: Told which large file is being read, and how many bytes there are.
Progress = Callable[[str, int], None]


@dataclass(frozen=True)
class Kept:
    """A large file of a project: its pointer and its `Stat` when it was read, or why it could not be.

    `steady` is false where it was written to while it was read: then its content is a mixture.
    """

    path: str
    pointer: Pointer | None
    stat: Stat
    steady: bool = True
    error: str = ""


class LargeFiles(Protocol):
    """What snapshots and restoring need of it. `id` changes where what was kept is not there any more."""

    id: str

    def keep(self, project: Path, files: Mapping[str, Stat], progress: Progress) -> Iterator[Kept]:
        """Keep the content of `files`, paths in `project`. Files that are gone are left out."""

    def missing(self, pointers: Iterable[Pointer]) -> set[Pointer]:
        """Those whose content is not there."""

    def content(self, pointer: Pointer) -> Iterator[memoryview]:
        """The content in order, verified."""


class InStore:
    """Large files in a store that this process opens itself."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.id = store.id

    def keep(self, project: Path, files: Mapping[str, Stat], progress: Progress) -> Iterator[Kept]:
        """As `LargeFiles.keep`."""
        with self._store.writer() as writer:
            for path, seen in files.items():
                progress(path, seen.size)
                try:
                    descriptor = os.open(project / path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
                except FileNotFoundError:
                    continue
                except OSError as error:
                    yield Kept(path, None, seen, error=error.strerror or str(error))
                    continue
                yield put(writer, path, descriptor)

    def missing(self, pointers: Iterable[Pointer]) -> set[Pointer]:
        """As `LargeFiles.missing`."""
        return {pointer for pointer in pointers if not self._has(pointer)}

    def content(self, pointer: Pointer) -> Iterator[memoryview]:
        """As `LargeFiles.content`. Raises `StoreError`."""
        return self._store.chunks(self._store.recipe(pointer.name))

    def write(self, pointer: Pointer, file: io.FileIO) -> None:
        """Write the content, verified, into `file`, by several threads. Raises `StoreError` and `OSError`."""
        self._store.write_to(self._store.recipe(pointer.name), file.fileno())

    def _has(self, pointer: Pointer) -> bool:
        try:
            self._store.recipe(pointer.name)
        except NotKept:
            return False
        return True


def write(files: LargeFiles, pointer: Pointer, file: io.FileIO) -> None:
    """Write the content of a large file into `file`, in the way that is the fastest with `files`."""
    if isinstance(files, InStore):
        files.write(pointer, file)
        return
    for part in files.content(pointer):
        while part:
            part = part[file.write(part) :]


def put(writer: Writer, path: str, descriptor: int) -> Kept:
    """Put the file that is open as `descriptor`, and is closed here, to be kept at the writer's next commit.

    Raises `StoreError`.
    """
    with io.FileIO(descriptor) as content:
        for _ in range(_READ_AGAIN):
            before = Stat.of(os.fstat(descriptor))
            content.seek(0)
            source = _Hashing(content)
            try:
                recipe = writer.put(source)
            except OSError as error:
                return Kept(path, None, before, error=error.strerror or str(error))
            after = Stat.of(os.fstat(descriptor))
            if before == after:
                break
    pointer = Pointer(source.digest.hexdigest(), recipe.size)
    writer.keep(pointer.name, recipe)
    return Kept(path, pointer, after, steady=before == after)


class _Hashing:
    """A stream whose SHA-256 is known when it has been read."""

    def __init__(self, content: io.FileIO) -> None:
        self._content = content
        self.digest = hashlib.sha256()

    def readinto(self, buffer: memoryview) -> int:
        count = self._content.readinto(buffer) or 0
        self.digest.update(buffer[:count])
        return count
