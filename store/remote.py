"""A store wherever fsspec reaches: an object store, SFTP, WebDAV, memory."""

from __future__ import annotations

import secrets
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import fsspec

# Their uploads appear when they are complete, and their renames are copies.
_OBJECT_STORES = {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oss", "oci", "hf", "memory"}


class RemoteBackend:
    """Files below an fsspec URL. Credentials come as fsspec's own options or from the environment, never in the URL."""

    def __init__(self, url: str, **options: object) -> None:
        self.url = _without_credentials(url)
        self._fs, root = fsspec.core.url_to_fs(url, **options)
        self._root = root.rstrip("/")
        protocols = [self._fs.protocol] if isinstance(self._fs.protocol, str) else self._fs.protocol
        self._appears_whole = not _OBJECT_STORES.isdisjoint(protocols)
        self._scratch = tempfile.TemporaryDirectory(prefix="regrow-store-")

    def read(self, path: str, offset: int = 0, length: int | None = None) -> bytes:
        end = None if length is None else offset + length
        return bytes(self._fs.cat_file(self._at(path), start=offset or None, end=end))

    def read_into(self, path: str, offset: int, buffer: memoryview) -> int:
        data = self.read(path, offset, len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def size(self, path: str) -> int:
        self._fs.invalidate_cache(self._parent(path))
        return int(self._fs.info(self._at(path))["size"])

    def list(self, folder: str) -> Iterator[str]:
        self._fs.invalidate_cache()
        try:
            # fsspec's own walk leaves out folders that it can't list, which then seem empty.
            found = self._fs.find(self._at(folder), **({} if self._appears_whole else {"on_error": "raise"}))
        except FileNotFoundError:
            return
        for path in found:
            if not path.endswith(".part"):
                yield path[path.index(self._root) + len(self._root) + 1 :]

    def write(self, path: str, data: bytes) -> None:
        self._fs.makedirs(self._parent(path), exist_ok=True)
        if self._appears_whole:
            self._fs.pipe_file(self._at(path), data)
        else:
            part = self._part(path)
            self._fs.pipe_file(part, data)
            self._fs.mv(part, self._at(path))

    def create(self, path: str, data: bytes) -> bool:
        self._fs.makedirs(self._parent(path), exist_ok=True)
        try:
            self._fs.pipe_file(self._at(path), data, mode="create")
        except FileExistsError:
            return False
        return True

    def scratch(self) -> Path:
        return Path(self._scratch.name)

    def publish(self, file: Path, path: str) -> None:
        self._fs.makedirs(self._parent(path), exist_ok=True)
        if self._appears_whole:
            self._fs.put_file(str(file), self._at(path))
        else:
            part = self._part(path)
            self._fs.put_file(str(file), part)
            self._fs.mv(part, self._at(path))
        file.unlink()

    def remove(self, path: str) -> None:
        try:
            self._fs.rm_file(self._at(path))
        except FileNotFoundError:
            return

    def close(self) -> None:
        self._scratch.cleanup()

    def _at(self, path: str) -> str:
        return f"{self._root}/{path}"

    def _parent(self, path: str) -> str:
        return self._at(path).rpartition("/")[0]

    def _part(self, path: str) -> str:
        return f"{self._at(path)}.{secrets.token_hex(4)}.part"


def _without_credentials(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
