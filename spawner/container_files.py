"""Single files into and out of containers, through the engine."""

from __future__ import annotations

import io
import tarfile
from typing import Any

from docker.errors import NotFound

# A listing of every package of a large image is well below it.
_LIMIT_BYTES = 4 * 1024**2


def read_text(client: Any, container_id: str, path: str) -> str:
    """The text of a regular file; empty where there is none, or one that is too large to be what is looked for.

    The container's user may have put anything there: a folder, a link, a huge or broken file. No more than 4 MiB of
    it are ever read.
    """
    try:
        chunks, _ = client.get_archive(container_id, path)
    except NotFound:
        return ""
    content = bytearray()
    for chunk in chunks:
        content += chunk
        if len(content) > _LIMIT_BYTES:
            return ""
    try:
        with tarfile.open(fileobj=io.BytesIO(content)) as tar:
            member = tar.next()
            file = tar.extractfile(member) if member and member.isreg() else None
            return file.read().decode(errors="replace") if file else ""
    except tarfile.TarError:
        return ""


def put_file(client: Any, container_id: str, path: str, content: str, *, mode: int, uid: int) -> None:
    """Put a file into a container, running or not; `uid` is its owner as the container counts users."""
    data = content.encode()
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w") as tar:
        member = tarfile.TarInfo(path.lstrip("/"))
        member.size, member.mode, member.uid, member.gid = len(data), mode, uid, uid
        tar.addfile(member, io.BytesIO(data))
    client.put_archive(container_id, "/", archive.getvalue())
