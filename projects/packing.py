"""Many files into git at once: a few packs, made by several processes, where `git add` would write a file for each.

The formats are git's (gitformat-pack, gitformat-index), written by dulwich.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import pickle
import stat
import struct
import subprocess
import sys
import zlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from io import FileIO
from pathlib import Path
from typing import cast

from dulwich.index import commit_tree
from dulwich.object_format import SHA1
from dulwich.object_store import DiskObjectStore
from dulwich.objects import ObjectID, Tree
from dulwich.pack import ObjectContainer, pack_object_header, write_pack_index_v2
from isal import isal_zlib

from regrow.projects.changes import EXECUTABLE, REGULAR, SYMLINK
from regrow.projects.errors import ProjectError
from regrow.store.pack import write_at

_KINDS = {b"tree": 2, b"blob": 3}
# igzip's level 1 compresses source code as well as zlib's, four times as fast.
_LEVEL = 1
_MORE_BYTES = 1024 * 1024
_MOST_PROCESSES = 8
# Starting a process takes as long as packing this many files.
_WORTH_A_PROCESS = 4000
_HEADER = b"PACK" + (2).to_bytes(4, "big")

# gitformat-index, version 2: times of inode and content (s, ns), device, inode, mode, user, group, size, name, flags.
_ENTRY = struct.Struct(">10L20sH")
_MOST_NAME_BYTES = 0xFFF


Entries = list[tuple[bytes, bytes]]
"""Files by path, each with its entry as git's index has it."""

Changes = list[tuple[bytes, int, bytes]]
"""Paths, each with the mode and the blob that it has now; the mode is 0 where there is nothing any more."""


