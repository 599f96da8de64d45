"""From a process on a GPU to the notebook that it works for."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

# A process tree deeper than this is not looked through for the kernel at its root.
MAX_DEPTH = 32


@dataclass(frozen=True)
class Holder:
    """Who holds memory: `this kernel`, a kernel by its notebook, a program, or another server."""

    label: str
    mine: bool = False


def holder_of(pid: int, *, me: int | None = None, proc: Path = Path("/proc")) -> Holder:
    """Name the kernel that `pid` is or was started by; `me` is this kernel's own process.

    The driver counts processes of the whole machine: those that this server cannot see belong to another one.
    """
    own = os.getpid() if me is None else me
    program = _words(proc / str(pid) / "cmdline")
    if not program:
        return Holder("another server")
    current = pid
    for _ in range(MAX_DEPTH):
        words = _words(proc / str(current) / "cmdline")
        started = "" if current == pid else f", by {_program_name(program)} (process {pid})"
        if current == own:
            return Holder(f"this kernel{started}", mine=True)
        if _is_kernel(words):
            return Holder(f"{_notebook(proc, current)}{started}")
        parent = _parent(proc, current)
        if parent is None or parent <= 1:
            break
        current = parent
    return Holder(f"{_program_name(program)} (process {pid}, of no notebook)")


def _is_kernel(words: list[str]) -> bool:
    return any(word.startswith("ipykernel") or "ipykernel_launcher" in word for word in words)


def _notebook(proc: Path, pid: int) -> str:
    for word in _words(proc / str(pid) / "environ"):
        name, _, value = word.partition("=")
        if name == "JPY_SESSION_NAME" and value:
            return f"notebook {value}"
    return f"a kernel (process {pid})"


def _program_name(words: list[str]) -> str:
    return os.path.basename(words[0]) or "a program"  # noqa: PTH119 (may be any text)


def _words(file: Path) -> list[str]:
    """The words of a NUL-separated file of /proc; empty where it is gone or somebody else's."""
    try:
        content = file.read_bytes()
    except OSError:
        return []
    return [word.decode(errors="replace") for word in content.split(b"\0") if word]


def _parent(proc: Path, pid: int) -> int | None:
    try:
        # proc(5): the parent is field 4; the name in field 2 may hold anything.
        return int((proc / str(pid) / "stat").read_text(errors="replace").rpartition(")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return None
