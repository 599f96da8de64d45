"""History from elsewhere: a repository by its URL, or one on this machine whose settings are not to be trusted."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from regrow.projects.errors import ProjectError
from regrow.projects.git import GitError, git
from regrow.projects.printable import printable
from regrow.projects.snapshot import REFS, head

#: Told how much is done (0 to 1), and what is being done.
Progress = Callable[[float, str], None]

PROTOCOLS = ("https", "http", "ssh", "file")
_SSH = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*@[A-Za-z0-9][A-Za-z0-9.-]*:[^:-].*")
# Every object is checked on its way in, but for what old repositories are full of and harms nobody.
_CHECKED = (
    "transfer.fsckObjects=true",
    "fetch.fsckObjects=true",
    *(f"fetch.fsck.{fault}=ignore" for fault in ("badTimezone", "missingSpaceBeforeDate", "zeroPaddedFilemode")),
)
# What a user may have set, and a new project does not begin with.
_PLAIN = (
    "core.hooksPath=/dev/null",
    "core.autocrlf=false",
    "init.defaultBranch=main",
    "init.defaultRefFormat=files",
    "advice.detachedHead=false",
    "gc.auto=0",
)
# git's own words for what it does, and which part of the whole each is.
_PHASES = {
    "Counting objects": (0.0, 0.02),
    "Compressing objects": (0.02, 0.1),
    "Receiving objects": (0.1, 0.8),
    "Resolving deltas": (0.8, 0.95),
    "Updating files": (0.95, 0.99),
}
_PHASE = re.compile(rf"(?:remote: )?({'|'.join(_PHASES)}): +([0-9]+)%")
_LONGEST_LINE = 4096
# What the settings of the user and of the machine would run: filters above all.
OUR_SETTINGS_ONLY = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}


class CloneError(ProjectError):
    """That repository can't be cloned."""


def check_url(url: str) -> None:
    """Raises `CloneError` where `url` is not one that projects are made from; its password is not repeated."""
    if not url.isprintable() or " " in url:
        raise CloneError(f"{printable(url)!r} can't be a repository's address: it has spaces or control characters.")
    if _SSH.fullmatch(url):
        return
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError as error:
        raise CloneError(f"That can't be a repository's address: {error}.") from None
    if parts.scheme not in PROTOCOLS or not url.lower().startswith(f"{parts.scheme}://"):
        raise CloneError(
            "A repository's address begins with https://, http://, ssh:// or file://, or is like "
            f"git@host:path. This one is not: {url.rpartition('@')[2]!r}."
        )
    if parts.password is not None or (parts.username is not None and parts.scheme != "ssh"):
        raise CloneError(
            f"The address of {host}{parts.path} has a user or password in it, which would be kept in the project for "
            "everybody who gets a copy. Leave it out, and have git's credential helper or an SSH key know it."
        )
    if host.startswith("-") or bool(host) == (parts.scheme == "file"):
        raise CloneError(f"{url!r} has no host that could be asked, or one too many.")


def clone(url: str, folder: Path, progress: Progress) -> None:
    """Clone what is at `url` into the empty `folder`, asking nobody anything. Raises `CloneError`."""
    check_url(url)
    configured = [part for setting in (*_CHECKED, *_PLAIN) for part in ("-c", setting)]
    running = subprocess.Popen(
        ["git", *configured, "clone", "--progress", "--template=", "--no-recurse-submodules", "--", url, str(folder)],
        env=_environment(folder),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        # Without a terminal to ask on, and to be ended with all that it starts.
        start_new_session=True,
    )
    assert running.stderr is not None
    said: deque[str] = deque(maxlen=20)
    try:
        with running.stderr:
            for line in _lines(running.stderr):
                if phase := _PHASE.match(line):
                    start, end = _PHASES[phase[1]]
                    progress(start + (end - start) * min(int(phase[2]), 100) / 100, printable(line))
                else:
                    said.append(printable(line))
        status = running.wait()
    except BaseException:
        os.killpg(running.pid, signal.SIGKILL)
        running.wait()
        raise
    if status:
        why = [line for line in said if not line.startswith(("Cloning into ", "hint: "))]
        raise CloneError(f"{url} can't be cloned. git says: {'; '.join(why) or f'status {status}'}.")
    progress(1.0, "Cloned")


