"""What one does between any two steps of another: collections beside writers, and processes that end anywhere."""

import contextlib
import itertools
import random

import pytest

from regrow.store import Store
from regrow.store.folder import FolderBackend
from regrow.store.gc import collect
from regrow.store.verify import verify

from .conftest import DAY_S


class Killed(BaseException):
    """What a process that was killed does not see."""


class Interrupted:
    """A folder's backend that does `action` before its call number `at`; one without `action` is dead from then on."""

    def __init__(self, root, at, action=None):
        self._backend = FolderBackend(root)
        self._calls = itertools.count()
        self._at = at
        self._action = action
        self.done = False

    def __getattr__(self, name):
        attribute = getattr(self._backend, name)
        if not callable(attribute):
            return attribute

        def call(*arguments):
            number = next(self._calls)
            self.done = self.done or number >= self._at
            if self._action is None and self.done:
                raise Killed
            if number == self._at:
                self._action()
            result = attribute(*arguments)
            return iter(list(result)) if name == "list" else result

        return call


def noise(seed, size=400_000):
    return random.Random(seed).randbytes(size)


def keep(store, name, data):
    with store.writer() as writer:
        writer.keep(name, writer.put(data))


@pytest.mark.parametrize("collected_before", [0, 1])
def test_a_writer_relies_on_nothing_that_a_collection_removes_meanwhile(tmp_path, clock, collected_before):
    for at in itertools.count():
        folder = tmp_path / str(at)
        with Store.create(str(folder), tmp_path / "cache", grace_s=DAY_S, now=clock) as store:
            keep(store, "gone", noise(1))
            keep(store, "stays", noise(2))
            store.drop("gone")
            for _ in range(collected_before):
                clock.pass_(DAY_S + 1)
                collect(store)
            clock.pass_(DAY_S + 1)
            backend = Interrupted(folder, at, lambda store=store: collect(store))
            other = Store(backend, tmp_path / "other", clock)
            keep(other, "again", noise(1))
            for _ in range(2):
                clock.pass_(DAY_S + 1)
                collect(store)
            assert verify(store).problems == []
            assert store.read(store.recipe("again")) == noise(1)
            other.close()
        if not backend.done:
            assert at > 5
            return


def test_a_collection_killed_between_any_two_steps_loses_nothing(tmp_path, clock):
    for at in itertools.count():
        folder = tmp_path / str(at)
        with Store.create(str(folder), tmp_path / "cache", grace_s=DAY_S, now=clock) as store:
            with store.writer() as writer:
                for number in range(4):
                    writer.keep(f"n{number}", writer.put(noise(number)))
            for number in range(3):
                store.drop(f"n{number}")
            # The first condemns, the second removes; either is the one that is killed.
            ended = 0
            for each in range(2):
                clock.pass_(DAY_S + 1)
                with contextlib.suppress(Killed), Store(Interrupted(folder, at), tmp_path / f"{each}", clock) as dying:
                    collect(dying)
                    ended += 1
                assert verify(store).problems == []
            for _ in range(2):
                clock.pass_(DAY_S + 1)
                collect(store)
            assert store.read(store.recipe("n3")) == noise(3)
            assert len(list(store.backend.list("packs"))) == 1
            assert list(store.backend.list("condemned")) == []
        if ended == 2:
            assert at > 10
            return


def test_a_reader_beside_a_collection_reads_all(tmp_path, clock):
    for at in itertools.count():
        folder = tmp_path / str(at)
        with Store.create(str(folder), tmp_path / "cache", grace_s=DAY_S, now=clock) as store:
            with store.writer() as writer:
                for number in range(4):
                    writer.keep(f"n{number}", writer.put(noise(number)))
            for number in range(3):
                store.drop(f"n{number}")
            clock.pass_(DAY_S + 1)
            collect(store)
            clock.pass_(DAY_S + 1)
            backend = Interrupted(folder, at, lambda store=store: collect(store))
            reader = Store(backend, tmp_path / "reader", clock)
            assert reader.read(reader.recipe("n3")) == noise(3)
            reader.close()
        if not backend.done:
            assert at > 2
            return
