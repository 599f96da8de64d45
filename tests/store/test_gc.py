"""Collections: what goes, what stays, and what happens beside them."""

import json
import random
import secrets

import pytest

from regrow.store import Expired, StoreError
from regrow.store.gc import collect
from regrow.store.stats import stats
from regrow.store.verify import verify

from .conftest import DAY_S


def noise(seed, size=3_000_000):
    return random.Random(seed).randbytes(size)


def keep(store, name, data):
    with store.writer() as writer:
        writer.keep(name, writer.put(data))


def collect_all(store, clock):
    """Two collections, each as late as it has to be."""
    clock.pass_(DAY_S + 1)
    collect(store)
    clock.pass_(DAY_S + 1)
    return collect(store)


def test_what_is_dropped_goes_after_the_second_collection(store, clock):
    keep(store, "gone", noise(1))
    keep(store, "stays", noise(2))
    store.drop("gone")
    clock.pass_(DAY_S + 1)
    first = collect(store)
    assert (first.condemned_packs, first.removed_packs) == (1, 0)
    clock.pass_(DAY_S + 1)
    second = collect(store)
    assert second.removed_packs == 1
    assert second.freed_bytes == pytest.approx(3_000_000, rel=0.01)
    assert store.read(store.recipe("stays")) == noise(2)
    assert stats(store).packs == 1
    assert list(store.backend.list("condemned")) == []
    assert verify(store).problems == []


def test_nothing_younger_than_the_grace_is_touched(store, clock):
    keep(store, "gone", noise(1))
    store.drop("gone")
    clock.pass_(DAY_S - 1)
    assert collect(store).condemned_packs == 0


def test_what_is_needed_of_a_pack_is_moved_out_of_it(store, clock):
    with store.writer() as writer:
        for number in range(10):
            writer.keep(f"n{number}", writer.put(noise(number)))
    for number in range(9):
        store.drop(f"n{number}")
    collect_all(store, clock)
    assert store.read(store.recipe("n9")) == noise(9)
    assert stats(store).stored_bytes == pytest.approx(3_000_000, rel=0.01)
    assert verify(store).problems == []


def test_many_small_packs_become_one(store, clock):
    for number in range(20):
        keep(store, f"n{number}", noise(number, 10_000))
    collect_all(store, clock)
    assert stats(store).packs == 1
    assert all(store.read(store.recipe(f"n{number}")) == noise(number, 10_000) for number in range(20))


def test_a_writer_that_relied_on_a_condemned_pack_loses_nothing(store, open_store, clock):
    keep(store, "gone", noise(1))
    store.drop("gone")
    clock.pass_(DAY_S + 1)
    other = open_store("two")
    with other.writer() as writer:
        recipe = writer.put(noise(1))
        assert collect(store).condemned_packs == 1
        clock.pass_(DAY_S / 2 - 1)
        writer.keep("again", recipe)
    clock.pass_(DAY_S / 2 + 2)
    collected = collect(store)
    assert collected.removed_packs == 1
    assert collected.moved_bytes == pytest.approx(3_000_000, rel=0.01)
    assert other.read(other.recipe("again")) == noise(1)
    assert verify(store).problems == []


def test_a_writer_does_not_rely_on_what_is_condemned(store, open_store, clock):
    keep(store, "gone", noise(1))
    store.drop("gone")
    clock.pass_(DAY_S + 1)
    collect(store)
    keep(open_store("two"), "again", noise(1))
    clock.pass_(DAY_S + 1)
    assert collect(store).moved_bytes == 0
    assert store.read(store.recipe("again")) == noise(1)


def test_a_writer_that_takes_longer_than_the_grace_is_told_to_write_again(store, open_store, clock):
    keep(store, "gone", noise(1))
    store.drop("gone")
    clock.pass_(DAY_S + 1)
    other = open_store("two")
    with (
        pytest.raises(Expired, match="Parts of again that were there when it was begun are gone"),
        other.writer() as writer,
    ):
        writer.keep("again", writer.put(noise(1)))
        collect(store)
        clock.pass_(DAY_S + 1)
        collect(store)
    assert list(store.names()) == []
    keep(other, "again", noise(1))
    assert store.read(store.recipe("again")) == noise(1)


def test_a_slow_writer_whose_chunks_are_all_there_is_not_refused(store, clock):
    keep(store, "first", noise(1))
    with store.writer() as writer:
        writer.keep("second", writer.put(noise(1)))
        clock.pass_(3 * DAY_S)
    assert store.read(store.recipe("second")) == noise(1)


def test_a_reader_with_an_old_index_finds_what_was_moved(store, open_store, clock):
    for number in range(20):
        keep(store, f"n{number}", noise(number, 10_000))
    reader = open_store("two")
    assert reader.read(reader.recipe("n0")) == noise(0, 10_000)
    collect_all(store, clock)
    assert reader.read(reader.recipe("n7")) == noise(7, 10_000)


def test_a_second_collection_at_once_is_refused_and_a_dead_ones_lock_is_taken_over(store, clock):
    keep(store, "gone", noise(1))
    store.drop("gone")
    clock.pass_(DAY_S + 1)
    store.backend.create("locks/gc", json.dumps({"host": "elsewhere", "pid": 7, "seen": clock()}).encode())
    with pytest.raises(StoreError, match=r"Another collection runs on elsewhere \(process 7\), last heard of 0 s ago"):
        collect(store)
    clock.pass_(3601)
    assert collect(store).condemned_packs == 1
    assert list(store.backend.list("locks")) == []


@pytest.mark.parametrize("content", [b"", b"garbage", b"[]", b'{"seen": "x"}'])
def test_a_lock_that_cannot_be_read_is_a_dead_ones(store, content):
    store.backend.create("locks/gc", content)
    collect(store)
    assert list(store.backend.list("locks")) == []


def test_a_damaged_chunk_that_is_needed_stops_the_collection_before_anything_goes(store, clock):
    with store.writer() as writer:
        writer.keep("stays", writer.put(noise(1, 200_000)))
        writer.keep("gone", writer.put(noise(2)))
    store.drop("gone")
    (pack,) = store.backend.list("packs")
    with (store.backend.root / pack).open("r+b") as file:
        file.seek(100)
        file.write(secrets.token_bytes(8))
    clock.pass_(DAY_S + 1)
    with pytest.raises(StoreError, match="something kept needs it. Nothing was removed"):
        collect(store)
    assert list(store.backend.list("packs")) == [pack]
    assert list(store.backend.list("condemned")) == []
    assert list(store.backend.list("locks")) == []
    assert list(store.backend.scratch().iterdir()) == []
