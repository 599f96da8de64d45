"""A checkpoint as one file: what a published project carries of its owner's variables, and forks load from in place.

    magic (8) | BLAKE3 of head and manifest (32) | head | manifest | each chunk that it refers to, once, as it is

The manifest names its chunks by their BLAKE3, so that the first 40 bytes authenticate the whole file, and each value is
verified when it is read. Nothing is copied before it is used; the first save of one's own takes all into one's own
store. Of the owner's session the file has variables, and no environment, history or paths but the project's own.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO, Self

from blake3 import blake3

from regrow.state.checkpoints import Checkpoints
from regrow.state.errors import StateError
from regrow.state.manifest import HEAD_BYTES, Blob, Manifest, Missing, body_length, encode, parse
from regrow.store import ChunkDamaged
from regrow.store.recipe import Recipe

_MAGIC = b"regrowB\x01"
_DIGEST_BYTES = 32
_MOST_MANIFEST_BYTES = 512 * 1024 * 1024
_NOT_KEPT = "its owner's kernel could not keep it"


class BundleDamaged(StateError):
    """A bundle that is not what its owner wrote."""


def for_others(manifest: Manifest, project: Path, sources: set[str]) -> Manifest:
    """What of `manifest` others may have: variables, and the cells whose text is among `sources`, the notebook's own.

    Of paths only those in `project` are left, relative to it.
    """
    cells = [cell for cell in manifest.cells if cell.source.strip() in sources]
    process: dict[str, Any] = {}
    paths = [_relative(entry, project) for entry in manifest.process.get("path", [])]
    if inside := [path for path in paths if path is not None]:
        process["path"] = inside
    directory = _relative(str(manifest.process.get("directory") or ""), project)
    if directory is not None:
        process["directory"] = directory
    excluded = set(manifest.excluded)
    # Why it is missing, and the notes, are in words of the owner's kernel: paths, keys, texts of errors.
    missing = [replace(each, reason=_NOT_KEPT) for each in manifest.missing if each.name not in excluded]
    known = {*manifest.names, *(each.name for each in missing)}
    made_by = {name: cell for name, cell in manifest.made_by.items() if name in known}
    return replace(
        manifest,
        notebook="",
        reason="publish",
        groups=[replace(group, notes={}) for group in manifest.groups],
        cells=cells,
        process=process,
        missing=missing,
        made_by=made_by,
        excluded=[],
    )


def at_home(manifest: Manifest, project: Path) -> Manifest:
    """A manifest that was `for_others`, for the project in the folder `project`."""
    process: dict[str, Any] = {}
    # Whoever wrote it is trusted with code, but not to know what is where here.
    paths = [path for path in manifest.process.get("path", []) if _stays_inside(path)]
    if paths:
        process["path"] = [str(project / path) for path in paths]
    directory = manifest.process.get("directory")
    if directory is not None and _stays_inside(directory):
        process["directory"] = str(project / directory)
    return replace(manifest, process=process)


def write(output: BinaryIO, manifest: Manifest, checkpoints: Checkpoints) -> str:
    """Write `manifest` with its content from `checkpoints`; returns the digest that authenticates it.

    Raises `StoreError` or `OSError`.
    """
    about = encode(manifest, checkpoints.key)
    digest = blake3(about)
    output.write(_MAGIC + digest.digest() + about)
    for key, size in _chunks(manifest):
        for part in checkpoints.store.chunks(Recipe.of([(key, size)])):
            output.write(part)
    return digest.hexdigest()


def digest_of(file: Path) -> str:
    """The digest that authenticates the bundle in `file`: nothing else in it is looked at, as nobody trusts it yet.

    Raises `BundleDamaged` or `OSError`.
    """
    descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        return _read_about(descriptor, file.name)[0]
    finally:
        os.close(descriptor)


class Bundle:
    """A bundle to load from, in place of `Checkpoints`. A context manager; it is read until it is closed.

    `expected` is the digest that it has to have, where that is known. Raises `BundleDamaged` or `OSError`.
    """

    def __init__(self, file: Path, expected: str = "") -> None:
        self.name = file.name
        self._file = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            self.digest, body, start = _read_about(self._file, self.name)
            if expected and self.digest != expected:
                raise BundleDamaged(f"{self.name} is not the one that came with the fork: nothing of it is loaded.")
            self.manifest = parse(body)
            self._places: dict[bytes, int] = {}
            for key, size in _chunks(self.manifest):
                self._places[key] = start
                start += size
            if os.fstat(self._file).st_size != start:
                raise BundleDamaged(f"{self.name} is not as long as it should be: it was cut short, or changed.")
        except BaseException:
            os.close(self._file)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file. More than once is no harm: its number may be another file's by then."""
        file, self._file = self._file, -1
        if file >= 0:
            os.close(file)

    @property
    def store(self) -> Self:
        """As `Checkpoints.store`, for reading alone."""
        return self

    def blob(self, manifest: Manifest, blob: Blob) -> bytes:
        """As `Checkpoints.blob`. Raises `StoreError`."""
        return self.read(manifest.recipes[blob.recipe])[blob.offset :][: blob.length]

    def read(self, recipe: Recipe) -> bytes:
        """As `Store.read`. Raises `StoreError`."""
        content = bytearray(recipe.size)
        self.read_into(recipe, memoryview(content))
        return bytes(content)

    def read_into(self, recipe: Recipe, buffer: memoryview) -> None:
        """As `Store.read_into`: every chunk is verified. Raises `StoreError`."""
        view = buffer.cast("B")
        offset = 0
        for key, size in recipe:
            self._fill(key, view[offset : offset + size])
            offset += size

    def bring_into(self, checkpoints: Checkpoints, manifest: Manifest) -> None:
        """Put what `manifest`, which was made of this bundle's, refers to into the store of `checkpoints`.

        What is damaged is left out of `manifest`. Raises `StoreError`.
        """
        damaged: set[bytes] = set()
        with checkpoints.store.writer() as writer:
            for key, size in _chunks(manifest):
                content = bytearray(size)
                try:
                    self._fill(key, memoryview(content))
                except ChunkDamaged:
                    damaged.add(key)
                    continue
                if writer.put(content) != Recipe.of([(key, size)]):
                    raise StateError(f"{self.name} was written by a version of Regrow that cuts values otherwise.")
        if damaged:
            _leave_out(manifest, damaged, f"what {self.name} has of it is damaged")

    def _fill(self, key: bytes, chunk: memoryview) -> None:
        start = self._places.get(key)
        if start is None or os.preadv(self._file, [chunk], start) != chunk.nbytes or blake3(chunk).digest() != key:
            raise ChunkDamaged(f"{self.name} was changed after it was written.")


