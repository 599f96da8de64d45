"""What kernels and terminals find in their environment, and the folders behind it (docs/builds.md)."""

from __future__ import annotations

import errno
import os
import re
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

MULTIARCH: str = getattr(sys.implementation, "_multiarch", "") or f"{os.uname().machine}-linux-gnu"
PYTHON = f"python{sys.version_info.major}.{sys.version_info.minor}"

# The folders of a prefix that each variable names.
SEARCH_PATHS: dict[str, tuple[str, ...]] = {
    "PATH": ("bin",),
    "LD_LIBRARY_PATH": ("lib", "lib64", f"lib/{MULTIARCH}"),
    "LIBRARY_PATH": ("lib", "lib64", f"lib/{MULTIARCH}"),
    "CPATH": ("include",),
    "PKG_CONFIG_PATH": (
        "lib/pkgconfig",
        "lib64/pkgconfig",
        f"lib/{MULTIARCH}/pkgconfig",
        "share/pkgconfig",
    ),
    "CMAKE_PREFIX_PATH": ("",),
    "PYTHONPATH": (f"lib/{PYTHON}/site-packages",),
}

# As the hub names the folders of users and groups: `-xx` stands for a byte other than a-z and 0-9.
_ESCAPED = re.compile(r"(?:[a-z0-9]|-[0-9a-f]{2})+")

# Bash runs this after each command of a terminal. A folder newer than the last note means that something was
# installed, and only then does Python start, to note which project did it (regrow.kernel_magics.builds). A
# subshell, so that nothing is left in the user's; `exec`, so that their shell is the parent of what notes.
_NOTE = """( IFS=:; for prefix in $REGROW_BUILD_PREFIXES; do
  [ -w "$prefix" ] && [ -w "${{prefix%/local}}" ] || continue
  noted=${{prefix%/local}}/.regrow/noted
  if [ ! -e "$noted" ] || [ -n "$(find "$prefix" -type d -newer "$noted" -print -quit 2>/dev/null)" ]; then
    exec {python} -I -m regrow.kernel_magics.builds note
  fi
done )"""


def build_roots(environ: Mapping[str, str]) -> list[Path]:
    """The build volumes of this server, the user's own first; empty when it was given none."""
    return [Path(root) for root in environ.get("REGROW_BUILD_ROOTS", "").split(":") if root]


def team(root: Path) -> str:
    """The group that a root belongs to: `/build/groups/TEAM`, or `groups/TEAM/build` in local mode."""
    if root.name == "build" and root.parent.parent.name == "groups":
        return _unescaped(root.parent.name)
    return _unescaped(root.name)


def _unescaped(folder: str) -> str:
    """The name whose escaped form (docs/architecture.md) `folder` is; `folder` where that is no name for a file."""
    if not _ESCAPED.fullmatch(folder):
        return folder
    octets = re.sub(rb"-(..)", lambda pair: bytes.fromhex(pair[1].decode()), folder.encode())
    name = octets.decode(errors="surrogateescape")
    is_plain = name.isprintable() and "/" not in name and not name.startswith(".")
    return name if is_plain else folder


def server_environment(
    environ: Mapping[str, str], roots: Sequence[Path], abi: str, python: str = sys.executable
) -> dict[str, str]:
    """`environ` with the build folders of `roots` in front of every search path.

    What was in a search path stays, in its order; applied twice, it changes nothing.
    """
    result = dict(environ)
    if not roots:
        return result
    prefixes = [f"{root}/{abi}/local" for root in roots]
    result["BUILD"] = f"{roots[0]}/{abi}"
    result["REGROW_BUILD_PREFIXES"] = ":".join(prefixes)
    for variable, folders in SEARCH_PATHS.items():
        ours = [f"{prefix}/{folder}".rstrip("/") for prefix in prefixes for folder in folders]
        before = environ.get(variable, "")
        theirs = [entry for entry in before.split(":") if entry not in ours] if before else []
        result[variable] = ":".join(ours + theirs)
    # /etc/profile sets PATH anew in a login shell; profile.d/regrow.sh takes it from here.
    result["REGROW_PATH"] = result["PATH"]
    note = _NOTE.format(python=shlex.quote(python))
    command = environ.get("PROMPT_COMMAND", "")
    if note not in command:
        result["PROMPT_COMMAND"] = f"{command}; {note}" if command else note
    return result


def git_environment(env: Mapping[str, str]) -> dict[str, str]:
    """The variables with which git and git-lfs sign in to the hub's service, and to nothing else.

    So the token is in no repository's settings, URL or command line. What `env` has set for git already is kept.
    """
    url, token = env.get("REGROW_SERVICE_URL", ""), env.get("JUPYTERHUB_API_TOKEN", "")
    if not url or not token:
        return {}
    count = int(env.get("GIT_CONFIG_COUNT") or 0)
    return {
        "GIT_CONFIG_COUNT": str(count + 1),
        f"GIT_CONFIG_KEY_{count}": f"http.{url}.extraHeader",
        f"GIT_CONFIG_VALUE_{count}": f"Authorization: token {token}",
    }


def prepare_folders(roots: Sequence[Path], abi: str, say: Callable[[str], object]) -> None:
    """Make ROOT/ABI/local/{bin,include,lib} in each root and the links `$BUILD/groups/TEAM`.

    A group's root that is read-only is left as it is. What else can't be made is told to `say`: the server
    starts without it.
    """
    for number, root in enumerate(roots):
        local = root / abi / "local"
        try:
            for folder in ("bin", "include", "lib"):
                (local / folder).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            shared_read_only = number > 0 and error.errno in (errno.EROFS, errno.EACCES, errno.EPERM)
            if not shared_read_only:
                say(
                    f"{local} could not be made: {error.strerror}. The server starts without it; what is "
                    "already built is kept. Free space or ask your administrator, then restart the server."
                )
    if roots:
        try:
            _link_groups(roots[0] / abi / "groups", {team(root): root / abi for root in roots[1:]})
        except OSError as error:
            say(f"$BUILD/groups could not be brought up to date: {error.strerror}. Everything else works.")


def _link_groups(folder: Path, wanted: Mapping[str, Path]) -> None:
    there = {entry.name: entry for entry in folder.iterdir() if entry.is_symlink()} if folder.is_dir() else {}
    for name, link in there.items():
        if name not in wanted:
            link.unlink()
    for name, target in wanted.items():
        link = folder / name
        if name in there:
            if link.readlink() == target:
                continue
            link.unlink()
        folder.mkdir(exist_ok=True)
        link.symlink_to(target)
