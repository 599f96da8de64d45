"""The checkpoints of a user's notebooks, in a store of their own: listing, reading, keeping, dropping."""

from __future__ import annotations

import contextlib
import errno
import sqlite3
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from regrow.state.errors import NotSaved, StateError
from regrow.state.manifest import HEAD_BYTES, Blob, Manifest, body_length, decode, encode, parse
from regrow.state.places import key_of, users_key
from regrow.store import NotKept, Store, StoreError
from regrow.store.recipe import Recipe
from regrow.store.writer import Writer

#: Seconds for which the store spares what nothing refers to yet. Sessions are written in seconds, and often.
GRACE_S = 900.0
_FOLDER = "checkpoints"


@dataclass(frozen=True)
class Entry:
    """A checkpoint of a notebook: its id, and when it was made, in seconds since 1970."""

    id: str
    at: float


class Checkpoints:
    """The checkpoints in `directory`, a user's folder for saved sessions. A context manager."""

    def __init__(self, directory: Path, now: Callable[[], float] = time.time) -> None:
        self.directory = directory
        self.key = users_key(directory)
        self.store = Store.create(str(directory / "store"), directory / "index", GRACE_S, now)

    def __enter__(self) -> Checkpoints:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the store."""
        self.store.close()

    def entries(self, notebook: Path) -> list[Entry]:
        """The checkpoints of `notebook`, the oldest first."""
        prefix = f"{_FOLDER}/{key_of(notebook)}"
        return [_entry(name.rpartition("/")[2]) for name in sorted(self.store.names(prefix))]

    def read(self, notebook: Path, entry: Entry) -> Manifest:
        """The manifest of a checkpoint, which this user's key must have made.

        Raises `NotSaved`, `NotTrusted` or `StateError`.
        """
        try:
            recipe = self.store.recipe(_name(notebook, entry))
        except NotKept as error:
            raise NotSaved(f"There is no checkpoint {entry.id} of {notebook.name}.") from error
        with self.store.open_recipe(recipe) as file:
            head = file.read(HEAD_BYTES)
            body = file.read(body_length(head))
        return decode(head, body, [self.key])

    def keep(self, writer: Writer, manifest: Manifest, notebook: Path) -> Entry:
        """Keep `manifest`, whose content `writer` has, as the latest checkpoint of `notebook` once that commits."""
        head = writer.put(encode(manifest, self.key))
        chunks = list(head)
        for recipe in manifest.recipes:
            chunks += recipe
        # In the order in which they were made, also where the clock was set back.
        last = max((int(entry.id) for entry in self.entries(notebook)), default=0)
        entry = _entry(f"{max(int(manifest.at * 1000), last + 1):013d}")
        writer.keep(_name(notebook, entry), Recipe.of(chunks))
        return entry

    def drop(self, notebook: Path, entry: Entry) -> None:
        """Keep it no longer. Raises `NotSaved`."""
        try:
            self.store.drop(_name(notebook, entry))
        except NotKept as error:
            raise NotSaved(f"There is no checkpoint {entry.id} of {notebook.name}.") from error

    def prune(self, notebook: Path, most: int, most_times: float, spare_bytes: int) -> None:
        """Keep of `notebook` the newest `most` checkpoints and the last one of each hour, as long as they take no more
        than `most_times` the largest of them and `spare_bytes`; always the last.
        """
        recipes = {}
        for entry in reversed(self.entries(notebook)):
            with contextlib.suppress(NotKept):  # another kernel of the notebook was faster
                recipes[entry] = self.store.recipe(_name(notebook, entry))
        limit = most_times * max((recipe.size for recipe in recipes.values()), default=0) + spare_bytes
        chunks: dict[bytes, int] = {}
        hours: set[int] = set()
        for number, (entry, recipe) in enumerate(recipes.items()):
            is_wanted = number < most or int(entry.at // 3600) not in hours
            taken = {**chunks, **dict(recipe)}
            if number and (not is_wanted or sum(taken.values()) > limit):
                with contextlib.suppress(NotSaved):
                    self.drop(notebook, entry)
            else:
                chunks = taken
                hours.add(int(entry.at // 3600))

    def blob(self, manifest: Manifest, blob: Blob) -> bytes:
        """The content of a small blob. Raises `StoreError`."""
        with self.store.open_recipe(manifest.recipes[blob.recipe]) as file:
            file.seek(blob.offset)
            return file.read(blob.length)

    def move(self, old: Path, new: Path, *, joins: bool = False) -> None:
        """What was kept of the notebook `old` is of `new` now. What was of that before goes, unless it `joins` it."""
        arriving = self.entries(old) if key_of(old) != key_of(new) else []
        if not arriving:
            return
        leaving = [] if joins else self.entries(new)
        with self.store.writer() as writer:
            for entry in arriving:
                writer.keep(_name(new, entry), self.store.recipe(_name(old, entry)))
        for entry in leaving:
            if entry not in arriving:
                self.drop(new, entry)
        for entry in arriving:
            self.drop(old, entry)

    def notebooks(self) -> Iterator[tuple[str, list[Entry]]]:
        """Where the store has the checkpoints of each notebook, and these, the oldest first."""
        found: dict[str, list[Entry]] = {}
        for name in sorted(self.store.names(_FOLDER)):
            folder, _, identity = name.rpartition("/")
            found.setdefault(folder, []).append(_entry(identity))
        yield from found.items()

    def path_of(self, folder: str, entries: list[Entry]) -> Path | None:
        """The notebook of which `notebooks` gave these, as its last checkpoint says; None where that can't be read."""
        with contextlib.suppress(StateError, StoreError):
            recipe = self.store.recipe(f"{folder}/{entries[-1].id}")
            with self.store.open_recipe(recipe) as file:
                return Path(parse(file.read(body_length(file.read(HEAD_BYTES)))).notebook)
        return None


def _name(notebook: Path, entry: Entry) -> str:
    return f"{_FOLDER}/{key_of(notebook)}/{entry.id}"


def _entry(identity: str) -> Entry:
    return Entry(identity, int(identity) / 1000)


def find(entries: list[Entry], when: str, now: float | None = None) -> Entry:
    """The checkpoint that `when` says: an id, `-1` for the one before the last, or 5m, 2h, 1d ago; empty: the last.

    Raises `NotSaved`.
    """
    if not entries:
        raise NotSaved("Nothing of this notebook has been saved yet.")
    if not when:
        return entries[-1]
    if when.startswith("-") and when[1:].isdigit() and int(when[1:]) < len(entries):
        return entries[-1 - int(when[1:])]
    units = {"s": 1, "m": 60, "h": 3600, "d": 86400}
    if when[-1] in units and when[:-1].replace(".", "", 1).isdigit():
        limit = (now if now is not None else time.time()) - float(when[:-1]) * units[when[-1]]
        before = [entry for entry in entries if entry.at <= limit]
        if before:
            return before[-1]
        raise NotSaved(f"Nothing was saved {when} ago or earlier. The oldest checkpoint is {entries[0].id}.")
    found = [entry for entry in entries if entry.id == when]
    if not found:
        raise NotSaved(f"There is no checkpoint {when}. %checkpoint list shows those that there are.")
    return found[0]


def opened(directory: Path) -> Checkpoints:
    """The checkpoints in `directory`. Raises `StateError`, in words, where the disk does not let them be opened."""
    try:
        return Checkpoints(directory)
    except (OSError, sqlite3.OperationalError) as error:
        if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or "full" in str(error):
            raise StateError(f"There is no room left in {directory}. Make room, and it is saved again.") from error
        raise StateError(f"{directory} can't be written to: {error}.") from error
