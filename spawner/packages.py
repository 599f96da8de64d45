"""Which packages a user added to a container, read from outside while it is stopped.

`docker diff` names every path that the container's own layer adds. Debian's package manager leaves
`/var/lib/dpkg/info/NAME.list` for each installed package, and Python's installers a `NAME-VERSION.dist-info` folder, so
the added packages are those whose marks are in the layer: no baseline of the image is needed.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

_ADDED = 1  # the engine's `Kind` of a path that is not in the image
_DPKG = re.compile(r"^/var/lib/dpkg/info/([a-z0-9][a-z0-9.+-]*)(?::[a-z0-9-]+)?\.list$")
_DIST_INFO = re.compile(r"^/opt/regrow/lib/python[0-9.]+/site-packages/([A-Za-z0-9][A-Za-z0-9._]*)-[^/-]+\.dist-info$")
_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._+-]*$")

#: Where a container that was made anew finds the list; read by `regrow packages`.
LIST_FILE = "/var/lib/regrow/not_carried_over.json"


@dataclass(frozen=True)
class AddedPackages:
    """Names of packages that a container's image doesn't have, sorted, without versions."""

    apt: tuple[str, ...] = ()
    pip: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.apt or self.pip)

    def __or__(self, other: AddedPackages) -> AddedPackages:
        return AddedPackages(_sorted({*self.apt, *other.apt}), _sorted({*self.pip, *other.pip}))

    def in_words(self) -> str:
        """The list for a sentence, such as `apt: ffmpeg, tree; pip: polars`."""
        parts = [("apt", self.apt), ("pip", self.pip)]
        return "; ".join(f"{tool}: {', '.join(names)}" for tool, names in parts if names)


def added_packages(changes: Iterable[Mapping[str, Any]], extended_states: str) -> AddedPackages:
    """What `changes` (the engine's answer to `GET /containers/ID/changes`) say was added.

    `extended_states` is the container's `/var/lib/apt/extended_states`, which marks the packages that came only as
    dependencies; those are left out, as apt brings them again.
    """
    automatic = _automatic(extended_states)
    apt, pip = set(), set()
    for change in changes:
        if change["Kind"] != _ADDED:
            continue
        path = change["Path"]
        if found := _DPKG.match(path):
            apt.add(found[1])
        elif found := _DIST_INFO.match(path):
            pip.add(found[1].replace("_", "-").lower())
    return AddedPackages(_sorted(apt - automatic), _sorted(pip))


def read_list(text: str) -> AddedPackages:
    """What `write_list` wrote, read back from a container, that is: from a user. Anything odd in it is left out."""
    try:
        model = json.loads(text)
    except ValueError:
        return AddedPackages()
    if not isinstance(model, dict):
        return AddedPackages()
    return AddedPackages(_names(model.get("apt")), _names(model.get("pip")))


def write_list(packages: AddedPackages, reason: str) -> str:
    """`packages` as the contents of `LIST_FILE`; `reason` says why they were not carried over."""
    return json.dumps({"reason": reason, "apt": packages.apt, "pip": packages.pip}, indent=1)


def _names(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        return ()
    return _sorted({name for name in value if isinstance(name, str) and _NAME.match(name)})


def _automatic(extended_states: str) -> set[str]:
    names = set()
    for paragraph in extended_states.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in paragraph.splitlines() if ": " in line)
        if fields.get("Auto-Installed") == "1":
            names.add(fields.get("Package", ""))
    return names


def _sorted(names: set[str]) -> tuple[str, ...]:
    return tuple(sorted(names))
