"""Whatever happens to a store in whatever order, what is kept in it can be read."""

import errno
import io
import json
import os
import random
import shutil
import signal
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from unittest import mock

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from regrow.store import ChunkDamaged, ChunkMissing, Expired, Store, StoreFull
from regrow.store.gc import collect
from regrow.store.pack import new_name
from regrow.store.verify import verify

from .conftest import DAY_S, Clock

NAMES = st.sampled_from(["a", "b", "c/d", "c/e"])
MACHINES = st.sampled_from(["one", "two"])


@st.composite
def contents(draw):
    """A few megabytes made of pieces that other contents have too."""
    pieces = draw(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 600_000)), max_size=4))
    return b"".join(random.Random(seed).randbytes(600_000)[:size] for seed, size in pieces)


@contextmanager
def instead_of(calls, fail, steps):
    """So many of these functions of `os` do what they do; each one after that calls `fail` before."""
    left = iter(range(steps))

    def failing(call):
        def wrapped(*arguments, **options):
            if next(left, None) is None:
                fail()
            return call(*arguments, **options)

        return wrapped

    with mock.patch.multiple(os, **{call: failing(getattr(os, call)) for call in calls}):
        yield


class Life(RuleBasedStateMachine):
    """Two machines, each with an index of its own, on one store; writers that stay open over everything else."""

    @initialize()
    def begin(self):
        self.folder = Path(tempfile.mkdtemp(prefix="regrow-test-store-"))
        self.clock = Clock()
        self.kept = {}
        self.open = {}
        self.stores = {machine: self._machine(machine) for machine in ("one", "two")}

    def _machine(self, machine):
        return Store.create(str(self.folder / "store"), self.folder / machine, grace_s=DAY_S, now=self.clock)

    @rule(machine=MACHINES, name=NAMES, content=contents(), stream=st.booleans())
    def keep(self, machine, name, content, stream):
        with self.stores[machine].writer() as writer:
            writer.keep(name, writer.put(io.BytesIO(content) if stream else content))
        self.kept[name] = content

    @precondition(lambda self: len(self.open) < 2)
    @rule(machine=MACHINES, name=NAMES, content=contents())
    def begin_to_keep(self, machine, name, content):
        if name not in self.open:
            writer = self.stores[machine].writer()
            self.open[name] = (writer, writer.put(content), content)

    @precondition(lambda self: self.open)
    @rule(choice=st.randoms(use_true_random=False), gives_up=st.booleans())
    def end(self, choice, gives_up):
        name = choice.choice(sorted(self.open))
        writer, recipe, content = self.open.pop(name)
        if gives_up:
            writer.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
            return
        try:
            with writer:
                writer.keep(name, recipe)
        except Expired:
            return
        self.kept[name] = content

    @precondition(lambda self: self.kept)
    @rule(machine=MACHINES, choice=st.randoms(use_true_random=False))
    def drop(self, machine, choice):
        name = choice.choice(sorted(self.kept))
        self.stores[machine].drop(name)
        del self.kept[name]

    @rule(hours=st.sampled_from([1, 11, 13, 25]))
    def time_passes(self, hours):
        self.clock.pass_(hours * 3600)

    @rule(machine=MACHINES)
    def collect(self, machine):
        collect(self.stores[machine])

    @rule(machine=MACHINES)
    def a_collection_is_killed(self, machine):
        store = self.stores[machine]
        steps = iter(range(3))

        class Killed(BaseException):
            pass

        def progress(message):
            if next(steps, None) is None:
                raise Killed

        try:
            collect(store, progress)
        except Killed:
            # What a process that is gone does not do any more.
            store.backend.create("locks/gc", json.dumps({"host": "gone", "pid": 1, "seen": 0}).encode())

    @rule(machine=MACHINES, name=NAMES, content=contents(), steps=st.integers(0, 4))
    def the_disk_is_full(self, machine, name, content, steps):
        def full():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        with instead_of(["pwrite"], full, steps), suppress(StoreFull):  # what is kept is what was
            self.keep(machine, name, content, stream=False)

    @rule(name=NAMES, content=contents(), steps=st.integers(0, 12))
    def a_writer_is_killed(self, name, content, steps):
        """It has the index of machine one, which goes on."""
        pid = os.fork()
        if not pid:
            signal.alarm(60)  # it does not hang for ever
            try:
                with instead_of(["pwrite", "fsync", "replace"], lambda: os.kill(os.getpid(), signal.SIGKILL), steps):
                    self.stores = {"one": self._machine("one")}
                    self.keep("one", name, content, stream=False)
                os._exit(0)
            finally:
                os._exit(1)
        status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        assert status in (0, -signal.SIGKILL)
        store = self.stores["two"]
        # Before or after, nothing between: the invariant looks at what it was before.
        if status == 0 or (name in store.names() and store.read(store.recipe(name)) == content):
            self.kept[name] = content

    @precondition(lambda self: self.kept)
    @rule(
        machine=MACHINES,
        which=st.integers(0, 99),
        where=st.floats(0, 1),
        how=st.sampled_from(["a flipped bit", "truncated", "gone"]),
    )
    def a_pack_is_damaged_and_mended(self, machine, which, where, how):
        store = self.stores[machine]
        packs = sorted(store.backend.list("packs"))
        if not packs:
            return
        file = store.backend.root / packs[which % len(packs)]
        sound = file.read_bytes()
        at = int(where * (len(sound) - 1))
        aside = file.rename(self.folder / "aside")
        if how != "gone":
            file.write_bytes(sound[:at] + (bytes([sound[at] ^ 1]) + sound[at + 1 :] if how == "a flipped bit" else b""))
        # Nobody has it open already.
        reader = Store.open(store.backend.url, self.folder / "reader", now=self.clock)
        for name, content in self.kept.items():
            with suppress(ChunkDamaged, ChunkMissing):  # said, and not read as if it were sound
                assert reader.read(reader.recipe(name)) == content
        assert verify(reader).problems or how == "gone"  # nothing may need it
        reader.close()
        shutil.rmtree(self.folder / "reader")
        aside.replace(file)

    @rule(machine=MACHINES)
    def a_machine_starts_again_without_its_cache(self, machine):
        if any(writer._index is self.stores[machine].index for writer, _, _ in self.open.values()):
            return
        self.stores[machine].close()
        shutil.rmtree(self.folder / machine)
        self.stores[machine] = self._machine(machine)

    @rule(machine=MACHINES)
    def a_writer_left_half_a_pack(self, machine):
        (self.stores[machine].backend.scratch() / new_name(self.clock())).write_bytes(b"half")

    @rule(machine=MACHINES)
    def all_is_sound(self, machine):
        report = verify(self.stores[machine])
        assert report.problems == []
        assert report.names == len(self.kept)

    @invariant()
    def what_is_kept_can_be_read(self):
        for store in getattr(self, "stores", {}).values():
            assert sorted(store.names()) == sorted(self.kept)
            for name, content in self.kept.items():
                assert store.read(store.recipe(name)) == content

    def teardown(self):
        for writer, _, _ in self.open.values():
            writer.__exit__(KeyboardInterrupt, KeyboardInterrupt(), None)
        for store in self.stores.values():
            store.close()
        shutil.rmtree(self.folder)


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
