"""`%build`: what is installed in each build prefix, which project installed it, and how large it is."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from IPython.core.magic import Magics, line_magic, magics_class

from regrow.client import tables
from regrow.client.errors import OptionError
from regrow.client.options import help_text, parse, refuse_words

from . import build_record, display
from .build_packages import printable
from .build_record import BuildError, Package
from .prefixes import owner, prefixes
from .usages import BUILD

_HEADER = ("package", "files", "size", "project", "when")
_RIGHT = (1, 2)


@dataclass(frozen=True)
class Listing:
    """One prefix: its packages, what could not be read, and what was built for other ABIs beside it."""

    prefix: Path
    title: str
    packages: list[Package]
    trouble: str
    others: list[tuple[str, int, int]]


@magics_class
class BuildMagics(Magics):
    """The magic, as IPython registers it."""

    @line_magic
    def build(self, line: str) -> None:
        """List what is in the build prefixes. `%build --help` lists the options."""
        parsed = parse(BUILD, line)
        if parsed.given("--help"):
            print(help_text(BUILD))
            return
        refuse_words(BUILD, parsed.words)
        found = listings(os.environ)
        if not found:
            raise BuildError("This server has no $BUILD: the administrator gave it no build volume.")
        package = parsed.one("--files")
        if package is not None:
            print(_files_text(found, package))
            return
        display.show(rich(found), plain(found))


def listings(env: Mapping[str, str]) -> list[Listing]:
    """What is in each prefix now; new files that no cell or command was seen to install are nobody's."""
    return [
        _listing(prefix, "Your own" if number == 0 else f"Group {owner(prefix)}", number == 0)
        for number, prefix in enumerate(prefixes(env))
    ]


def _listing(prefix: Path, title: str, own: bool) -> Listing:
    trouble = ""
    packages: list[Package] = []
    others: list[tuple[str, int, int]] = []
    try:
        if build_record.is_writable(prefix):
            build_record.note(prefix, "", since=time.time())
        elif own:
            trouble = f"{prefix} cannot be written."
        else:
            title += " (read-only)"
        packages = build_record.packages(prefix)
        others = _other_abis(prefix)
    except BuildError as error:
        trouble = str(error)
    return Listing(prefix, title, packages, trouble, others)


def _other_abis(prefix: Path) -> list[tuple[str, int, int]]:
    """ABI, files and bytes of what lies beside the prefix for other ABIs, as its record says."""
    abi = prefix.parent.name
    found = []
    try:
        with os.scandir(prefix.parent.parent) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                beside = Path(entry.path) / prefix.name
                if entry.name != abi and entry.is_dir(follow_symlinks=False) and beside.is_dir():
                    count, size = build_record.totals(beside)
                    if count:
                        found.append((entry.name, count, size))
    except OSError as error:
        raise BuildError(f"{prefix.parent.parent} cannot be listed: {error.strerror}.") from None
    return found


def _row(package: Package) -> tuple[str, ...]:
    projects = ", ".join(project or "unknown" for project in package.projects)
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(package.at))
    return (package.name, f"{package.files:,}", tables.size_text(package.size), projects, when)


def _lines(listing: Listing) -> list[str]:
    """What is to be said of a prefix beside its table."""
    lines = [listing.trouble] if listing.trouble else []
    if not listing.packages and not listing.trouble:
        lines.append("Nothing is installed here yet. Try: pip install --prefix=$BUILD/local NAME")
    for abi, count, size in listing.others:
        total = tables.size_text(size)
        lines.append(f"Not used, as it was built for {abi}: {count:,} files, {total}.")
    return lines


def rich(found: list[Listing]) -> str:
    """The list as HTML."""
    parts = []
    for listing in found:
        title, prefix = tables.escaped(listing.title), tables.escaped(str(listing.prefix))
        parts.append(f"<p><b>{title}</b> <code>{prefix}</code></p>")
        if listing.packages:
            parts.append(tables.html_table(_HEADER, [_row(package) for package in listing.packages], _RIGHT))
        parts += [f"<p>{tables.escaped(line)}</p>" for line in _lines(listing)]
    return "".join(parts)


def plain(found: list[Listing]) -> str:
    """The list as plain text."""
    parts = []
    for listing in found:
        lines = [printable(f"{listing.title}: {listing.prefix}")]
        if listing.packages:
            lines.append(tables.text_table(_HEADER, [_row(package) for package in listing.packages], _RIGHT))
        parts.append("\n".join([*lines, *map(printable, _lines(listing))]))
    return "\n\n".join(parts)


def _files_text(found: list[Listing], package: str) -> str:
    lines = [
        f"{tables.size_text(size):>10}  {listing.prefix}/{printable(path)}"
        for listing in found
        for path, size in build_record.files(listing.prefix, package)
    ]
    if not lines:
        raise OptionError(f"No package {package!r} is installed here. %build lists those that are.")
    return "\n".join(lines)


def load_ipython_extension(shell: Any) -> None:
    """Called by IPython at the first use of `%build`."""
    shell.register_magics(BuildMagics)
