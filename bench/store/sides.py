"""The sides: each keeps the same folder, brings it back elsewhere, and says what that takes on disk.

Each is a program that is started for it, so that starting it counts for all of them.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from pathlib import Path

from bench.peers import apt_command
from bench.store.data import files_below

_OURS = Path(__file__).with_name("ours.py")
#: Git LFS keeps what is larger.
LFS_BYTES = 1024 * 1024
_BLOCK_BYTES = 16 * 1024 * 1024
_LFS = {
    "filter.lfs.clean": "git-lfs clean -- %f",
    "filter.lfs.smudge": "git-lfs smudge -- %f",
    "filter.lfs.process": "git-lfs filter-process",
    "filter.lfs.required": "true",
    "user.name": "Benchmark",
    "user.email": "benchmark@example.org",
    "gc.auto": "0",
}


class Side(ABC):
    """Keeps the folder `data`, in the folder `work`."""

    def __init__(self, data: Path, work: Path) -> None:
        self._data = data
        self._kept = work / "kept"
        self._cache = work / "cache"
        self._brought_back = work / "brought-back"
        self._expected = (0, 0)

    def keep_first(self) -> float:
        """Keep the folder where nothing of it is kept yet; the seconds that takes."""
        shutil.rmtree(self._kept, ignore_errors=True)
        shutil.rmtree(self._cache, ignore_errors=True)
        self._cache.mkdir(parents=True)
        self._prepare()
        return self.keep()

    def keep(self) -> float:
        """Keep the folder as it is now; the seconds that takes."""
        self._expected = _files_and_bytes(self._data)
        # In the page cache for all: borg drops from it what it has read.
        for file in files_below(self._data):
            with file.open("rb", buffering=0) as content:
                while content.read(_BLOCK_BYTES):
                    pass
        return self._seconds(self._keep())

    def bring_back(self) -> float:
        """Bring what was kept last into a new folder; the seconds that takes."""
        self._brought_back.mkdir(exist_ok=True)
        target = self._brought_back / str(len(list(self._brought_back.iterdir())))
        target.mkdir()
        seconds = self._seconds(self._bring_back(target), target)
        found = _files_and_bytes(target)
        if found != self._expected:
            raise RuntimeError(f"{found} files and bytes were brought back of {self._expected}")
        # Not removed before the end: for minutes after many files were, ext4 is slow to make others.
        for file in files_below(target):
            os.truncate(file, 0)
        shutil.rmtree(target / ".git", ignore_errors=True)
        return seconds

    def stored_bytes(self) -> float:
        """What all that is kept takes."""
        return sum(file.stat().st_size for folder in self._folders() for file in folder.rglob("*") if file.is_file())

    def _seconds(self, command: list[str], folder: Path | None = None) -> float:
        # What was written before is on the disk before the clock runs.
        os.sync()
        started = time.monotonic()
        self._run(command, folder)
        return time.monotonic() - started

    def _run(self, command: list[str], folder: Path | None = None) -> str:
        done = subprocess.run(command, cwd=folder, env=self._environment(), capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}: {done.stderr.strip()}")
        return done.stdout

    def _environment(self) -> dict[str, str]:
        return {**os.environ, "XDG_CACHE_HOME": str(self._cache)}

    def _folders(self) -> list[Path]:
        return [self._kept]

    @abstractmethod
    def _prepare(self) -> None: ...
    @abstractmethod
    def _keep(self) -> list[str]: ...
    @abstractmethod
    def _bring_back(self, target: Path) -> list[str]: ...


class Ours(Side):
    """Snapshots of a project that is the folder itself; its large files in a store.

    `peak_bytes` is the most memory that it had by now.
    """

    peak_bytes = 0

    def _run(self, command: list[str], folder: Path | None = None) -> str:
        output = super()._run(command, folder)
        if str(_OURS) in command:
            self.peak_bytes = max(self.peak_bytes, int(output))
        return output

    def _prepare(self) -> None:
        shutil.rmtree(self._data / ".git", ignore_errors=True)
        self._run(["git", "init", "--quiet", str(self._data)])

    def _keep(self) -> list[str]:
        return self._command("keep", self._data)

    def _bring_back(self, target: Path) -> list[str]:
        shutil.copytree(self._data / ".git", target / ".git")
        return self._command("bring-back", target)

    def _command(self, what: str, project: Path) -> list[str]:
        return [sys.executable, "-P", str(_OURS), what, str(project), str(self._kept), str(self._cache)]

    def _folders(self) -> list[Path]:
        return [self._kept, self._data / ".git"]


class Restic(Side):
    """restic, with its own defaults."""

    def __init__(self, data: Path, work: Path) -> None:
        super().__init__(data, work)
        self._restic = [apt_command("restic", "restic"), "--quiet", "--repo", str(self._kept)]

    def _prepare(self) -> None:
        self._run([*self._restic, "init", "--repository-version", "2"])

    def _keep(self) -> list[str]:
        return [*self._restic, "backup", "--exclude", ".git", str(self._data)]

    def _bring_back(self, target: Path) -> list[str]:
        return [*self._restic, "restore", "latest", "--target", str(target)]

    def _environment(self) -> dict[str, str]:
        return {**super()._environment(), "RESTIC_PASSWORD": "benchmark"}


class Borg(Side):
    """borg, without encryption and with its own defaults."""

    def __init__(self, data: Path, work: Path) -> None:
        super().__init__(data, work)
        self._borg = apt_command("borg", "borgbackup")
        self._archives = 0

    def _prepare(self) -> None:
        self._run([self._borg, "init", "--encryption=none", str(self._kept)])

    def _keep(self) -> list[str]:
        self._archives += 1
        return [self._borg, "create", "--exclude", "*/.git", self._archive(), str(self._data)]

    def _bring_back(self, target: Path) -> list[str]:
        return [self._borg, "extract", self._archive()]

    def _archive(self) -> str:
        return f"{self._kept}::{self._archives}"

    def _environment(self) -> dict[str, str]:
        unasked = {"BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes"}
        return {**super()._environment(), "BORG_BASE_DIR": str(self._cache), **unasked}


class GitLfs(Side):
    """git with Git LFS for what is larger than 1 MiB, its history beside the folder. Nothing is left out."""

    def __init__(self, data: Path, work: Path) -> None:
        super().__init__(data, work)
        apt_command("git-lfs", "git-lfs")

    def _prepare(self) -> None:
        self._run(["git", "init", "--quiet"])
        large = [file.relative_to(self._data) for file in files_below(self._data) if file.stat().st_size > LFS_BYTES]
        lines = ["* -text -ident", *(f"{_pattern(file)} filter=lfs diff=lfs merge=lfs -text" for file in large)]
        attributes = self._kept / "info/attributes"
        attributes.parent.mkdir(exist_ok=True)
        attributes.write_text("\n".join(lines) + "\n")

    def _keep(self) -> list[str]:
        return ["sh", "-c", 'cd "$0" && git add --all --force && git commit --quiet --message=All', str(self._data)]

    def _bring_back(self, target: Path) -> list[str]:
        # An index of its own: that of the folder says what is in the folder.
        own = [f"GIT_INDEX_FILE={self._cache / f'index-{target.name}'}", f"GIT_WORK_TREE={target}"]
        return ["env", *own, "git", "checkout", "--force", "--quiet", "HEAD", "--", "."]

    def _environment(self) -> dict[str, str]:
        settings = {f"GIT_CONFIG_KEY_{n}": name for n, name in enumerate(_LFS)}
        settings |= {f"GIT_CONFIG_VALUE_{n}": value for n, value in enumerate(_LFS.values())}
        places = {"GIT_DIR": str(self._kept), "GIT_WORK_TREE": str(self._data)}
        return {**super()._environment(), **settings, **places, "GIT_CONFIG_COUNT": str(len(_LFS))}


def _pattern(file: Path) -> str:
    """What means this one file in git's attributes."""
    escaped = re.sub(r"([\\*?\[])", r"\\\1", f"/{file}")
    return '"' + escaped.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _files_and_bytes(folder: Path) -> tuple[int, int]:
    sizes = [file.stat().st_size for file in files_below(folder)]
    return len(sizes), sum(sizes)
