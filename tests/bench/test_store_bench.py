"""The benchmark of the store, on a few files: everything is measured, and nothing is left."""

import json
from functools import partial
from pathlib import Path

import pytest

from bench import store
from bench.__main__ import main
from bench.peers import WORK
from bench.store import data
from bench.store.sides import GitLfs, Ours

MIB = 1024 * 1024


def test_the_store_is_measured_beside_restic_borg_and_git_lfs_in_one_round_and_nothing_is_left(tmp_path: Path) -> None:
    before = set(WORK.iterdir()) if WORK.exists() else set()
    path = tmp_path / "results.json"
    assert main(["--rounds", "1", "--results", str(path)], {"store": partial(store.cases, 8 * MIB, 300)}) == 0
    results = json.loads(path.read_text())
    assert len({(line["case"], line["peer_name"]) for line in results}) == len(results) == 22
    assert all(line["ours"] > 0 and line["peer"] for line in results)
    assert set(WORK.iterdir()) == before


def test_mixed_files_are_as_many_bytes_as_asked_for_and_a_hundredth_of_them_changes(tmp_path: Path) -> None:
    data.mixed(tmp_path, 8 * MIB)
    before = {file: file.read_bytes() for file in data.files_below(tmp_path)}
    assert sum(map(len, before.values())) == 8 * MIB
    data.change(tmp_path, 0.01)
    changed = {file for file in data.files_below(tmp_path) if file.read_bytes() != before[file]}
    large = {file for file in changed if len(before[file]) > MIB}
    assert len(large) == 1
    assert len(changed - large) == round(0.01 * sum(1 for content in before.values() if len(content) <= MIB))


def test_a_real_model_and_notebooks_are_among_mixed_files(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model/model.safetensors").write_bytes(b"weights" * 100_000)
    data.mixed(tmp_path / "data", 8 * MIB, tmp_path / "model")
    assert sum(file.stat().st_size for file in data.files_below(tmp_path / "data")) == 8 * MIB
    assert (tmp_path / "data/model/model.safetensors").read_bytes() == b"weights" * 100_000
    assert list((tmp_path / "data/notebooks").glob("*train_digits.ipynb"))


def test_git_lfs_has_what_is_large_and_brings_back_every_file(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / ".gitignore").write_text("*.log\n")
    (folder / "ignored.log").write_text("kept all the same")
    (folder / 'a "large" [file]\\*.bin').write_bytes(bytes(2 * MIB))
    side = GitLfs(folder, tmp_path / "git-lfs")
    side.keep_first()
    (objects,) = {file.parents[2] for file in (tmp_path / "git-lfs/kept/lfs/objects").rglob("*") if file.is_file()}
    assert side.stored_bytes() > 2 * MIB
    assert objects.name == "objects"
    side.bring_back()


def test_files_that_do_not_come_back_are_no_result(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/.gitignore").write_text("b")
    (tmp_path / "data/b").write_text("b")
    side = Ours(tmp_path / "data", tmp_path / "ours")
    side.keep_first()
    with pytest.raises(RuntimeError, match=r"\(1, 1\) files and bytes were brought back of \(2, 2\)"):
        side.bring_back()
