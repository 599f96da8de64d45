"""The index that snapshots are taken with: what the next one will have, and how git has seen each file last."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass

from dulwich.objects import ObjectID

from regrow.projects.git import GitError
from regrow.projects.packing import pack, pack_changed_trees, pack_trees, write_index
from regrow.projects.pointers import Pointer
from regrow.projects.printable import printable
from regrow.projects.scan import Stat
from regrow.projects.shadow import Shadow, git_folder

Large = dict[str, tuple[Stat, Pointer]]
"""Large files by path: what each was when it was read, and the pointer to what was read."""

# From this many files on, packs are written sooner than an object file for each.
_MANY = 200
# Some of these no repository can have (`.GIT`, `git~1`, `a\\.git`, `.g\u200cit`): git is asked about each.
_DOUBTFUL = re.compile(rb"(^|[/\\])(\.git|git~)|[\xe2\xef]", re.IGNORECASE)


@dataclass
class Known:
    """The large files that the index has, read into the store of that id."""

    store: str
    entries: Large

    @classmethod
    def read(cls, ours: Shadow, store: str) -> Known:
        """What was noted last. Where that is nothing, or of another store, the index goes: both are only caches."""
        index = ours.folder / "git/index"
        try:
            if not index.stat().st_size:
                raise ValueError("the power was lost while it was written")
            content = json.loads((ours.folder / "large.json").read_text())
            if content["store"] != store:
                raise ValueError("they are in another store")
            files = content["files"].items()
            entries = {path: (Stat(**stat), Pointer(**pointer)) for path, (stat, pointer) in files}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            # In this order: what is noted without its index would never be looked at again.
            (ours.folder / "large.json").unlink(missing_ok=True)
            index.unlink(missing_ok=True)
            entries = {}
        return cls(store, entries)

    def write(self, ours: Shadow) -> None:
        """Note it."""
        files = {path: (asdict(stat), asdict(pointer)) for path, (stat, pointer) in self.entries.items()}
        file = ours.folder / "large.json"
        new = file.with_suffix(".new")
        new.write_text(json.dumps({"store": self.store, "files": files}))
        new.replace(file)

    def has(self, path: str, seen: Stat) -> bool:
        """Whether the file at `path` is what was read then."""
        return path in self.entries and self.entries[path][0] == seen


class Index:
    """The index of the shadow `ours`. Its large files are what is `known` of it."""

    def __init__(self, ours: Shadow, known: Known) -> None:
        self._ours = ours
        self._known = known
        self._is_new = False
        self._has_many = False

    def remove(self, paths: Collection[str]) -> None:
        """Have nothing at `paths`."""
        if any(path in self._known.entries for path in paths):
            self._note_nothing()
            for path in paths:
                self._known.entries.pop(path, None)
        if paths:
            # From the index's end: git moves what comes after each.
            last_first = sorted(map(os.fsencode, paths), reverse=True)
            self._put(f"0 {'0' * 40}\t".encode() + path for path in last_first)

    def put_small(self, files: dict[str, str], nested: list[str]) -> list[str]:
        """Have `files` and links as they are (given with the blob that the index has of each, or ""), and the commits
        that the repositories at `nested` are at.

        The sentences returned say which it can't have. Raises `ProjectError`.
        """
        left = [*self._pack(files), *nested] if len(files) >= _MANY else [*files, *nested]
        try:
            return self._update(left)
        except GitError:
            # At the first that can't be read it stops.
            unreadable = {path: why for path in left if (why := self._why_unreadable(path))}
            if not unreadable:
                raise
            self.remove(unreadable)
            said = [f"{path} can't be read ({why}) and is not in the snapshot." for path, why in unreadable.items()]
            return said + self._update([path for path in left if path not in unreadable])

    def put_large(self, large: Large) -> None:
        """Have the pointers of `large`, which are all, so that git does not look at the files themselves."""
        there = {path: (pointer, stat.executable) for path, (stat, pointer) in self._known.entries.items()}
        new = {
            path: pointer for path, (stat, pointer) in large.items() if there.get(path) != (pointer, stat.executable)
        }
        self.remove(there.keys() - large.keys())
        self._note_nothing()
        if new:
            blobs = _write_blobs(self._ours, set(new.values()))
            mode = {True: 100755, False: 100644}
            self._put(
                (
                    f"{mode[large[path][0].executable]} {blobs[pointer]}\t".encode() + os.fsencode(path)
                    for path, pointer in new.items()
                ),
                # What is put is also marked as what need not be looked at.
                "core.ignoreStat=true",
            )
        self._known.entries = large
        self._known.write(self._ours)

    def tree(self, base: str) -> str:
        """Write what the index has as a tree, and say its name. `base` is one that is much like it, or ""."""
        if self._is_new:
            return self._packed_tree()
        if self._has_many and base:
            with contextlib.suppress(GitError, KeyError):  # that one is damaged
                return self._packed_changes(base)
        return self._ours.git("write-tree").decode().strip()

    def _packed_tree(self) -> str:
        entries = []
        for line in self._ours.git("ls-files", "-z", "--stage").split(b"\0")[:-1]:
            about, path = line.split(b"\t", 1)
            mode, blob, _ = about.split(b" ")
            entries.append((path, ObjectID(blob), int(mode, 8)))
        return pack_trees(git_folder(self._ours.project) / "objects", entries)

    def _packed_changes(self, base: str) -> str:
        asked = ("diff-index", "--cached", "--raw", "--no-renames", "--no-abbrev", "-z", base)
        fields = self._ours.git(*asked).split(b"\0")[:-1]
        changes = []
        for about, path in zip(fields[::2], fields[1::2], strict=True):
            _, mode, _, blob, _ = about.split(b" ")
            changes.append((path, int(mode, 8), blob))
        return pack_changed_trees(git_folder(self._ours.project) / "objects", base, changes)

    def _pack(self, files: dict[str, str]) -> list[str]:
        """Put the content of many files into packs, where git finds it, and say which the index does not have then."""
        packed = pack(self._ours.project, git_folder(self._ours.project) / "objects", files)
        self._has_many = True
        file = self._ours.folder / "git/index"
        if file.exists():
            return list(files)
        done = [(path, entry) for path, entry in packed if not _DOUBTFUL.search(path)]
        write_index(file, done)
        self._is_new = True
        return list(files.keys() - {os.fsdecode(path) for path, _ in done})

    def _update(self, paths: list[str]) -> list[str]:
        """Have git read the files at `paths`. The sentences returned say whose names it does not take."""
        if not paths:
            return []
        asked = [os.fsencode(path) for path in paths]
        output = self._ours.git(
            "update-index", "--verbose", "--add", "--remove", "--replace", "-z", "--stdin",
            input=b"".join(path + b"\0" for path in asked),
        )  # fmt: skip
        if output == b"".join(b"add '%s'\n" % path for path in asked):
            return []
        taken = set(output.split(b"\n"))
        refused = [os.fsdecode(path) for path in asked if (b"add '%s'" % path) not in taken and b"\n" not in path]
        return [f"{printable(path)} has a name that git does not take, and is not in the snapshot." for path in refused]

    def _why_unreadable(self, path: str) -> str:
        try:
            os.close(
                os.open(f"{self._ours.project}/{path}", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            )
        except OSError as error:
            if error.errno not in (errno.ELOOP, errno.ENOENT, errno.ENOTDIR):
                return error.strerror or str(error)
        return ""

    def _put(self, entries: Iterable[bytes], *settings: str) -> None:
        settled = [part for setting in settings for part in ("-c", setting)]
        self._ours.git(*settled, "update-index", "-z", "--index-info", input=b"".join(each + b"\0" for each in entries))

    def _note_nothing(self) -> None:
        """While what the index has of large files is being changed, nothing is known of it."""
        (self._ours.folder / "large.json").unlink(missing_ok=True)


def record_large(ours: Shadow, large: Large, kept_in: str) -> None:
    """Note that the index has the pointers of `large`; git is told to not look at the files themselves."""
    if large:
        marked = b"".join(os.fsencode(path) + b"\0" for path in large)
        ours.git("update-index", "-z", "--assume-unchanged", "--stdin", input=marked)
    Known(kept_in, large).write(ours)


def _write_blobs(ours: Shadow, pointers: set[Pointer]) -> dict[Pointer, str]:
    folder = ours.folder / "pointers"
    folder.mkdir(exist_ok=True)
    try:
        files = {pointer: folder / pointer.oid for pointer in pointers}
        for pointer, file in files.items():
            file.write_bytes(pointer.encode())
        asked = "".join(f"{file}\n" for file in files.values()).encode()
        blobs = ours.git("hash-object", "-w", "--no-filters", "--stdin-paths", input=asked).decode().split()
    finally:
        for file in folder.iterdir():
            file.unlink()
    return dict(zip(files, blobs, strict=True))
