"""The sides: each keeps the same folder, brings it back elsewhere, and says what that takes on disk."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from bench.peers import apt_command
from regrow.projects.large_files import InStore
from regrow.projects.restore import restore
from regrow.projects.snapshot import snapshots, take
from regrow.store import Store

_ENVIRONMENT = {**os.environ, "RESTIC_PASSWORD": "benchmark", "BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK": "yes"}


class Side(Protocol):
    """`keep` and `bring_back` return seconds."""

    def forget(self) -> None: ...
    def keep(self) -> float: ...
    def bring_back(self) -> float: ...
    def stored_bytes(self) -> float: ...


class Ours:
    """Snapshots of a project that is the folder itself; its large files in a store."""

    def __init__(self, data: Path, work: Path) -> None:
        self._data = data
        self._work = work

    def forget(self) -> None:
        shutil.rmtree(self._work, ignore_errors=True)
        shutil.rmtree(self._data / ".git", ignore_errors=True)
        subprocess.run(["git", "init", "--quiet", str(self._data)], check=True)

    def keep(self) -> float:
        with Store.create(str(self._work / "store"), self._work / "cache") as store:
            return _seconds(lambda: take(self._data, InStore(store)))

    def bring_back(self) -> float:
        target = self._work / "restored"
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        shutil.copytree(self._data / ".git", target / ".git")
        with Store.create(str(self._work / "store"), self._work / "cache") as store:
            wanted = snapshots(target)[0]
            return _seconds(lambda: restore(target, InStore(store), wanted))

    def stored_bytes(self) -> float:
        return _size(self._work / "store") + _size(self._data / ".git")


class Restic:
    """restic, with its own defaults."""

    def __init__(self, data: Path, work: Path) -> None:
        self._command = [apt_command("restic", "restic"), "--quiet", "--repo", str(work / "restic")]
        self._data = data
        self._work = work

    def forget(self) -> None:
        shutil.rmtree(self._work / "restic", ignore_errors=True)
        _run([*self._command, "init", "--repository-version", "2"])

    def keep(self) -> float:
        return _seconds(lambda: _run([*self._command, "backup", "--exclude", ".git", str(self._data)]))

    def bring_back(self) -> float:
        target = self._work / "restored-by-restic"
        shutil.rmtree(target, ignore_errors=True)
        return _seconds(lambda: _run([*self._command, "restore", "latest", "--target", str(target)]))

    def stored_bytes(self) -> float:
        return _size(self._work / "restic")


class Borg:
    """borg, without encryption and with its own defaults."""

    def __init__(self, data: Path, work: Path) -> None:
        self._borg = apt_command("borg", "borgbackup")
        self._data = data
        self._work = work
        self._archives = 0

    def forget(self) -> None:
        shutil.rmtree(self._work / "borg", ignore_errors=True)
        _run([self._borg, "init", "--encryption=none", str(self._work / "borg")])

    def keep(self) -> float:
        self._archives += 1
        archive = f"{self._work / 'borg'}::{self._archives}"
        return _seconds(lambda: _run([self._borg, "create", "--exclude", "*/.git", archive, str(self._data)]))

    def bring_back(self) -> float:
        target = self._work / "restored-by-borg"
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        archive = f"{self._work / 'borg'}::{self._archives}"
        return _seconds(lambda: _run([self._borg, "extract", archive], target))

    def stored_bytes(self) -> float:
        return _size(self._work / "borg")


def _seconds(action: Callable[[], object]) -> float:
    # What was written before is on the disk before the clock runs.
    os.sync()
    started = time.monotonic()
    action()
    return time.monotonic() - started


def _run(command: list[str], folder: Path | None = None) -> None:
    subprocess.run(command, cwd=folder, env=_ENVIRONMENT, check=True, capture_output=True)


def _size(folder: Path) -> int:
    return sum(file.lstat().st_size for file in folder.rglob("*") if file.is_file())
