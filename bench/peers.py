"""Peers, from the package registries into `bench/work/`, which git ignores."""

from __future__ import annotations

import shutil
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path

from bench.case import PeerUnavailable

WORK = Path(__file__).parent / "work"
INSTALL_TIMEOUT_S = 900


def pip_environment(name: str, *requirements: str) -> Path:
    """The Python of an environment in `bench/work/NAME` with these requirements.

    What they need is taken in the versions that this environment has, so that only the peer itself differs.
    Raises PeerUnavailable when it can't be installed.
    """
    folder = WORK / name
    python = folder / "bin" / "python"
    wanted = "\n".join(requirements)
    done = folder / "requirements.txt"
    if done.exists() and done.read_text() == wanted:
        return python
    shutil.rmtree(folder, ignore_errors=True)
    try:
        _run([sys.executable, "-m", "venv", str(folder)])
        constraints = folder / "constraints.txt"
        constraints.write_text("\n".join(sorted(_installed_here())))
        _run([str(python), "-m", "pip", "install", "--quiet", "--constraint", str(constraints), *requirements])
    except PeerUnavailable:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    done.write_text(wanted)
    return python


def npm_package(name: str, package: str) -> Path:
    """The folder of an npm package's commands, installed in `bench/work/NAME`. Raises PeerUnavailable."""
    folder = WORK / name
    commands = folder / "node_modules" / ".bin"
    if not commands.exists():
        folder.mkdir(parents=True, exist_ok=True)
        _run(["npm", "install", "--silent", "--prefix", str(folder), package])
    return commands


def apt_command(command: str, package: str) -> str:
    """The path of a command, its Debian package installed if it is missing. Raises PeerUnavailable."""
    if not shutil.which(command):
        _run(["apt-get", "install", "--yes", "--quiet", "--no-install-recommends", package])
    path = shutil.which(command)
    if path is None:
        raise PeerUnavailable(f"the package {package} has no command {command}")
    return path


def _installed_here() -> set[str]:
    return {f"{each.name}=={each.version}" for each in distributions() if each.name != "regrow"}


def _run(command: list[str]) -> None:
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S)
    except FileNotFoundError as error:
        raise PeerUnavailable(f"{command[0]} is not on this machine") from error
    except subprocess.TimeoutExpired as error:
        raise PeerUnavailable(f"{Path(command[0]).name} took over {INSTALL_TIMEOUT_S} s") from error
    except subprocess.CalledProcessError as error:
        lines = (error.stderr or error.stdout or "").strip().splitlines()
        raise PeerUnavailable(lines[-1] if lines else f"exit status {error.returncode}") from error
