"""Keeping a folder, keeping it again after a change, and bringing it back: beside restic and borg, on the same files.

Ours is a project's snapshot: small files in git, large ones in the store. All three keep everything so that a second
time costs only what has changed; restic also encrypts.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from bench.case import Case
from bench.peers import WORK
from bench.store import data
from bench.store.sides import Borg, Ours, Restic, Side

MIXED_BYTES = 5 * data.GIB
SMALL_FILES = 100_000


@contextmanager
def cases() -> Iterator[list[Case]]:
    """The cases, on 5 GiB of mixed files and on 100,000 small ones. Takes some 40 GiB of disk."""
    WORK.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=WORK) as folder:
        places = Path(folder)
        mixed, small = places / "mixed", places / "small"
        mixed.mkdir()
        small.mkdir()
        data.mixed(mixed, MIXED_BYTES)
        data.small(small, SMALL_FILES)
        found = _of("5 GiB of mixed files", mixed, places / "mixed-kept", changing=False)
        found += _of("100,000 small files", small, places / "small-kept", changing=True)
        yield found


def _of(what: str, folder: Path, work: Path, changing: bool) -> list[Case]:
    ours = Ours(folder, work / "ours")
    peers: list[tuple[str, Side]] = [("restic", Restic(folder, work)), ("borg", Borg(folder, work))]
    found = []
    for name, peer in peers:
        case = partial(Case, peer_name=name, rounds=2)
        found.append(
            case(
                f"{what}, first time, beside {name}",
                ours=partial(_first, ours),
                peer=partial(_first, peer),
                unit="s",
                goal=1.5,
            )
        )
        found.append(
            case(
                f"{what}, stored, beside {name}",
                ours=ours.stored_bytes,
                peer=peer.stored_bytes,
                unit="bytes",
                goal=1 / 1.05,
            )
        )
        if changing:
            found.append(
                case(
                    f"{what}, 1 % changed, beside {name}",
                    ours=partial(_after_a_change, ours, folder),
                    peer=partial(_after_a_change, peer, folder),
                    unit="s",
                    goal=3.0,
                )
            )
        found.append(
            case(f"{what}, brought back, beside {name}", ours=ours.bring_back, peer=peer.bring_back, unit="s", goal=1.5)
        )
    return found


def _first(side: Side) -> float:
    side.forget()
    return side.keep()


def _after_a_change(side: Side, folder: Path) -> float:
    data.change(folder, 0.01)
    return side.keep()
