"""Keeping a folder, keeping it again after a change, and bringing it back: beside restic and borg, on the same files.

Ours is a project's snapshot: small files in git, large ones in the store. All three keep everything so that a second
time costs only what has changed; restic also encrypts. git with Git LFS is beside ours once, on the mixed files.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path

from bench.case import Case
from bench.peers import WORK
from bench.store import data
from bench.store.sides import Borg, GitLfs, Ours, Restic, Side

MIXED_BYTES = 5 * data.GIB
SMALL_FILES = 100_000
MOST_MEMORY_BYTES = 500 * 1024**2
_CHANGED = 0.01


@contextmanager
def cases(mixed_bytes: int = MIXED_BYTES, small_files: int = SMALL_FILES) -> Iterator[list[Case]]:
    """The cases, on mixed files of `mixed_bytes` and on small ones. Takes some 30 GiB of disk."""
    WORK.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=WORK, prefix="store-") as folder:
        mixed, small = Path(folder) / "mixed", Path(folder) / "small"
        data.mixed(mixed / "data", mixed_bytes, data.real_model(WORK) if mixed_bytes >= data.GIB else None)
        data.small(small / "data", small_files)
        yield [
            *_of(f"{mixed_bytes / data.GIB:.3g} GiB of mixed files", mixed, beside_git_lfs=True),
            *_of(f"{small_files:,} small files", small),
        ]


def _of(what: str, place: Path, *, beside_git_lfs: bool = False) -> Iterator[Case]:
    """The cases of the files in `place`/data. They rely on being run in this order."""
    folder = place / "data"
    ours = Ours(folder, place / "ours")
    peers: list[tuple[str, Side]] = [
        ("restic", Restic(folder, place / "restic")),
        ("borg", Borg(folder, place / "borg")),
    ]
    for name, peer in peers:
        case = partial(Case, peer_name=name, rounds=3)
        yield case(f"{what}, first time", ours=ours.keep_first, peer=peer.keep_first, unit="s", goal=1.5)
        yield case(f"{what}, stored", ours=ours.stored_bytes, peer=peer.stored_bytes, unit="bytes", goal=1 / 1.05)
        yield case(
            f"{what}, 1 % changed",
            ours=partial(_keep_changed, ours, folder),
            peer=partial(_keep_changed, peer, folder),
            unit="s",
            goal=3.0,
            # Which large file was changed makes much of the difference.
            rounds=7,
        )
        yield case(f"{what}, brought back", ours=ours.bring_back, peer=peer.bring_back, unit="s", goal=1.5)

    if beside_git_lfs:
        lfs = GitLfs(folder, place / "git-lfs")
        # Minutes each: once is enough.
        for step, unit, mine, other in (
            ("first time", "s", ours.keep_first, lfs.keep_first),
            ("stored", "bytes", ours.stored_bytes, lfs.stored_bytes),
            ("1 % changed", "s", partial(_keep_changed, ours, folder), partial(_keep_changed, lfs, folder)),
            ("brought back", "s", ours.bring_back, lfs.bring_back),
        ):
            yield Case(f"{what}, {step}", mine, cache(other), "git with Git LFS, once", unit, goal=1, rounds=1)
    yield Case(
        f"{what}, most memory of all this",
        ours=lambda: ours.peak_bytes,
        peer=lambda: MOST_MEMORY_BYTES,
        peer_name="the most that it may be",
        unit="bytes",
        goal=1,
        rounds=1,
    )


def _keep_changed(side: Side, folder: Path) -> float:
    data.change(folder, _CHANGED)
    return side.keep()
