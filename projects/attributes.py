"""The lines of `.gitattributes` by which stock git and git-lfs bring a clone's large files.

They are in what leaves a project, never in the project's own files.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from regrow.projects.changes import EXECUTABLE, REGULAR, pointers_of_tree
from regrow.projects.git import git
from regrow.projects.pointers import Pointer
from regrow.projects.printable import printable

FILE = b".gitattributes"
# The first line says what the file was before, so that it can be that again.
_AFTER_LINES = b"# Large files, kept by Regrow; clones get them by Git LFS"
_AFTER_TEXT = _AFTER_LINES + b" (the line above had no end)"
_IN_EMPTY = _AFTER_LINES + b" (this file was empty)"
_END = b"# End of large files"
_ATTRIBUTES = b" filter=lfs diff=lfs merge=lfs -text\n"
# git ignores longer ones (ATTR_MAX_LINE_LENGTH in its attr.h).
_MOST_LINE_BYTES = 2048
_ESCAPES = {ord("\n"): b"\\n", ord("\r"): b"\\r", ord("\t"): b"\\t", ord('"'): b'\\"', ord("\\"): b"\\\\"}


@dataclass(frozen=True)
class Attributed:
    """A tree whose `.gitattributes` names its `pointers`, by path. `warnings` are sentences on those it can't name."""

    tree: str
    pointers: dict[str, Pointer]
    warnings: list[str] = field(default_factory=list)


def with_large(folder: Path, tree: str) -> Attributed:
    """`tree` with a block in `.gitattributes` for its large files; a tree that has none is as `without_large` has it.

    `folder` may be a bare repository. Attributes that the user sets in a folder further down go before these, as always
    in git. Raises `ProjectError`.
    """
    pointers = pointers_of_tree(folder, tree)
    root = _Root.read(folder, tree)
    if not root.is_ours_to_edit or os.fsdecode(FILE) in pointers:
        warning = (
            "In a clone, large files are pointers: .gitattributes is not an ordinary file, so they can't be named."
        )
        return Attributed(tree, pointers, [warning] if pointers else [])
    plain = _plain(root.content)
    if not pointers:
        return Attributed(root.write(plain), pointers)
    warnings = []
    lines = []
    for path in sorted(map(os.fsencode, pointers)):
        line = _pattern(path) + _ATTRIBUTES
        if len(line) > _MOST_LINE_BYTES:
            shown = printable(os.fsdecode(path))
            warnings.append(f"In a clone, {shown} is a pointer: its path is too long for git's attributes.")
            continue
        lines.append(line)
    begin = _AFTER_LINES
    if plain is not None:
        begin = _IN_EMPTY if not plain else begin if plain.endswith(b"\n") else b"\n" + _AFTER_TEXT
    content = b"".join((plain or b"", begin, b"\n", *lines, _END, b"\n"))
    return Attributed(root.write(content), pointers, warnings)


def without_large(folder: Path, tree: str) -> str:
    """`tree` without what `with_large` has added, and without the file if there is nothing else in it.

    Raises `ProjectError`.
    """
    root = _Root.read(folder, tree)
    return root.write(_plain(root.content)) if root.is_ours_to_edit else tree


@dataclass
class _Root:
    """A tree's own entries, as `git ls-tree` has them, but for `.gitattributes`: its mode and content."""

    folder: Path
    tree: str
    others: list[bytes]
    mode: bytes
    content: bytes | None

    @classmethod
    def read(cls, folder: Path, tree: str) -> _Root:
        root = cls(folder, tree, [], b"100644", None)
        for entry in git(folder, "ls-tree", "-z", "--full-tree", tree).split(b"\0")[:-1]:
            about, name = entry.split(b"\t", 1)
            if name != FILE:
                root.others.append(entry)
                continue
            root.mode, _, blob = about.split(b" ")
            if root.is_ours_to_edit:
                root.content = git(folder, "cat-file", "blob", blob.decode())
        return root

    @property
    def is_ours_to_edit(self) -> bool:
        """Whether it is a file, or nothing yet: git reads no attributes from a link or a folder."""
        return int(self.mode, 8) in (REGULAR, EXECUTABLE)

    def write(self, content: bytes | None) -> str:
        """The tree with that content, None for none."""
        if content == self.content:
            return self.tree
        entries = list(self.others)
        if content is not None:
            blob = git(self.folder, "hash-object", "-w", "--stdin", input=content).strip()
            entries.append(self.mode + b" blob " + blob + b"\t" + FILE)
        asked = b"".join(entry + b"\0" for entry in entries)
        return git(self.folder, "mktree", "-z", input=asked).decode().strip()


def _plain(content: bytes | None) -> bytes | None:
    """The content without our blocks, wherever they are by now."""
    kept: list[bytes] = []
    begins: list[int] = []
    last = None  # the first line of the block that the content ends with
    found = False
    for line in re.findall(rb"[^\n]*\n|[^\n]+", content or b""):
        text = line.rstrip(b"\r\n")
        if text == _END and begins:
            start = begins.pop()
            last = kept[start].rstrip(b"\r\n")
            found = True
            del kept[start:]
            continue
        last = None
        if text in (_AFTER_LINES, _AFTER_TEXT, _IN_EMPTY):
            begins.append(len(kept))
        kept.append(line)
    plain = b"".join(kept)
    if not found:
        return content
    if last == _AFTER_TEXT:
        return plain.removesuffix(b"\n")
    return plain if plain or last == _IN_EMPTY else None


def _pattern(path: bytes) -> bytes:
    """The pattern of gitattributes(5) that only `path` matches."""
    # From the root: then neither "!" nor "#" is the first character.
    pattern = b"/" + re.sub(rb"([*?\[\\])", rb"\\\1", path)
    if not re.search(rb'[\x00-\x20"\x7f]', pattern):
        return pattern
    quoted = (_ESCAPES.get(byte, b"\\%03o" % byte if byte < 0x20 else bytes([byte])) for byte in pattern)
    return b'"' + b"".join(quoted) + b'"'