def _read_about(file: int, name: str) -> tuple[str, bytes, int]:
    """The digest of the bundle that is open as `file`, its manifest, and where its chunks begin."""
    begin = len(_MAGIC) + _DIGEST_BYTES
    start = os.pread(file, begin + HEAD_BYTES, 0)
    if len(start) != begin + HEAD_BYTES or not start.startswith(_MAGIC):
        raise BundleDamaged(f"{name} is not a file of variables that this version can read.")
    try:
        length = body_length(start[begin:])
    except StateError as error:
        raise BundleDamaged(f"{name} can't be read: its head was changed.") from error
    if length > min(_MOST_MANIFEST_BYTES, os.fstat(file).st_size):
        raise BundleDamaged(f"{name} can't be read: its head was changed.")
    body = os.pread(file, length, begin + HEAD_BYTES)
    digest = blake3(start[begin:] + body)
    if digest.digest() != start[len(_MAGIC) : begin]:
        raise BundleDamaged(f"{name} was changed after it was written: nothing of it is loaded.")
    return digest.hexdigest(), body, begin + HEAD_BYTES + length


def _chunks(manifest: Manifest) -> Iterator[tuple[bytes, int]]:
    """Each chunk that a manifest refers to, once."""
    seen: set[bytes] = set()
    for recipe in manifest.recipes:
        for key, size in recipe:
            if key not in seen:
                seen.add(key)
                yield key, size


def _leave_out(manifest: Manifest, damaged: set[bytes], reason: str) -> None:
    lost = {number for number, recipe in enumerate(manifest.recipes) if any(key in damaged for key, _ in recipe)}
    for group in manifest.groups:
        parts = [*([group.pickle] if group.pickle else []), *group.buffers]
        if any(blob.recipe in lost for blob in parts):
            manifest.missing += [Missing(name, reason, manifest.made_by.get(name)) for name in group.names]
            # It stays, without a name: the process that this one was forked from counts the groups.
            group.names = []


def _relative(path: str, project: Path) -> str | None:
    if not path or not Path(path).is_absolute() or not Path(path).is_relative_to(project):
        return None
    return str(Path(path).relative_to(project))


def _stays_inside(path: str) -> bool:
    return not Path(path).is_absolute() and ".." not in Path(path).parts
