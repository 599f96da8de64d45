"""Who installed what into the build prefixes: noted after cells and terminal commands, listed by `%build`.

`python -m regrow.kernel_magics.builds note` is for terminals: the shell runs it after a command when a
directory below `$BUILD/local` is newer than `$BUILD/.regrow/noted`.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from . import build_record
from .build_record import BuildError
from .prefixes import prefixes

# How long a cell waits at its end for another process that is noting, in seconds.
CELL_PATIENCE = 2.0


def project_of(directory: str, env: Mapping[str, str]) -> str:
    """The project that a directory belongs to; outside of all projects, the directory, `~` for home."""
    if not directory:
        return ""
    real = Path(os.path.realpath(directory))
    projects = env.get("REGROW_PROJECTS")
    if projects:
        root = Path(os.path.realpath(projects))
        if real.is_relative_to(root) and real != root:
            return real.relative_to(root).parts[0]
    home = env.get("HOME")
    if home and real.is_relative_to(os.path.realpath(home)):
        return str(Path("~") / real.relative_to(os.path.realpath(home)))
    return str(real)


def note_all(directory: str, env: Mapping[str, str], *, since: float, patience: float) -> int:
    """Note what is new in each writable prefix; returns the number of files. Raises BuildError."""
    project = project_of(directory, env)
    writable = [prefix for prefix in prefixes(env) if build_record.is_writable(prefix)]
    return sum(build_record.note(prefix, project, since=since, patience=patience) for prefix in writable)


def note_quietly(directory: str, *, since: float) -> None:
    """Note after a cell. What fails here fails again in `%build`, which says so: the cell is not to blame."""
    try:
        note_all(directory, os.environ, since=since, patience=CELL_PATIENCE)
    except BuildError as error:
        import logging

        logging.getLogger(__name__).info("%s", error)


def main(arguments: list[str]) -> int:
    """Run `note`; the exit status is 0, 1 when the record cannot be written, 2 for other arguments."""
    if arguments != ["note"]:
        print("usage: python -m regrow.kernel_magics.builds note", file=sys.stderr)
        return 2
    try:
        directory = os.getcwd()  # noqa: PTH109 (a string, as `project_of` takes it)
    except FileNotFoundError:
        directory = ""
    try:
        note_all(directory, os.environ, since=_shell_started(), patience=CELL_PATIENCE)
    except BuildError as error:
        print(f"regrow: {error}", file=sys.stderr)
        return 1
    return 0


def _shell_started() -> float:
    """When the shell that called us began, in seconds since 1970: what is older is not its work."""
    try:
        # proc(5): field 22 is the start in clock ticks since boot; the name in field 2 may hold anything.
        fields = Path(f"/proc/{os.getppid()}/stat").read_text().rpartition(")")[2].split()
        age = time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[19]) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        age = 0.0
    return time.time() - age


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
