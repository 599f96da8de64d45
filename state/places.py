"""Where saved sessions are, and under which names."""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

KEY_BYTES = 32


def state_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """The folder of this user's saved sessions: $REGROW_STATE_DIR, else ~/.local/share/regrow/state (XDG)."""
    if chosen := environ.get("REGROW_STATE_DIR"):
        return Path(chosen)
    base = environ.get("XDG_DATA_HOME") or Path(environ.get("HOME") or Path.home()) / ".local/share"
    return Path(base) / "regrow/state"


def notebook_of(environ: Mapping[str, str] = os.environ, cwd: str = "") -> Path | None:
    """The notebook that this kernel belongs to, as jupyter-server says in JPY_SESSION_NAME; None for a bare kernel."""
    name = environ.get("JPY_SESSION_NAME", "")
    if not name.endswith(".ipynb"):
        return None
    path = Path(name)
    # A front end that gives the session no name: the path is relative to the server's root, the kernel to its folder.
    return path if path.is_absolute() else Path(cwd or Path.cwd()) / path.name


def key_of(notebook: Path) -> str:
    """The name under which the checkpoints of `notebook` (an absolute path) are kept: 32 hex digits."""
    return hashlib.sha256(os.fsencode(notebook)).hexdigest()[:32]


def status_file(directory: Path, notebook: Path) -> Path:
    """Where the kernel of `notebook` says how its state is kept."""
    return directory / "status" / f"{key_of(notebook)}.json"


def make_private(directory: Path) -> None:
    """Make a folder that nobody else can look into; one that is there already is one, too, from then on."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    directory.mkdir(mode=0o700, exist_ok=True)
    if directory.stat().st_mode & 0o077:
        directory.chmod(0o700)


def users_key(directory: Path) -> bytes:
    """The key that authenticates this user's checkpoints (32 bytes), made at first use in a file of mode 0600."""
    file = directory / "key"
    with contextlib.suppress(FileNotFoundError):
        key = file.read_bytes()
        if len(key) == KEY_BYTES:
            return key
    make_private(directory)
    made = directory / f"key-{secrets.token_hex(8)}"
    descriptor = os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as output:
            output.write(secrets.token_bytes(KEY_BYTES))
            output.flush()
            os.fsync(output.fileno())
        # Two kernels that start at once agree on one key: a link fails where there is one already.
        with contextlib.suppress(FileExistsError):
            os.link(made, file)
    finally:
        made.unlink()
    key = file.read_bytes()
    if len(key) != KEY_BYTES:
        raise OSError(f"{file} is not a key of {KEY_BYTES} bytes. Move it away: what it authenticated needs it.")
    return key
