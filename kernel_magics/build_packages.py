"""Which package a file belongs to, from what pip, CMake and pkg-config leave behind."""

from __future__ import annotations

import csv
import io
import os
import posixpath
import re
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

# A RECORD of a package with 100,000 files has about this size; what is larger is not read.
MAX_RECORD_BYTES = 32 << 20
_DIST_INFO = re.compile(rb"(?:^|/)([^/]+)\.dist-info/RECORD$")
_CMAKE = re.compile(rb"(?:^|/)(?:lib[^/]*(?:/[^/]+-linux-[^/]+)?|share)/cmake/([^/]+)/.")
_PKG_CONFIG = re.compile(rb"(?:^|/)pkgconfig/([^/]+)\.pc$")
_LIBRARY = re.compile(rb"(?:^|/)lib[^/]*/(?:[^/]+/)?lib([^/]+?)\.(?:so|a)[^/]*$")
_HEADER = re.compile(rb"(?:^|/)include/([^/.]+)")
_PROGRAM = re.compile(rb"(?:^|/)s?bin/([^/]+)$")


def printable(name: bytes | str) -> str:
    """A name from the disk in one line of valid text; what is neither is shown as `\\x..`."""
    text = name.decode("utf-8", "backslashreplace") if isinstance(name, bytes) else name
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "backslashreplace").decode() for c in text)


def name_of(paths: Iterable[bytes]) -> str:
    """A name for files that were installed together by something other than pip; empty if there are none."""
    kept = list(paths)
    # The surest sign first. Several packages installed at once share a row.
    for pattern in (_CMAKE, _PKG_CONFIG, _LIBRARY, _HEADER, _PROGRAM):
        names = sorted({match[1] for path in kept if (match := pattern.search(path))})
        if names:
            shown = ", ".join(printable(name) for name in names[:3])
            return shown + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    return printable(min(kept)) if kept else ""


def pip_packages(prefix: Path, paths: Iterable[bytes]) -> Iterator[tuple[str, list[bytes]]]:
    """For each RECORD among `paths`: the package's name and version, and its files in the prefix."""
    for path in paths:
        match = _DIST_INFO.search(path)
        if match:
            name, _, version = match[1].partition(b"-")
            yield printable(name + b" " + version).strip(), list(_recorded(prefix, path))


def _recorded(prefix: Path, record: bytes) -> Iterator[bytes]:
    """The files that a RECORD names, relative to the prefix; none that lies outside of it."""
    base = posixpath.dirname(posixpath.dirname(record))
    for row in csv.reader(io.StringIO(_read(prefix, record), newline="")):
        path = posixpath.normpath(posixpath.join(base, os.fsencode(row[0]))) if row and row[0] else b".."
        if not path.startswith((b"/", b"../")) and path != b"..":
            yield path


def _read(prefix: Path, path: bytes) -> str:
    """The text of a regular file of the prefix; empty if it is something else, too large or gone."""
    try:
        descriptor = os.open(os.fsencode(prefix) + b"/" + path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return ""
    with os.fdopen(descriptor, "rb") as file:
        state = os.fstat(descriptor)
        if not stat.S_ISREG(state.st_mode) or state.st_size > MAX_RECORD_BYTES:
            return ""
        return file.read(MAX_RECORD_BYTES).decode("utf-8", "surrogateescape").replace("\0", "")
