"""What people do without forks: `cp -a`, and `git clone --shared` with Git LFS. Both return seconds."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path

from bench.fork.deployment import use
from bench.peers import apt_command

_LFS = {
    "filter.lfs.clean": "git-lfs clean -- %f",
    "filter.lfs.smudge": "git-lfs smudge -- %f",
    "filter.lfs.process": "git-lfs filter-process",
    "filter.lfs.required": "true",
    "user.name": "Benchmark",
    "user.email": "benchmark@example.org",
    "gc.auto": "0",
}


def copy(project: Path, file: str, target: Path) -> float:
    """Copy the project with its history, list the copy, and read `file` in it."""
    return _seconds(["cp", "--archive", "--", str(project), str(target)], target, file)


def clone_shared(project: Path, file: str, work: Path) -> float:
    """Clone a repository of the project's files, large ones as LFS objects that are there already; then the same.

    Raises `PeerUnavailable`.
    """
    apt_command("git-lfs", "git-lfs")
    source, template = work / "source.git", work / "template"
    (template / "info").mkdir(parents=True)
    (template / "info/attributes").write_text("*.bin filter=lfs diff=lfs merge=lfs -text\n")
    settings = [part for name, value in _LFS.items() for part in ("-c", f"{name}={value}")]
    git = ["git", *settings]
    ours = [*git, f"--git-dir={source}", f"--work-tree={project}"]
    try:
        for command in (
            [*ours, "init", "--quiet", f"--template={template}"],
            [*ours, "add", "--all", "--", "."],
            [*ours, "commit", "--quiet", "--message=All"],
        ):
            subprocess.run(command, cwd=project, check=True, capture_output=True)
        target = work / "clone"
        clone = [*git, "clone", "--quiet", "--shared", f"--template={template}", "--", str(source), str(target)]
        return _seconds(clone, target, file)
    finally:
        shutil.rmtree(source, ignore_errors=True)
        shutil.rmtree(template)


def _seconds(command: list[str], target: Path, file: str) -> float:
    # What was written before is on the disk before the clock runs.
    os.sync()
    try:
        started = time.monotonic()
        subprocess.run(command, check=True, capture_output=True)
        use(target, file)
        return time.monotonic() - started
    finally:
        shutil.rmtree(target, ignore_errors=True)
