"""What checkpoints take on the disk is bounded, and given back."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from regrow.state import tidy
from regrow.state.checkpoints import GRACE_S, Checkpoints
from regrow.state.manifest import Blob, Group, Manifest
from regrow.store.stats import stats
from regrow.store.verify import verify

MIB = 1024 * 1024


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    """A user's folder for saved sessions."""
    return tmp_path / "state"


def keep(directory: Path, notebook: Path, content: bytes, at: float) -> None:
    """A checkpoint of one variable whose pickle is `content`."""
    with Checkpoints(directory, lambda: at) as checkpoints, checkpoints.store.writer() as writer:
        recipe = writer.put(content)
        group = Group(["x"], size=len(content), pickle=Blob(0, 0, len(content)))
        manifest = Manifest(str(notebook), at, "test", "3.11", groups=[group], recipes=[recipe])
        checkpoints.keep(writer, manifest, notebook)


def noise(seed: int, size: int) -> bytes:
    import random

    return random.Random(seed).randbytes(size)


def test_older_checkpoints_go_when_they_take_too_much(directory: Path, tmp_path: Path) -> None:
    notebook, now = tmp_path / "n.ipynb", time.time()
    for number in range(5):
        keep(directory, notebook, noise(number, MIB), now + number)
    with Checkpoints(directory) as checkpoints:
        checkpoints.prune(notebook, 4, 1, 100 * MIB)
        assert [entry.at for entry in checkpoints.entries(notebook)] == pytest.approx(
            [now + n for n in range(1, 5)], abs=1
        )
        checkpoints.prune(notebook, 4, 0, int(2.5 * MIB))
        assert len(checkpoints.entries(notebook)) == 2
        checkpoints.prune(notebook, 4, 0, 0)
        assert len(checkpoints.entries(notebook)) == 1


def test_checkpoints_that_share_their_content_are_kept_together(directory: Path, tmp_path: Path) -> None:
    notebook, now = tmp_path / "n.ipynb", time.time()
    for number in range(5):
        keep(directory, notebook, noise(0, MIB), now + number)
    with Checkpoints(directory) as checkpoints:
        checkpoints.prune(notebook, 20, 0, int(1.5 * MIB))
        assert len(checkpoints.entries(notebook)) == 5


def test_what_no_checkpoint_needs_is_removed_in_two_steps(directory: Path, tmp_path: Path) -> None:
    notebook, begin = tmp_path / "n.ipynb", time.time() - 10 * GRACE_S
    keep(directory, notebook, noise(1, 4 * MIB), begin)
    keep(directory, notebook, noise(2, MIB), begin + 1)
    with Checkpoints(directory) as checkpoints:
        checkpoints.prune(notebook, 1, 0, 0)
    tidy.tidy(directory, begin + 2 * GRACE_S)
    assert not tidy.is_due(directory, begin + 2.5 * GRACE_S)
    assert tidy.is_due(directory, begin + 4 * GRACE_S)
    tidy.tidy(directory, begin + 4 * GRACE_S)
    with Checkpoints(directory) as checkpoints:
        assert stats(checkpoints.store).stored_bytes < 2 * MIB
        assert verify(checkpoints.store).problems == []
    assert not tidy.is_due(directory, begin + 6 * GRACE_S)


def test_tidying_is_due_when_much_was_written_and_once_a_day(directory: Path) -> None:
    directory.mkdir()
    tidy.tidy(directory, 1000.0)
    assert not tidy.is_due(directory, 1000.0 + 2 * GRACE_S)
    assert tidy.is_due(directory, 1000.0 + 2 * tidy.DUE_S)
    tidy.note_written(directory, 2 * tidy.DUE_BYTES)
    assert not tidy.is_due(directory, 1000.0 + GRACE_S / 2)
    assert tidy.is_due(directory, 1000.0 + 2 * GRACE_S)


def test_checkpoints_of_notebooks_that_are_gone_go_after_a_month(directory: Path, tmp_path: Path) -> None:
    there, gone, away = tmp_path / "there.ipynb", tmp_path / "gone.ipynb", tmp_path / "unmounted" / "n.ipynb"
    there.touch()
    now = time.time()
    for notebook in (there, gone, away):
        keep(directory, notebook, b"1", now - 2 * tidy.GONE_S)
    keep(directory, tmp_path / "gone lately.ipynb", b"1", now - 3600)
    tidy.tidy(directory, now)
    with Checkpoints(directory) as checkpoints:
        assert checkpoints.entries(gone) == []
        for kept in (there, away, tmp_path / "gone lately.ipynb"):
            assert len(checkpoints.entries(kept)) == 1
