"""Writers that are killed, disks that are full, bits that flip."""

import errno
import os
import random
import secrets
import shutil
import signal
import subprocess
import sys
import time

import pytest

from regrow.store import ChunkDamaged, ChunkMissing, Recipe, Store, StoreError, StoreFull
from regrow.store.gc import collect
from regrow.store.verify import verify

from .conftest import DAY_S

# Puts noise under names 0, 1, 2 ... for ever, and says which are kept.
WRITER = """
import random, sys
from pathlib import Path
from regrow.store import Store
store = Store.open(sys.argv[1], Path(sys.argv[2]))
number = int(sys.argv[3])
while True:
    with store.writer() as writer:
        for each in range(5):
            writer.keep(f"n{number + each}", writer.put(random.Random(number + each).randbytes(700_000)))
    print(number, flush=True)
    number += 5
"""


def noise(seed, size=700_000):
    return random.Random(seed).randbytes(size)


def keep(store, name, data):
    with store.writer() as writer:
        writer.keep(name, writer.put(data))


@pytest.mark.parametrize("delay_s", [0.02 * n for n in range(8)])
def test_a_writer_killed_at_any_time_leaves_a_sound_store(open_store, tmp_path, clock, delay_s):
    store = open_store()
    keep(store, "before", noise(-1))
    command = [sys.executable, "-c", WRITER, store.backend.url, str(tmp_path / "cache/killed"), "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        said = [writer.stdout.readline()]
        time.sleep(delay_s)
        writer.kill()
        said += writer.stdout.read().splitlines()
    report = verify(store)
    assert report.problems == []
    names = set(store.names())
    assert {f"n{int(number) + each}" for number in said for each in range(5)} <= names
    for name in names - {"before"}:
        assert store.read(store.recipe(name)) == noise(int(name[1:]))
    assert store.read(store.recipe("before")) == noise(-1)
    clock.pass_(DAY_S + 1)
    collect(store)
    assert list(store.backend.scratch().iterdir()) == []


def test_many_writers_at_once_and_one_killed(open_store, tmp_path):
    store = open_store()
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, store.backend.url, str(tmp_path / "cache" / cache), str(1000 * number)],
            stdout=subprocess.PIPE,
            text=True,
        )
        # Two share an index, as processes of one machine do.
        for number, cache in enumerate(["a", "a", "b"])
    ]
    for writer in writers:
        writer.stdout.readline()
    writers[0].send_signal(signal.SIGKILL)
    for writer in writers[1:]:
        writer.stdout.readline()
        writer.kill()
    for writer in writers:
        writer.wait()
        writer.stdout.close()
    assert verify(store).problems == []
    assert len(list(store.names())) >= 25


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts a small disk")
def test_a_full_disk_is_said_nothing_of_the_write_is_kept_and_with_room_it_goes_on(tmp_path, clock):
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", disk], check=True)
    try:
        with Store.create(str(disk / "store"), tmp_path / "cache", now=clock) as store:
            keep(store, "before", noise(0, 3_000_000))
            with pytest.raises(StoreFull, match="There is no room left for .*what was kept before is whole"):
                keep(store, "large", noise(1, 20_000_000))
            assert list(store.names()) == ["before"]
            assert list(store.backend.scratch().iterdir()) == []
            assert verify(store).problems == []
            subprocess.run(["mount", "-o", "remount,size=64m", disk], check=True)
            keep(store, "large", noise(1, 20_000_000))
            assert store.read(store.recipe("large")) == noise(1, 20_000_000)
    finally:
        subprocess.run(["umount", disk], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts a small disk")
def test_a_session_that_has_failed_keeps_nothing_more(tmp_path, clock):
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", disk], check=True)
    try:
        with Store.create(str(disk / "store"), tmp_path / "cache", now=clock) as store:
            with pytest.raises(StoreFull), store.writer() as writer:
                with pytest.raises(StoreFull):
                    writer.put(noise(1, 20_000_000))
                writer.keep("small", writer.put(noise(1, 20_000_000)[:100]))
            assert list(store.names()) == []
    finally:
        subprocess.run(["umount", disk], check=True)


def damage(store, path, how):
    file = store.backend.root / path
    data = bytearray(file.read_bytes())
    if how == "flipped bit":
        data[len(data) // 3] ^= 4
    elif how == "truncated":
        del data[len(data) // 2 :]
    elif how == "emptied":
        data.clear()
    elif how == "index changed":
        data[-100] ^= 1
    file.write_bytes(data)


@pytest.mark.parametrize("how", ["flipped bit", "truncated", "emptied", "index changed"])
def test_a_damaged_pack_is_found_named_and_never_read_as_if_it_were_sound(open_store, how):
    writer, reader = open_store("one"), open_store("two")
    keep(writer, "hit", noise(1, 5_000_000))
    (pack,) = writer.backend.list("packs")
    keep(writer, "spared", noise(2))
    damage(writer, pack, how)
    with pytest.raises((ChunkDamaged, ChunkMissing), match="Run regrow store verify"):
        reader.read(reader.recipe("hit"))
    report = verify(reader)
    assert report.affected == ["hit"]
    assert any(pack.removeprefix("packs/") in problem for problem in report.problems)
    assert reader.read(reader.recipe("spared")) == noise(2)


def test_what_is_damaged_is_whole_again_when_it_is_stored_again(open_store):
    store = open_store("one")
    keep(store, "it", noise(1))
    (pack,) = store.backend.list("packs")
    (store.backend.root / pack).unlink()
    other = open_store("two")
    assert verify(other).affected == ["it"]
    keep(other, "again", noise(1))
    assert other.read(other.recipe("it")) == noise(1)
    assert verify(other).problems == []


@pytest.mark.parametrize("how", ["flipped bit", "truncated", "emptied", "index changed"])
def test_a_damaged_pack_is_condemned_its_content_stored_again_and_all_is_whole(open_store, clock, how):
    store = open_store("one")
    keep(store, "it", noise(1, 5_000_000))
    (pack,) = store.backend.list("packs")
    keep(store, "other", noise(2))
    damage(store, pack, how)
    assert verify(open_store("two"), condemning=True).affected == ["it"]
    for machine in ("one", "fresh"):
        keep(open_store(machine), f"again-{machine}", noise(1, 5_000_000))
    assert store.read(store.recipe("it")) == noise(1, 5_000_000)
    clock.pass_(DAY_S + 1)
    assert collect(store).removed_packs == 1
    assert pack not in store.backend.list("packs")
    assert verify(store).problems == []
    assert store.read(store.recipe("other")) == noise(2)


def test_a_damaged_pack_that_something_needs_is_not_removed(open_store, clock):
    store = open_store("one")
    keep(store, "it", noise(1, 5_000_000))
    (pack,) = store.backend.list("packs")
    damage(store, pack, "truncated")
    fresh = open_store("fresh")
    verify(fresh, condemning=True)
    clock.pass_(DAY_S + 1)
    with pytest.raises(StoreError, match="something kept (may need|needs)"):
        collect(fresh)
    fresh.drop("it")
    assert collect(fresh).removed_packs == 1


@pytest.mark.parametrize("content", [b"", b"regrowR\x01", secrets.token_bytes(200)])
def test_a_damaged_name_is_said_and_the_others_are_read(store, content):
    keep(store, "hit", noise(1))
    keep(store, "spared", noise(2))
    store.backend.write("names/hit.recipe", content)
    with pytest.raises(StoreError, match="What is kept as hit is damaged"):
        store.recipe("hit")
    assert verify(store).affected == ["hit"]
    assert store.read(store.recipe("spared")) == noise(2)
    with pytest.raises(StoreError, match="What is kept as hit is damaged"):
        collect(store)
    store.drop("hit")
    collect(store)


def test_no_bit_of_a_name_can_flip_unseen(store):
    keep(store, "it", noise(1))
    sound = store.backend.read("names/it.recipe")
    for bit in range(0, 8 * len(sound), 3):
        flipped = bytearray(sound)
        flipped[bit // 8] ^= 1 << bit % 8
        store.backend.write("names/it.recipe", bytes(flipped))
        with pytest.raises(StoreError, match="What is kept as it is damaged"):
            store.recipe("it")


def test_what_others_leave_in_its_folders_is_not_taken_for_its_own(store, clock):
    keep(store, "it", noise(1))
    (pack,) = store.backend.list("packs")
    content = store.backend.read(pack)
    for litter in ["packs/.nfs0000000123", "packs/copy", "tmp/.DS_Store"]:
        store.backend.write(litter, content)
    clock.pass_(DAY_S + 1)
    collect(store)
    assert verify(store).packs == 1
    assert len(store.index.packs()) == 1


def test_a_folder_of_names_that_cannot_be_listed_is_not_taken_for_an_empty_one(store, clock, monkeypatch):
    keep(store, "team/it", noise(1))
    listed = os.scandir

    def scandir(path="."):
        if str(path).endswith("names/team"):
            raise OSError(errno.EIO, "Input/output error")
        return listed(path)

    clock.pass_(DAY_S + 1)
    with monkeypatch.context() as broken:
        broken.setattr(os, "scandir", scandir)
        with pytest.raises(OSError, match="Input/output error"):
            collect(store)
    assert collect(store).condemned_packs == 0


def test_a_store_and_its_copy_have_an_index_each(store, open_store, tmp_path, clock):
    shutil.copytree(tmp_path / "store", tmp_path / "copy")
    keep(store, "it", noise(1))
    with Store.open(str(tmp_path / "copy"), tmp_path / "cache/one", now=clock) as copy:
        keep(copy, "it", noise(1))
        assert verify(copy).problems == []
        assert copy.read(copy.recipe("it")) == noise(1)


def test_a_forked_process_is_told_to_open_the_store_again(store):
    keep(store, "it", noise(1))
    recipe = store.recipe("it")
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        try:
            store.read(recipe)
        except StoreError as error:
            os.write(writing, str(error).encode())
        finally:
            os._exit(0)
    os.close(writing)
    assert "Open it again in the new process" in os.read(reading, 1000).decode()
    os.waitpid(child, 0)
    os.close(reading)


def test_a_chunk_too_large_to_be_ours_is_refused_before_memory_is_taken(store):
    keep(store, "it", noise(1))
    with pytest.raises(StoreError, match="damaged"):
        Recipe.decode(Recipe.of([(bytes(32), 2**31)]).encode(), "it")


def test_an_index_that_is_damaged_inside_says_how_to_mend_it(open_store, tmp_path):
    store = open_store()
    with store.writer() as writer:
        for number in range(2000):
            writer.keep(f"n{number}", writer.put(b"%d" % number))
    store.close()
    (cache,) = (tmp_path / "cache").rglob("index.sqlite")
    with cache.open("r+b") as file:
        file.seek(4 * 4096)
        file.write(b"x" * (cache.stat().st_size - 4 * 4096))
    again = open_store()
    with pytest.raises(StoreError, match="It is only a cache: remove it"):
        for number in range(2000):
            again.read(again.recipe(f"n{number}"))
    again.close()
    cache.unlink()
    assert open_store().read(store.recipe("n1999")) == b"1999"
