"""Secrets of the hub: one file each, mode 0600, made on first start."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

_BYTES = 32


def secret(path: Path, value: str | None = None) -> str:
    """The secret in `path`; where there is none, `value`, or 32 random bytes as hexadecimal digits, is put there.

    Safe when two processes start at once: the file appears whole or not at all, and the first one wins. Raises
    `OSError` when the folder can't be written, and `PermissionError` when others may read the file.
    """
    if not path.exists():
        new = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(value or secrets.token_hex(_BYTES))
            file.flush()
            os.fsync(descriptor)
        try:
            os.link(new, path)
        except FileExistsError:
            return secret(path)
        finally:
            new.unlink()
    if path.stat().st_mode & 0o077:
        raise PermissionError(f"{path} holds a secret and others may read it. Run: chmod 600 {path}")
    return path.read_text().strip()