def pack(project: Path, objects: Path, files: dict[str, str]) -> Entries:
    """Put files and links into new packs of the git object folder `objects`. Raises `ProjectError`.

    `files` are paths with the blob that git has of each, or "": what is still the same is not put in again.
    """
    asked = [(os.fsencode(path), blob.encode()) for path, blob in files.items()]
    # Processes: what is done for each small file is mostly Python's own work, of which threads do one at a time.
    count = min(os.cpu_count() or 1, _MOST_PROCESSES, len(asked) // _WORTH_A_PROCESS)
    if count < 2:
        try:
            return _pack_here(os.fspath(project), objects, asked)
        except OSError as error:
            raise _failed(project, str(error)) from error
    # -P: nothing is imported from the folder that this happens to be called in.
    command = [sys.executable, "-P", "-m", __name__, str(project), str(objects)]
    with contextlib.ExitStack() as stack:
        processes = [
            stack.enter_context(
                subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
            )
            for _ in range(count)
        ]
        threads = stack.enter_context(ThreadPoolExecutor(count, "regrow-pack"))
        # Neighbours together: they are read from the same places of the disk.
        share = -(-len(asked) // count)
        parts = [pickle.dumps(asked[start : start + share]) for start in range(0, len(asked), share)]
        answers = list(threads.map(lambda process, part: process.communicate(part), processes, parts))
    packed: Entries = []
    for process, (answer, said) in zip(processes, answers, strict=True):
        if process.returncode:
            lines = said.decode(errors="replace").strip().splitlines()
            raise _failed(project, lines[-1] if lines else "the process ended")
        packed += pickle.loads(answer)
    return packed


def _failed(project: Path, why: str) -> ProjectError:
    return ProjectError(f"Could not pack the files of {project}: {why}. What is there is as it was. Try again.")


def pack_trees(objects: Path, entries: Iterable[tuple[bytes, ObjectID, int]]) -> str:
    """Put the trees of `entries` (path, blob, git's mode) into a new pack, and say the top's name. Raises `OSError`."""
    with _new_pack(objects) as made:
        return commit_tree(cast(ObjectContainer, made), entries).decode()


def pack_changed_trees(objects: Path, base: str, changes: Changes) -> str:
    """Put the trees into a new pack that `changes` make other than they are in the tree `base`; the top's name.

    Raises `OSError`, and `KeyError` where git does not have a blob, or what is needed of `base`.
    """
    with contextlib.closing(DiskObjectStore(os.fspath(objects))) as there, _new_pack(objects) as made:
        for _, mode, blob in changes:
            if stat.S_IFMT(mode) in (stat.S_IFREG, stat.S_IFLNK) and ObjectID(blob) not in there:
                raise KeyError(blob)
        top = _changed(there, made, base.encode(), changes)
        made.add_object(top)
        return top.id.decode()


def _changed(there: DiskObjectStore, made: _Pack, base: bytes, changes: Changes) -> Tree:
    tree = Tree()
    if base:
        tree.set_raw_string(there.get_raw(ObjectID(base))[1])
    below: dict[bytes, Changes] = {}
    for path, mode, blob in changes:
        name, _, rest = path.partition(b"/")
        if rest:
            below.setdefault(name, []).append((rest, mode, blob))
        elif mode:
            tree[name] = (mode, ObjectID(blob))
        elif name in tree:
            del tree[name]
    for name, changes_there in below.items():
        mode, oid = stat.S_IFDIR, b""
        if name in tree:
            mode, oid = tree[name]
        if not stat.S_ISDIR(mode):
            continue  # what was below is gone: a file has taken the folder's place
        folder = _changed(there, made, oid, changes_there)
        if len(folder):
            made.add_object(folder)
            tree[name] = (stat.S_IFDIR, folder.id)
        elif oid:
            del tree[name]
    return tree


@contextlib.contextmanager
def _new_pack(objects: Path) -> Iterator[_Pack]:
    """A pack that is there for git when the block has ended, unless by an exception."""
    (objects / "pack").mkdir(exist_ok=True)
    scratch = objects / "pack" / f"tmp_pack_regrow_{os.getpid()}"
    index = scratch.with_suffix(".idx")
    try:
        with scratch.open("w+b", buffering=0) as file:
            made = _Pack(file)
            yield made
            if not made.entries:
                return
            name = objects / "pack" / f"pack-{made.finish().hex()}"
        with index.open("wb") as target:
            write_pack_index_v2(target, sorted(made.entries.values()), made.checksum)
        scratch.chmod(0o444)
        index.chmod(0o444)
        scratch.replace(name.with_suffix(".pack"))
        # A pack is seen when its index is.
        index.replace(name.with_suffix(".idx"))
    finally:
        scratch.unlink(missing_ok=True)
        index.unlink(missing_ok=True)


def write_index(file: Path, entries: Entries) -> None:
    """Write git's index of just what was packed, as `file`."""
    content = b"DIRC" + struct.pack(">2L", 2, len(entries)) + b"".join(entry for _, entry in sorted(entries))
    new = file.with_name(f"{file.name}.new")
    new.write_bytes(content + hashlib.sha1(content, usedforsecurity=False).digest())
    new.replace(file)


class _Pack:
    """A pack that is being written."""

    def __init__(self, file: FileIO) -> None:
        self._file = file
        self._end = len(_HEADER) + 4
        self.entries: dict[bytes, tuple[bytes, int, int]] = {}
        self.checksum = b""

    def add(self, kind: bytes, content: bytes, there: bytes = b"") -> bytes:
        """Put an object of a kind (`blob`, `tree`) in, unless it is in or is the one that is `there`; its name."""
        oid = hashlib.sha1(b"%s %d\0" % (kind, len(content)) + content, usedforsecurity=False).digest()
        if oid in self.entries or oid.hex().encode() == there:
            return oid
        header = bytes(pack_object_header(_KINDS[kind], None, len(content), SHA1))
        entry = header + isal_zlib.compress(content, _LEVEL)
        self.entries[oid] = (oid, self._end, zlib.crc32(entry))
        write_at(self._file.fileno(), entry, self._end)
        self._end += len(entry)
        return oid

    def add_object(self, tree: Tree) -> None:
        """As dulwich's object stores have it."""
        self.add(b"tree", tree.as_raw_string())

    def finish(self) -> bytes:
        """Write the header, which has the count, and the checksum of it all, which is also returned."""
        write_at(self._file.fileno(), _HEADER + len(self.entries).to_bytes(4, "big"), 0)
        self._file.seek(0)
        self.checksum = hashlib.file_digest(self._file, "sha1").digest()
        write_at(self._file.fileno(), self.checksum, self._end)
        os.fsync(self._file.fileno())
        return self.checksum


def _pack_here(project: str, objects: Path, files: list[tuple[bytes, bytes]]) -> Entries:
    """What `pack` does, or a process of its own with its share."""
    packed = []
    folder = os.open(project, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with _new_pack(objects) as made:
            for path, blob in files:
                try:
                    content, status = _read(path, folder)
                except OSError:
                    continue  # removed meanwhile, or `git add` says why it can't be read
                if content is not None:
                    packed.append((path, _entry(path, made.add(b"blob", content, blob), status)))
    finally:
        os.close(folder)
    return packed


def _read(path: bytes, folder: int) -> tuple[bytes | None, os.stat_result]:
    """A regular file's content or a link's target, and its status; None for anything else."""
    try:
        # Opening a named pipe would wait for who writes into it.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        return os.readlink(path, dir_fd=folder), os.lstat(path, dir_fd=folder)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return None, status
        content = os.read(descriptor, status.st_size + 1)
        while len(content) != status.st_size and (more := os.read(descriptor, _MORE_BYTES)):
            content += more
        return content, status
    finally:
        os.close(descriptor)


def _mode(status: os.stat_result) -> int:
    if stat.S_ISLNK(status.st_mode):
        return SYMLINK
    return EXECUTABLE if status.st_mode & 0o100 else REGULAR


def _entry(path: bytes, oid: bytes, status: os.stat_result) -> bytes:
    fields = (
        *divmod(status.st_ctime_ns, 10**9),
        *divmod(status.st_mtime_ns, 10**9),
        status.st_dev,
        status.st_ino,
        _mode(status),
        status.st_uid,
        status.st_gid,
        status.st_size,
    )
    fixed = _ENTRY.pack(*(field & 0xFFFFFFFF for field in fields), oid, min(len(path), _MOST_NAME_BYTES))
    # One to eight zeros, so that the next entry begins at a multiple of eight.
    return fixed + path + b"\0" * (8 - (_ENTRY.size + len(path)) % 8)


if __name__ == "__main__":
    sys.stdout.buffer.write(pickle.dumps(_pack_here(sys.argv[1], Path(sys.argv[2]), pickle.load(sys.stdin.buffer))))
