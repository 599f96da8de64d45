"""Forking a large project: beside `cp -a`, `git clone --shared`, a small project, and what a fork may cost at most.

The service of projects runs as it does under a hub, over HTTP, in a process of its own; forks are made by the client
that the magics use, from the call to a project that is listed and of which a file was read.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path

from bench.case import Case
from bench.fork.data import Shape, fill
from bench.fork.deployment import ADA, BOB, Deployment, deployment
from bench.fork.others import clone_shared, copy
from bench.peers import WORK
from regrow.client.working import Working, register
from regrow.projects.create import create_empty

LARGE = Shape(10 * 1024**3, 49_990, 10)
SMALL = Shape(10 * 1024**2, 45, 5)
DEPTH = 5
MOST_S = 1.0
MOST_BYTES = 2 * 1024**2
MOST_TIMES = 1.2


@contextmanager
def cases(large: Shape = LARGE, small: Shape = SMALL) -> Iterator[list[Case]]:
    """The cases, on a project of the `large` shape and one of the `small`. Takes some 50 GiB of disk."""
    WORK.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=WORK, prefix="fork-") as place, deployment(Path(place)) as hub:
        project, file = _published(hub, "large", large)
        tiny, file_of_tiny = _published(hub, "small", small)
        deepest = _fork_of_forks(hub, project, file, DEPTH - 1)
        fork = partial(hub.fork, BOB, project, file)
        # Minutes each: once is enough.
        copied = cache(partial(copy, project.folder, file, Path(place) / "copy"))
        cloned = cache(partial(clone_shared, project.folder, file, Path(place)))

        def at_most(limit: float, what: str, unit: str, ours: Callable[[], float]) -> Case:
            return Case(what, ours, lambda: limit, "the most that it may be", unit, goal=1)

        a_fork = f"fork of {large}"
        yield [
            at_most(MOST_S, a_fork, "s", fork),
            Case(a_fork, fork, copied, "cp -a, once", "s", goal=1),
            Case(a_fork, fork, cloned, "git clone --shared with Git LFS, once", "s", goal=1),
            Case(a_fork, fork, partial(hub.fork, BOB, tiny, file_of_tiny), f"ours, of {small}", "s", 1 / MOST_TIMES),
            Case(
                f"fork of a fork, {DEPTH} deep, of {large}",
                partial(hub.fork, BOB, deepest, file),
                fork,
                "ours, of the first of them",
                "s",
                1 / MOST_TIMES,
            ),
            at_most(MOST_S, f"fork of one's own {large}", "s", partial(hub.fork, ADA, project, file)),
            at_most(MOST_BYTES, f"{a_fork}, new disk by du", "bytes", partial(hub.disk_of_a_fork, BOB, project, file)),
            at_most(
                MOST_BYTES,
                f"{a_fork}, new disk by statvfs",
                "bytes",
                partial(hub.filesystem_of_a_fork, BOB, project, file),
            ),
            Case(
                f"{a_fork}, and its first snapshot",
                partial(hub.fork_and_snapshot, BOB, project, file),
                copied,
                "cp -a, once, without a snapshot",
                "s",
                goal=1,
            ),
        ]


def _published(hub: Deployment, name: str, shape: Shape) -> tuple[Working, str]:
    """A project of ADA's that BOB may fork, and a file in it."""
    folder = hub.projects_of(ADA) / name
    create_empty(folder)
    file = fill(folder, shape)
    with hub.acting(ADA) as client:
        project = register(client, folder)
    hub.publish(project)
    return project, file


def _fork_of_forks(hub: Deployment, project: Working, file: str, depth: int) -> Working:
    """A published fork of a fork and so on of `project`, each with a change of its own; BOB and ADA in turn."""
    for number in range(depth):
        project = hub.made_fork((BOB, ADA)[number % 2], project)
        (project.folder / file).write_text(f"{number}\n")
        hub.publish(project)
    return project
