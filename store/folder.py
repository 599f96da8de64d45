"""A store in a folder: of this machine, or of a filesystem that several machines share."""

from __future__ import annotations

import contextlib
import errno
import os
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path

from regrow.store.pack import new_name

_OPEN_FILES = 64


class FolderBackend:
    """Files below `root`, made durable and visible by write, fsync, rename and fsync of the folder."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.url = str(root)
        self._open = _OpenFiles(_OPEN_FILES)

    def read(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        with (self.root / path).open("rb", buffering=0) as file:
            file.seek(offset)
            return file.read() if length is None else file.read(length)

    def read_into(self, path: str, offset: int, buffer: memoryview) -> int:
        # Only packs are read this way, which are never written again: a descriptor may outlive this call.
        with self._open.file(self.root / path) as descriptor:
            return _read_fully(descriptor, offset, buffer)

    def size(self, path: str) -> int:
        return (self.root / path).stat().st_size

    def list(self, folder: str) -> Iterator[str]:
        for above, _, files in os.walk(self.root / folder, onerror=_unless_gone):
            relative = Path(above).relative_to(self.root)
            for file in files:
                yield str(relative / file)

    def write(self, path: str, data: bytes) -> None:
        self.publish(self._scratch_file(data), path)

    def create(self, path: str, data: bytes) -> bool:
        file = self._scratch_file(data)
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            # A link, unlike a rename, fails where there is something, on NFS too.
            os.link(file, target)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.ENOTSUP):
                raise
            # A filesystem without hard links.
            if target.exists():
                return False
            file.replace(target)
        finally:
            file.unlink(missing_ok=True)
        _sync_folder(target.parent)
        return True

    def scratch(self) -> Path:
        folder = self.root / "tmp"
        folder.mkdir(exist_ok=True)
        return folder

    def publish(self, file: Path, path: str) -> None:
        target = self.root / path
        if not target.parent.is_dir():
            _make_folders(target.parent)
        _sync_file(file)
        file.replace(target)
        _sync_folder(target.parent)

    def remove(self, path: str) -> None:
        self._open.forget(self.root / path)
        with contextlib.suppress(FileNotFoundError):
            (self.root / path).unlink()

    def close(self) -> None:
        self._open.close()

    def _scratch_file(self, data: bytes) -> Path:
        file = self.scratch() / new_name(time.time())
        try:
            file.write_bytes(data)
            _sync_file(file)
        except BaseException:
            file.unlink(missing_ok=True)
            raise
        return file


class _OpenFiles:
    """Descriptors of the files read last: opening one for each chunk would cost more than reading it."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._files: OrderedDict[Path, int] = OrderedDict()
        self._users: dict[int, int] = {}
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def file(self, path: Path) -> Iterator[int]:
        """A descriptor of `path` for reading, which stays open at least as long as it is used."""
        with self._lock:
            descriptor = self._files.get(path)
            if descriptor is None:
                descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                self._files[path] = descriptor
                self._users[descriptor] = 0
            self._files.move_to_end(path)
            self._users[descriptor] += 1
        try:
            yield descriptor
        finally:
            with self._lock:
                self._users[descriptor] -= 1
                self._close_some()

    def forget(self, path: Path) -> None:
        with self._lock:
            descriptor = self._files.get(path)
            if descriptor is not None and not self._users[descriptor]:
                self._close(path)

    def _close_some(self) -> None:
        for path in list(self._files)[: max(len(self._files) - self._limit, 0)]:
            if not self._users[self._files[path]]:
                self._close(path)

    def _close(self, path: Path) -> None:
        descriptor = self._files.pop(path)
        del self._users[descriptor]
        os.close(descriptor)

    def close(self) -> None:
        with self._lock:
            for path in list(self._files):
                self._close(path)


def _unless_gone(error: OSError) -> None:
    """A folder that can't be listed is not an empty one: what is named in it would be taken for dropped."""
    if not isinstance(error, FileNotFoundError):
        raise error


def _read_fully(descriptor: int, offset: int, buffer: memoryview) -> int:
    done = 0
    while done < len(buffer):
        count = os.preadv(descriptor, [buffer[done:]], offset + done)
        if not count:
            break
        done += count
    return done


def _make_folders(folder: Path) -> None:
    if folder.is_dir():
        return
    _make_folders(folder.parent)
    folder.mkdir(exist_ok=True)
    _sync_folder(folder.parent)


def _sync_file(file: Path) -> None:
    descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


_sync_folder = _sync_file
