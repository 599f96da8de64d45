"""What cells were compiled to, kept below `~/.cache/regrow/cpp` and found again by what they were made of.

An entry is two files. `KEY.json` names every file that the compiler and the linker read, with its state, and
what they would have read instead had it been there; KEY is the BLAKE2 of the cell's text, flags and compiler.
`NAME.bin` is the program or module itself and never changes once it is there, so a kernel may run it while another
writes a newer one. Both are written to a temporary name and renamed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

# Everything in the cache together, in bytes.
MAX_BYTES = 1 << 30
# What was used within this many seconds is never dropped: it may be about to run.
SPARED_SECONDS = 3600.0


@dataclass(frozen=True)
class Cached:
    """A compiled cell: its file, and what the compiler had to say about it (warnings)."""

    artifact: Path
    messages: str


def cache_folder(env: Mapping[str, str]) -> Path:
    """`$XDG_CACHE_HOME/regrow/cpp`, or the same below `~/.cache`."""
    base = env.get("XDG_CACHE_HOME", "")
    # The XDG specification: a relative path is to be ignored.
    root = Path(base) if base.startswith("/") else Path(env.get("HOME") or Path.home()) / ".cache"
    return root / "regrow" / "cpp"


def key_of(parts: Sequence[str]) -> str:
    """The name of a combination of texts; no two lists of texts share one."""
    return hashlib.blake2b(json.dumps(list(parts)).encode("utf-8", "surrogatepass"), digest_size=20).hexdigest()


def find(folder: Path, key: str) -> Cached | None:
    """The compiled cell named `key`, if it is there and would be made of the very same files again."""
    try:
        entry = json.loads((folder / f"{key}.json").read_bytes())
        artifact = folder / entry["artifact"]
        messages = str(entry["messages"])
        if artifact.parent != folder or any(map(os.path.exists, entry["absent"])):
            return None
        if not all(_same(path, *state) for path, state in entry["inputs"].items()):
            return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        # Not there, or not an entry of ours, whatever is in that file: compile again.
        return None
    with contextlib.suppress(OSError):
        # Used now, so not to be dropped soon. A cache that can only be read is still good.
        os.utime(artifact)
    return Cached(artifact, messages) if artifact.is_file() else None


def keep(folder: Path, key: str, built: Path, inputs: Iterable[Path], absent: Iterable[str], messages: str) -> Cached:
    """Put a program into the cache, good for as long as `inputs` are the same and none of `absent` is there.

    Raises OSError (not writable, disk full); the cache is as before then.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    states = {str(path): state for path in inputs if (state := _state(path)) is not None}
    content = built.read_bytes()
    name = f"{key_of([key, hashlib.blake2b(content).hexdigest()])}.bin"
    _write(folder, name, content, 0o700)
    entry = {"artifact": name, "inputs": states, "absent": sorted(absent), "messages": messages}
    _write(folder, f"{key}.json", json.dumps(entry).encode("utf-8", "surrogatepass"), 0o600)
    _drop_oldest(folder)
    return Cached(folder / name, messages)


def _write(folder: Path, name: str, content: bytes, mode: int) -> None:
    descriptor, temporary = tempfile.mkstemp(dir=folder, prefix=".new-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            os.fchmod(file.fileno(), mode)
        Path(temporary).replace(folder / name)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _state(path: Path) -> tuple[int, int, str] | None:
    """Modification time in nanoseconds, size in bytes, and digest; None for what is gone again."""
    try:
        stat = path.stat()
        return stat.st_mtime_ns, stat.st_size, _digest(path)
    except OSError:
        return None


def _same(path: str, mtime_ns: int, size: int, digest: str) -> bool:
    try:
        stat = Path(path).stat()
        if (stat.st_mtime_ns, stat.st_size) == (mtime_ns, size):
            return True
        return stat.st_size == size and _digest(Path(path)) == digest
    except OSError:
        return False


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=20)).hexdigest()


def _drop_oldest(folder: Path, max_bytes: int = MAX_BYTES, now: float | None = None) -> None:
    """Remove what was used longest ago until the cache is within its bound; other kernels may do the same."""
    files: list[tuple[float, int, Path]] = []
    with os.scandir(folder) as entries:
        for entry in entries:
            try:
                stat = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            files.append((stat.st_mtime, stat.st_size, Path(entry.path)))
    total = sum(size for _, size, _ in files)
    spared_after = (time.time() if now is None else now) - SPARED_SECONDS
    for used, size, path in sorted(files):
        if total <= max_bytes or used > spared_after:
            return
        path.unlink(missing_ok=True)
        total -= size


def read_depfile(path: Path) -> list[Path]:
    """The files named as prerequisites in a make-style dependency file; empty if it is not there."""
    try:
        text = path.read_text(errors="surrogateescape")
    except FileNotFoundError:
        return []
    found: list[Path] = []
    for line in text.replace("\\\n", " ").splitlines():
        _target, colon, prerequisites = line.partition(": ")
        if not colon:
            continue
        # make's own escapes: a backslash before a space or #, a doubled dollar.
        protected = prerequisites.replace("\\ ", "\0").replace("\\#", "#").replace("$$", "$")
        found += [Path(word.replace("\0", " ")) for word in protected.split()]
    return found
