"""Saving and restoring the variables of notebooks: beside raw writes and reads of the same bytes, dill and Kishu.

Kernels are real ones on both sides, of the same versions of ipykernel, numpy and torch.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path

from bench.case import Case, PeerUnavailable
from bench.peers import WORK, pip_environment
from bench.state import notebooks, small, waiting
from bench.state.large import Large
from bench.state.scale import Scale, numpy_cells, object_cells, torch_cells
from bench.state.sequence import Sequence
from bench.state.small import OneOfMany
from bench.state.stages import Stage
from bench.state.waiting import Waiting

KISHU = "0.3.4"
MOST_TIMES = 1.25
USABLE_S = 1.5
MOST_OVERHEAD = 0.02
_PINNED = ("ipykernel", "dill", "numpy", "torch", "pandas", "scikit-learn")
_FULL = Scale()
_AT_MOST = "the most that it may be"


@contextmanager
def cases(scale: Scale = _FULL) -> Iterator[list[Case]]:
    """The cases. Takes some 20 GiB of disk and 16 GiB of memory."""
    WORK.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=WORK, prefix="state-") as folder:
        place = Path(folder)
        peers = _peers()
        try:
            yield [
                *_large(Large(place / "large", scale, peers), scale),
                *_one_of_many(OneOfMany(place / "small", scale, peers), scale),
                *_waiting(place, scale),
                *_sequence(Sequence(place / "sequence", scale.table_rows, peers)),
                *_notebooks(place, scale),
            ]
        finally:
            if Stage.current is not None:
                Stage.current.close()


def _peers() -> Path | PeerUnavailable:
    """The Python of an environment with Kishu and dill; why there is none."""
    try:
        return pip_environment("kishu", f"kishu=={KISHU}", *(f"{name}=={version(name)}" for name in _PINNED))
    except PeerUnavailable as error:
        return error


def _large(large: Large, scale: Scale) -> Iterator[Case]:
    dill, kishu = f"dill {version('dill')}", f"Kishu {KISHU}"
    what = f"{scale.large} of numpy and torch"
    case = partial(Case, unit="s", memory=large.memory_bytes)
    saving = partial(case, f"{what}, saved", large.save)
    yield saving(large.raw_write, "raw write and fsync of the same bytes", goal=1 / MOST_TIMES, rounds=3)
    yield saving(large.dill_write, f"{dill}, dump_module, once", goal=1, rounds=1)
    usable = partial(case, f"{what}, start of a kernel to a small variable", large.usable)
    yield usable(lambda: USABLE_S, _AT_MOST, goal=1, rounds=5)
    yield usable(large.dill_usable, f"{dill}, load_module, once", goal=1, rounds=1)
    yield usable(large.kishu_usable, f"{kishu}, checkout, once", goal=1, rounds=1)
    restored = "raw read of the same bytes into new memory"
    yield case(f"{what}, all values restored", large.load, large.raw_read, restored, goal=1 / MOST_TIMES, rounds=3)


def _one_of_many(one: OneOfMany, scale: Scale) -> Iterator[Case]:
    what = f"a cell that changes 1 of {scale.variables:,} variables, saved"
    case = partial(Case, what, one.ours, unit="s", goal=1, rounds=15, memory=one.memory_bytes)
    yield case(one.most, f"{small.MOST_S * 1000:.0f} ms and the raw write of what changed, the most that it may be")
    yield case(one.kishu, f"Kishu {KISHU}")


def _waiting(place: Path, scale: Scale) -> Iterator[Case]:
    sessions: dict[str, list[str]] = {
        f"{scale.large} of numpy": numpy_cells(2 * scale.arrays, scale.array_bytes),
        f"{scale.large} of torch": torch_cells(2 * scale.arrays, scale.array_bytes),
        scale.objects: object_cells(scale.rows),
    }
    for number, (what, cells) in enumerate(sessions.items()):
        stage = Waiting(place / f"waiting-{number}", cells)
        name = f"{what}, the slowest cell while they are saved"
        most: Callable[[], float] = lambda: waiting.MOST_S  # noqa: E731
        yield Case(name, stage.longest, most, _AT_MOST, "s", goal=1, rounds=3, memory=stage.memory_bytes)


def _sequence(sequence: Sequence) -> Iterator[Case]:
    kishu = f"Kishu {KISHU}"
    case = partial(Case, goal=1, memory=sequence.memory_bytes)
    yield case("20 cells, each saved", sequence.saving, sequence.kishu_saving, f"{kishu}, once", "s", rounds=3)
    yield case("20 cells, stored", sequence.stored, sequence.kishu_stored, kishu, "bytes", rounds=1)
    yield case("20 cells, back to the first", sequence.checkout, sequence.kishu_checkout, kishu, "s", rounds=3)


def _notebooks(place: Path, scale: Scale) -> Iterator[Case]:
    sources, packages = notebooks.sources(), notebooks.packages()
    for number, name in enumerate(notebooks.NOTEBOOKS[: scale.notebooks]):
        run = notebooks.Run(place / f"notebook-{number}", sources / name, packages)
        package, file = name.split("-")[0], Path(name).stem
        yield Case(
            f"{package}'s notebook {file}, all cells",
            run.with_session,
            run.without_session,
            "without a session",
            "s",
            goal=1 - MOST_OVERHEAD,
            rounds=5,
            memory=run.memory_bytes,
        )
