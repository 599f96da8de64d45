"""The benchmark of forks, on projects of a few files: everything is measured, and nothing is left."""

import json
import os
import subprocess
from functools import partial
from pathlib import Path

import pytest

from bench import fork
from bench.__main__ import main
from bench.fork.data import Shape, fill
from bench.peers import WORK
from regrow.hub_service.trees import kind_for
from regrow.spawner.volumes import mount_points

MIB = 1024 * 1024
LARGE = Shape(16 * MIB, 200, 3)
SMALL = Shape(2 * MIB, 10, 1)


def test_forks_are_measured_and_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGROW_PROJECTS", "")
    before = set(WORK.glob("fork-*"))  # other benchmarks may run meanwhile
    path = tmp_path / "results.json"
    bench = partial(fork.cases, LARGE, SMALL)
    assert main(["--rounds", "1", "--results", str(path)], {"fork": bench}) == 0
    results = {(line["case"], line["peer_name"]): line for line in json.loads(path.read_text())}
    assert len(results) == 9
    assert all(line["ours"] > 0 and line["peer"] for line in results.values())
    if kind_for(tmp_path) != "copy":
        (by_du,) = [line for (case, _), line in results.items() if case.endswith("by du")]
        assert by_du["met"], f"{by_du['ours']} bytes"
    assert set(WORK.glob("fork-*")) == before
    assert not [point for point in mount_points() if WORK in point.parents]


def test_a_project_has_as_many_files_and_bytes_as_asked_for_and_none_is_sparse(tmp_path: Path) -> None:
    chosen = fill(tmp_path, LARGE)
    files = [file for file in tmp_path.rglob("*") if file.is_file()]
    assert len(files) == LARGE.small_files + LARGE.large_files
    assert sum(file.stat().st_size for file in files) == pytest.approx(LARGE.size_bytes, rel=0.001)
    assert (tmp_path / chosen).read_bytes()
    os.sync()
    allocated = subprocess.run(["du", "-s", "--block-size=1", tmp_path], check=True, capture_output=True).stdout
    assert int(allocated.split()[0]) >= LARGE.size_bytes


def test_a_shape_says_what_it_is() -> None:
    assert (str(fork.LARGE), str(fork.SMALL)) == ("10 GiB in 50,000 files", "10 MiB in 50 files")