def adopt(source: Path, project: Path) -> bool:
    """Have the branches, tags, snapshots and HEAD of the `.git` folder `source` in the new `project`; were there any?

    git never runs in `source`, whose settings and hooks could run anything. Raises `GitError` where it is damaged.
    """
    if (source / "reftable").exists():
        raise ProjectError(f"The branches in {source} are kept in a way that Regrow can't read yet (reftable).")
    reading = project / ".git/adopting"
    git(project, "init", "--quiet", "--bare", "--template=", "--object-format=sha1", str(reading))
    try:
        (reading / "objects/info").mkdir(exist_ok=True)
        (reading / "objects/info/alternates").write_bytes(_quoted(os.fsencode(source / "objects")) + b"\n")
        at = _copy_refs(source, reading)
        wanted = [f"+{each}/*:{each}/*" for each in ("refs/heads", "refs/tags", REFS)]
        if not at.startswith("ref: "):
            wanted.append("+HEAD:refs/adopting/HEAD")
        git(
            project, "fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules",
            "--update-head-ok", "--update-shallow", "--", str(reading), *wanted,
            settings=_CHECKED,
            environment={**OUR_SETTINGS_ONLY, "GIT_ALLOW_PROTOCOL": "file", "GIT_NO_LAZY_FETCH": "1"},
        )  # fmt: skip
    finally:
        shutil.rmtree(reading)
    if at.startswith("ref: refs/heads/"):
        git(project, "symbolic-ref", "HEAD", at.removeprefix("ref: "))
    elif not at.startswith("ref: "):
        git(project, "update-ref", "--no-deref", "HEAD", "refs/adopting/HEAD")
        git(project, "update-ref", "-d", "refs/adopting/HEAD")
    if head(project):
        # What differs from it in the files is then seen as changed.
        git(project, "read-tree", "HEAD")
    return bool(head(project) or git(project, "for-each-ref", "--count=1", "refs/heads"))


def _copy_refs(source: Path, reading: Path) -> str:
    """Copy what `source` says of its branches, no links followed; what its HEAD is."""
    for name in ("packed-refs", "shallow", "HEAD"):
        if (source / name).is_file() and not (source / name).is_symlink():
            shutil.copyfile(source / name, reading / name)
    for folder, _, names in os.walk(source / "refs"):
        for name in names:
            file = Path(folder, name)
            if file.is_file() and not file.is_symlink():
                copy = reading / file.relative_to(source)
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(file, copy)
    return (reading / "HEAD").read_text(errors="surrogateescape").strip()


def _quoted(path: bytes) -> bytes:
    """A path as git's lists of paths have it."""
    return b'"' + path.replace(b"\\", b"\\\\").replace(b'"', b'\\"').replace(b"\n", b"\\n") + b'"'


def _environment(folder: Path) -> dict[str, str]:
    try:
        ssh = git(folder, "config", "core.sshCommand").decode().strip()
    except GitError:
        ssh = "ssh"
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "SSH_ASKPASS"))}
    return kept | {
        "LC_ALL": "C.UTF-8",
        "GIT_ALLOW_PROTOCOL": ":".join(PROTOCOLS),
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_ASKPASS": "",
        "GIT_SSH_COMMAND": f"{ssh} -o BatchMode=yes",
        "GIT_NO_LAZY_FETCH": "1",
    }


def _lines(stream: IO[bytes]) -> Iterator[str]:
    """What git says, a line at a time, as soon as it says it; progress ends its lines with a carriage return."""
    rest = b""
    while part := os.read(stream.fileno(), 65536):
        *whole, rest = re.split(rb"[\r\n]", rest + part)
        for line in (*whole, *([rest] if len(rest) > _LONGEST_LINE else [])):
            if line.strip():
                yield line[:_LONGEST_LINE].decode(errors="backslashreplace").strip()
        rest = b"" if len(rest) > _LONGEST_LINE else rest
    if rest.strip():
        yield rest.decode(errors="backslashreplace").strip()
