"""What a benchmark is made of. A folder `bench/NAME/` is a package with one function::

    @contextmanager
    def cases() -> Iterator[list[Case]]:
        ...set up what is measured, and the peer...
        yield [Case("new container", ours=..., peer=..., peer_name="DockerSpawner 14", unit="s", goal=0.9)]
        ...clean up...

The frame runs the two sides of each case in turn and writes down the medians.
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import psutil

from bench.memory import PeakMemory


class PeerUnavailable(Exception):
    """The peer can't be had on this machine; the message says why."""


def own_memory_bytes() -> int:
    """Resident memory of this process and its children, in bytes."""
    return memory_of_tree_bytes(os.getpid())


def memory_of_tree_bytes(pid: int) -> int:
    """Resident memory of a process and its children, in bytes; 0 once it has ended."""
    total = 0
    with suppress(psutil.NoSuchProcess):
        root = psutil.Process(pid)
        for process in [root, *root.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                total += process.memory_info().rss
    return total


@dataclass(frozen=True)
class Case:
    """One comparison. `ours` and `peer` each do the work once and return what it took, in `unit`.

    They are called once to warm up and then `rounds` times in turn. `goal` is the ratio asked for; above 1
    is better for us (`peer / ours`, or `ours / peer` where `higher_is_better`). `peer` may raise
    PeerUnavailable. `memory` says how many bytes our side holds at that moment, and is sampled while `ours`
    runs.
    """

    name: str
    ours: Callable[[], float]
    peer: Callable[[], float]
    peer_name: str
    unit: str
    goal: float
    rounds: int = 5
    higher_is_better: bool = False
    memory: Callable[[], int] = own_memory_bytes


@dataclass(frozen=True)
class Measured:
    """The values of both sides, in the case's unit (none of the peer's when it can't be had)."""

    ours: list[float]
    peer: list[float]
    peak_memory_bytes: int
    peer_missing: str = ""

    def ratio(self, case: Case) -> float | None:
        """The ratio of the medians, above 1 where we are better; None without a peer."""
        if not self.peer:
            return None
        ours, peer = statistics.median(self.ours), statistics.median(self.peer)
        return ours / peer if case.higher_is_better else peer / ours


def measure(case: Case) -> Measured:
    """Run a case: a warm-up of each side, then both in turn, the first one alternating."""
    memory = PeakMemory(case.memory)
    ours: list[float] = []
    peer: list[float] = []
    missing = ""
    with memory:
        case.ours()
    try:
        case.peer()
    except PeerUnavailable as error:
        missing = str(error)

    def run_ours() -> None:
        with memory:
            ours.append(case.ours())

    def run_peer() -> None:
        if not missing:
            peer.append(case.peer())

    for number in range(case.rounds):
        for run in (run_ours, run_peer) if number % 2 == 0 else (run_peer, run_ours):
            run()
    return Measured(ours, peer, memory.peak_bytes, missing)
