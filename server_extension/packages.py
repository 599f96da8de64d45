"""`regrow packages`: what a container that was made anew did not keep, and its reinstallation."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from traitlets import Unicode
from traitlets.config import Application, catch_config_error

#: Written into a container that was made anew by the hub's side.
LIST_FILE = "/var/lib/regrow/not_carried_over.json"

# The first character keeps a name from being read as an option.
_APT_NAME = re.compile(r"[a-z0-9][a-z0-9+.-]*")
_PIP_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")

#: Runs a command with the terminal's output and returns its exit status.
Run = Callable[[Sequence[str]], int]


class ListError(Exception):
    """The list cannot be read or written; the message is for people."""


@dataclass(frozen=True)
class NotCarriedOver:
    """The names of packages that were added to the container before this one, and why it was made anew."""

    reason: str = ""
    apt: tuple[str, ...] = ()
    pip: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.apt or self.pip)


def read(path: Path) -> NotCarriedOver:
    """The list in `path`; an empty one where there is none. Raises `ListError`."""
    try:
        model = json.loads(path.read_text(encoding="utf-8"))
        return NotCarriedOver(str(model.get("reason", "")), _names(model["apt"]), _names(model["pip"]))
    except FileNotFoundError:
        return NotCarriedOver()
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ListError(f"The list of packages in {path} can't be read ({error}). Nothing was changed.") from error


def write(path: Path, remaining: NotCarriedOver) -> None:
    """Put `remaining` into `path`, or remove it when nothing remains. Raises `ListError`."""
    text = json.dumps({"reason": remaining.reason, "apt": remaining.apt, "pip": remaining.pip}, indent=1)
    try:
        if remaining:
            _replace(path, text)
        else:
            path.unlink()
    except PermissionError:
        # The hub's side wrote it as root.
        done = subprocess.run(
            ["sudo", "-n", "tee", str(path)], input=text, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        if done.returncode:
            raise ListError(f"{path} can't be brought up to date: {done.stderr.strip()}") from None
    except OSError as error:
        raise ListError(f"{path} can't be brought up to date: {error.strerror}.") from error


def install(wanted: NotCarriedOver, run: Run) -> NotCarriedOver:
    """Install what `wanted` names and return what could not be."""
    root = [] if os.geteuid() == 0 else ["sudo", "-n"]
    apt_get = [*root, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get"]
    pip = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check"]
    apt_valid = [name for name in wanted.apt if _APT_NAME.fullmatch(name)]
    pip_valid = [name for name in wanted.pip if _PIP_NAME.fullmatch(name)]
    if apt_valid:
        run([*apt_get, "update"])
    apt_done = _install_each([*apt_get, "install", "-y"], apt_valid, run)
    pip_done = _install_each(pip, pip_valid, run)
    return replace(
        wanted,
        apt=tuple(name for name in wanted.apt if name not in apt_done),
        pip=tuple(name for name in wanted.pip if name not in pip_done),
    )


def _install_each(command: list[str], names: list[str], run: Run) -> set[str]:
    """All at once; when that fails one by one, so that one that is gone doesn't keep the others from coming."""
    if not names or run([*command, *names]) == 0:
        return set(names)
    if len(names) == 1:
        return set()
    return {name for name in names if run([*command, name]) == 0}


def _names(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise TypeError("not a list of names")
    return tuple(str(name) for name in value)


def _replace(path: Path, text: str) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".not_carried_over-")
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    Path(temporary).replace(path)


def in_words(packages: NotCarriedOver) -> str:
    """The names for a terminal, one tool to a line; what isn't printable is escaped."""
    lines = [("apt", packages.apt), ("pip", packages.pip)]
    return "\n".join(f"  {tool}: {', '.join(map(_printable, names))}" for tool, names in lines if names)


def _printable(text: str) -> str:
    return text if text.isprintable() else ascii(text)


class ListFileApp(Application):
    """What both commands share: the list."""

    list_file = Unicode(LIST_FILE, config=True, help="Where the list of packages is.")

    aliases = {"list-file": "ListFileApp.list_file"}

    @catch_config_error
    def initialize(self, argv: Any = None) -> None:
        super().initialize(argv)
        if self.subapp is None and self.extra_args:
            print(
                f"{self.name}: {' '.join(self.extra_args)!r} is not understood. See {self.name} --help.",
                file=sys.stderr,
            )
            self.exit(2)

    def read_list(self) -> NotCarriedOver:
        """The list, or the end of the program with status 1."""
        try:
            return read(Path(self.list_file))
        except ListError as error:
            print(f"{self.name}: {error}", file=sys.stderr)
            self.exit(1)
            raise


class PackagesInstallApp(ListFileApp):
    """`regrow packages install`."""

    name = "regrow packages install"
    description = "Install again what was not carried over into this container."

    def start(self) -> None:
        wanted = self.read_list()
        if not wanted:
            print("Nothing is waiting to be installed.")
            return
        remaining = install(wanted, subprocess.call)
        if remaining != wanted:
            try:
                write(Path(self.list_file), remaining)
            except ListError as error:
                print(f"{self.name}: {error}", file=sys.stderr)
        if remaining:
            print(
                f"These could not be installed and stay on the list:\n{in_words(remaining)}\n"
                "What apt or pip said is above. Try again with: regrow packages install",
                file=sys.stderr,
            )
            self.exit(1)
        print("All that was not carried over is installed again.")


class PackagesApp(ListFileApp):
    """`regrow packages`."""

    name = "regrow packages"
    description = "List the packages that were not carried over when this container was made anew."
    examples = """
    regrow packages           # what was not carried over
    regrow packages install   # install it again
    """
    subcommands = {"install": (PackagesInstallApp, "Install again what was not carried over.")}

    def start(self) -> None:
        if self.subapp is not None:
            self.subapp.start()
            return
        packages = self.read_list()
        if not packages:
            print("Nothing is waiting to be installed: all that you had added is here.")
            return
        why = f" ({_printable(packages.reason)})" if packages.reason else ""
        print(f"This server was made anew{why}. Not carried over:\n{in_words(packages)}")
        print("Install it again with: regrow packages install")
