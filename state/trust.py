"""Whose variables may be loaded: unpickling them runs code that they chose."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path

from regrow.state.errors import StateError

FILE = "trusted.json"


def trusted(directory: Path) -> list[str]:
    """The owners whom the user with the state folder `directory` trusts. Raises `StateError`."""
    file = directory / FILE
    try:
        owners = json.loads(file.read_text())["owners"]
        if not all(isinstance(owner, str) for owner in owners):
            raise ValueError
    except FileNotFoundError:
        return []
    except (ValueError, KeyError, TypeError):
        raise StateError(f"{file} can't be read, so that nobody is trusted. Remove it to begin anew.") from None
    return sorted(owners)


def trust(directory: Path, owner: str) -> None:
    """Trust `owner` from now on."""
    _write(directory, {*trusted(directory), owner})


def untrust(directory: Path, owner: str) -> None:
    """Trust `owner` no longer. Raises `StateError` where that one was not trusted."""
    owners = trusted(directory)
    if owner not in owners:
        raise StateError(f"{owner} is not trusted. Trusted: {', '.join(owners) or 'nobody'}.")
    _write(directory, set(owners) - {owner})


def _write(directory: Path, owners: set[str]) -> None:
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    new = directory / f"{FILE}.{secrets.token_hex(8)}"
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as output:
        json.dump({"owners": sorted(owners)}, output)
    new.replace(directory / FILE)
