"""A child that saves is in nobody's way, and one that can't be had leaves nothing behind."""

from __future__ import annotations

import errno
import gc
import os
import resource
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from regrow.state import forking

ENDS_S = 30.0


def start(work: Callable[[], Any], stuck_after_s: float = 60) -> forking.Child:
    return forking.start(lambda working_on: work(), lambda outcome: None, stuck_after_s)


def ended(child: forking.Child) -> forking.Outcome:
    assert child.finished.wait(ENDS_S)
    deadline = time.monotonic() + ENDS_S
    while not child.reap():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return child.outcome


def test_what_a_child_returns_comes_back() -> None:
    assert ended(start(lambda: list(range(300_000)))).result == list(range(300_000))
    assert ended(start(lambda: 1 / 0)).error == "division by zero"
    assert ended(start(lambda: os._exit(1))).error == "the process that does it ended too early (by itself)"


def test_a_child_that_is_stuck_is_ended() -> None:
    def work(working_on: Callable[[str], None]) -> None:
        working_on("x")
        time.sleep(ENDS_S)

    child = forking.start(work, lambda outcome: None, 0.2)
    outcome = ended(child)
    assert (outcome.working_on, outcome.was_stuck) == ("x", True)


class Cycle:
    """Refers to itself."""

    def __init__(self) -> None:
        self.itself = self


def test_garbage_is_collected_when_asked_for_while_a_child_lives() -> None:
    cycle = Cycle()
    gc.collect()
    child = start(lambda: time.sleep(ENDS_S))
    try:
        gone = weakref.ref(cycle)
        del cycle
        gc.collect()
        assert gone() is None
        assert gc.get_freeze_count() == 0
    finally:
        child.kill()
        ended(child)


def test_full_collections_wait_until_the_last_child_has_ended() -> None:
    before = gc.get_threshold()
    children = [start(lambda: time.sleep(ENDS_S)) for _ in range(2)]
    try:
        assert gc.get_threshold() == (*before[:2], 1_000_000)
        children[1].kill()
        ended(children[1])
        assert gc.get_threshold() == (*before[:2], 1_000_000)
    finally:
        children[0].kill()
        ended(children[0])
    assert gc.get_threshold() == before


def test_thresholds_that_the_notebook_sets_meanwhile_stay() -> None:
    before = gc.get_threshold()
    try:
        for set_meanwhile, expected in [((5, 6, 7), (5, 6, 7)), ((8,), (8, *before[1:]))]:
            gc.set_threshold(*before)
            child = start(lambda: time.sleep(ENDS_S))
            gc.set_threshold(*set_meanwhile)
            child.kill()
            ended(child)
            assert gc.get_threshold() == expected
    finally:
        gc.set_threshold(*before)


def test_a_process_that_the_notebook_forks_meanwhile_has_its_own_thresholds() -> None:
    before = gc.get_threshold()
    child = start(lambda: time.sleep(ENDS_S))
    pid = os.fork()
    if pid == 0:
        os._exit(gc.get_threshold() != before)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert gc.get_threshold() != before
    child.kill()
    ended(child)
    assert gc.get_threshold() == before


def open_files() -> list[str]:
    return sorted(str(file.readlink()) for file in Path("/proc/self/fd").iterdir() if file.is_symlink())


def without_threads() -> None:
    """Run in a process of its own, as root: another user's, who may have two processes and no more."""
    os.setresuid(54321, 54321, 54321)
    before = gc.get_threshold(), open_files()
    told: list[forking.Outcome] = []
    resource.setrlimit(resource.RLIMIT_NPROC, (2, 10))
    for _ in range(3):
        with pytest.raises(OSError, match="can't start new thread") as raised:
            forking.start(lambda working_on: time.sleep(ENDS_S), told.append, 60)
        assert raised.value.errno == errno.EAGAIN
        with pytest.raises(ChildProcessError):
            os.waitpid(-1, os.WNOHANG)
    assert (gc.get_threshold(), open_files()) == before
    assert (told, threading.active_count()) == ([], 1)
    resource.setrlimit(resource.RLIMIT_NPROC, (10, 10))
    assert ended(forking.start(lambda working_on: 1, told.append, 60)).result == 1
    print("as it should be")


@pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user takes root")
def test_where_no_thread_can_be_started_nothing_is_left_and_it_is_an_os_error() -> None:
    code = "from state.test_forking import without_threads; without_threads()"
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], env=environment, capture_output=True, text=True, timeout=ENDS_S, check=False
    )
    assert done.stdout == "as it should be\n", done.stderr
