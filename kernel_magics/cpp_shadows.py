"""Where the compiler and the linker looked in vain before they found what a cell was made of.

A compiled cell is out of date when something appears there: a header of one's own in front of a group's, a
shared library beside a static one. Only the first folder or file of each such path that is missing is named,
so that a few names stand for the thousands of headers of a large library.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

_IGNORED = re.compile(r'ignoring nonexistent directory "(.*)"')
_LIBRARY = re.compile(r"(lib.+)\.(so|a)")


@dataclass(frozen=True)
class IncludePath:
    """The folders of `#include`, in the compiler's order; `quoted` are those for `#include "..."` only."""

    quoted: list[Path]
    angled: list[Path]


def include_path(said: str, cwd: Path) -> IncludePath:
    """The search path that `-E -v` made the compiler tell, GCC and Clang alike."""
    # They don't say where on the path a folder would be that isn't there yet: perhaps at its very front.
    quoted = [cwd / folder for folder in _IGNORED.findall(said)]
    angled: list[Path] = []
    into: list[Path] | None = None
    for line in said.splitlines():
        if line.startswith('#include "..."'):
            into = quoted
        elif line.startswith("#include <...>"):
            into = angled
        elif line.startswith("End of search list"):
            into = None
        elif into is not None:
            into.append(cwd / line.strip())
    return IncludePath(quoted, angled)


def missing_headers(headers: Sequence[Path], path: IncludePath) -> set[str]:
    """What is missing in front of `headers`, each as the compiler named it."""
    libraries = tuple(f"{folder}/" for folder in path.angled)
    # `#include "..."` looks beside the including file first. Which one that was isn't known: any of the cell's own.
    own = {str(header.parent) for header in headers if not str(header).startswith(libraries)}
    folders = [*sorted(own), *map(str, path.quoted), *map(str, path.angled)]
    exists = functools.cache(os.path.exists)  # a library's headers share most of their paths
    missing = set()
    for file in map(str, headers):
        for position, folder in enumerate(folders):
            if file.startswith(f"{folder}/"):
                relative = file[len(folder) + 1 :]
                missing |= {_first_missing(earlier, relative, exists) for earlier in folders[:position]}
    return missing - {""}


def missing_libraries(linked: Iterable[Path], folders: Sequence[Path]) -> set[str]:
    """What is missing in front of `linked`, of which some were found in `folders`, in that order, by `-lNAME`."""
    missing = set()
    for file in linked:
        name = _LIBRARY.fullmatch(file.name)
        if not name:
            continue
        last = folders.index(file.parent) if file.parent in folders else len(folders)
        candidates = [folder / f"{name[1]}.{suffix}" for folder in folders[:last] for suffix in ("so", "a")]
        candidates.append(file.with_suffix(".so"))
        missing |= {str(candidate) for candidate in candidates if not candidate.exists()}
    return missing


def library_folders(linking: Sequence[str], library_path: str, cwd: Path) -> list[Path]:
    """The folders of `-L` among the linker's words, then those of `$LIBRARY_PATH`."""
    words = zip(linking, [*linking[1:], ""], strict=False)
    named = [word[2:] or following for word, following in words if word.startswith("-L")]
    return [cwd / folder for folder in [*named, *filter(None, library_path.split(":"))]]


def _first_missing(folder: str, relative: str, exists: Callable[[str], bool]) -> str:
    """The first of `folder` and the parts of `relative` below it that isn't there; empty when all are."""
    path = folder
    for part in relative.split("/"):
        if not exists(path):
            return path
        path = f"{path}/{part}"
    return "" if exists(path) else path
