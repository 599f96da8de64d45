"""Putting things into a store and getting them back."""

import io
import os
import random
import secrets
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

from regrow.store import ChunkDamaged, Expired, NotAStore, NotKept, Recipe, Store
from regrow.store.stats import stats
from regrow.store.verify import verify

CONTENTS = {
    "nothing": b"",
    "one byte": b"x",
    "text": b"The quick brown fox. " * 400_000,
    "zeros": bytes(30_000_000),
    "noise": random.Random(1).randbytes(20_000_000),
}


def keep(store, name, source):
    with store.writer() as writer:
        recipe = writer.put(source)
        writer.keep(name, recipe)
    return recipe


@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS.keys())
@pytest.mark.parametrize("source", [bytes, io.BytesIO, memoryview], ids=["bytes", "stream", "view"])
def test_what_is_put_is_got(store, source, content):
    recipe = keep(store, "it", source(content))
    assert recipe.size == len(content)
    assert store.recipe("it") == recipe
    assert store.read(recipe) == content
    assert b"".join(store.chunks(recipe)) == content
    assert store.open_recipe(recipe).read() == content
    assert verify(store).problems == []


def test_an_array_comes_back_into_an_array(store):
    array = np.random.default_rng(0).normal(size=1_000_003)
    recipe = keep(store, "array", memoryview(array))
    back = np.empty_like(array)
    store.read_into(recipe, memoryview(back))
    assert np.array_equal(back, array)


def test_a_buffer_of_the_wrong_size_is_refused(store):
    recipe = keep(store, "it", b"four")
    with pytest.raises(ValueError, match="a buffer of 3 bytes for 4"):
        store.read_into(recipe, memoryview(bytearray(3)))


def test_what_is_there_is_not_stored_again(store):
    noise = random.Random(2).randbytes(20_000_000)
    keep(store, "first", noise)
    before = stats(store)
    keep(store, "second", io.BytesIO(noise))
    keep(store, "changed", noise[:10_000_000] + b"!" + noise[10_000_000:])
    after = stats(store)
    assert after.kept_bytes == 3 * len(noise) + 1
    assert after.stored_bytes - before.stored_bytes < 0.3 * len(noise)


def test_the_same_content_twice_in_one_write_is_stored_once(store):
    noise = random.Random(3).randbytes(5_000_000)
    with store.writer() as writer:
        recipes = [writer.put(noise) for _ in range(4)]
        threads = [threading.Thread(target=lambda: recipes.append(writer.put(noise))) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(recipes) == 8 and len(set(recipes)) == 1
    assert stats(store).stored_bytes < 1.01 * len(noise)


def test_text_is_compressed_and_noise_is_not_made_larger(store):
    keep(store, "text", CONTENTS["text"])
    assert stats(store).stored_bytes < 0.01 * len(CONTENTS["text"])
    before = stats(store).stored_bytes
    keep(store, "noise", CONTENTS["noise"])
    assert stats(store).stored_bytes - before < 1.001 * len(CONTENTS["noise"])


def test_a_file_is_read_from_anywhere(store):
    noise = random.Random(4).randbytes(8_000_000)
    file = store.open_recipe(keep(store, "it", noise))
    places = random.Random(5)
    for _ in range(50):
        start, length = places.randrange(len(noise)), places.randrange(300_000)
        assert file.seek(start) == start
        assert file.read(length) == noise[start : start + length]
    file.seek(-10, os.SEEK_END)
    assert file.read() == noise[-10:]
    assert file.read() == b""


def test_names_are_kept_listed_replaced_and_dropped(store):
    first, second = keep(store, "team/a", b"1"), keep(store, "team/b/c", b"2")
    keep(store, "other", b"3")
    assert sorted(store.names()) == ["other", "team/a", "team/b/c"]
    assert sorted(store.names("team")) == ["team/a", "team/b/c"]
    with store.writer() as writer:
        writer.keep("team/a", second)
    assert store.recipe("team/a") == second != first
    store.drop("team/a")
    assert sorted(store.names()) == ["other", "team/b/c"]
    with pytest.raises(NotKept, match="Nothing is kept as team/a in"):
        store.recipe("team/a")
    with pytest.raises(NotKept):
        store.drop("team/a")


def test_a_name_may_be_a_folder_too(store):
    keep(store, "a", b"1")
    keep(store, "a/b", b"2")
    assert store.read(store.recipe("a")) == b"1"
    assert store.read(store.recipe("a/b")) == b"2"


@pytest.mark.parametrize(
    "name",
    ["", "/etc/passwd", "../x", "a/../../x", "a//b", "a b", "a\n", ".", "a/.", "é", "x/", "a.recipe", "a.recipe/b"],
)
def test_a_name_that_could_lead_elsewhere_is_refused(store, name):
    with pytest.raises(ValueError, match="is no name to keep something under"):
        store.recipe(name)
    with pytest.raises(ValueError), store.writer() as writer:
        writer.keep(name, writer.put(b"x"))


def test_an_exception_in_the_block_keeps_no_name(store):
    with pytest.raises(KeyboardInterrupt), store.writer() as writer:
        writer.keep("it", writer.put(b"x" * 1_000_000))
        raise KeyboardInterrupt
    assert list(store.names()) == []
    assert list(store.backend.scratch().iterdir()) == []


def test_a_source_that_fails_says_so_itself_and_the_rest_goes_on(store):
    class Broken(io.RawIOBase):
        def readinto(self, buffer):
            raise OSError("the disk behind the source is gone")

    with store.writer() as writer:
        with pytest.raises(OSError, match="the disk behind the source is gone"):
            writer.put(Broken())
        writer.keep("other", writer.put(b"sound"))
    assert store.read(store.recipe("other")) == b"sound"


def test_a_stream_that_does_not_wait_is_refused(store):
    class Impatient(io.RawIOBase):
        def readinto(self, buffer):
            return None

    with pytest.raises(BlockingIOError, match="only streams that wait can be stored"), store.writer() as writer:
        writer.put(Impatient())


def test_a_recipe_whose_chunks_are_gone_is_not_kept(store):
    with pytest.raises(Expired, match="Parts of it"), store.writer() as writer:
        writer.keep("it", Recipe.of([(bytes(32), 5)]))
    assert list(store.names()) == []


def test_another_machine_sees_what_was_kept(open_store):
    one, two = open_store("one"), open_store("two")
    noise = secrets.token_bytes(3_000_000)
    recipe = keep(one, "it", noise)
    assert two.read(two.recipe("it")) == noise
    assert keep(two, "again", noise) == recipe
    assert stats(two).packs == 1


def test_there_is_no_store_in_an_empty_folder(tmp_path):
    with pytest.raises(NotAStore, match="There is no store at"):
        Store.open(str(tmp_path), tmp_path / "cache")


@pytest.mark.parametrize("about", ["", "[]", '{"format": 1}', '{"format": 2, "id": "0", "grace_s": 1}'])
def test_a_store_of_another_kind_is_refused(tmp_path, about):
    (tmp_path / "store.json").write_text(about)
    with pytest.raises(NotAStore, match=r"store\.json that is not a store's|has format 2; this version reads 1"):
        Store.open(str(tmp_path), tmp_path / "cache")


def test_a_lost_or_broken_cache_is_made_again(open_store, tmp_path):
    noise = secrets.token_bytes(3_000_000)
    store = open_store()
    keep(store, "it", noise)
    store.close()
    (cache,) = (tmp_path / "cache").rglob("index.sqlite")
    cache.write_bytes(b"not a database, but long enough to look like one: " * 100)
    again = open_store()
    assert again.read(again.recipe("it")) == noise


def test_a_writer_may_ask_for_more_to_be_saved_before_it_compresses(store):
    noise = random.Random(2).randbytes(2_250_000)
    three_quarters_noise = b"".join(noise[n : n + 3] + b"\0" for n in range(0, len(noise), 3))
    with store.writer(worth=0.5) as writer:
        writer.keep("noise", writer.put(three_quarters_noise))
        writer.keep("text", writer.put(CONTENTS["text"]))
    stored = stats(store).stored_bytes - len(three_quarters_noise)
    assert 0 <= stored < len(CONTENTS["text"]) / 10
    assert store.read(store.recipe("noise")) == three_quarters_noise


def test_content_goes_straight_into_a_file_by_several_threads(store, tmp_path):
    content = random.Random(3).randbytes(20_000_000) + bytes(5_000_000)
    with store.writer() as writer:
        writer.keep("it", writer.put(content))
    with (tmp_path / "file").open("wb") as file:
        store.write_to(store.recipe("it"), file.fileno())
    assert (tmp_path / "file").read_bytes() == content


def test_nothing_unverified_is_written_into_a_file(store, tmp_path):
    with store.writer() as writer:
        writer.keep("it", writer.put(random.Random(3).randbytes(5_000_000)))
    (pack,) = store.backend.list("packs")
    with (Path(store.backend.url, pack)).open("r+b") as file:
        file.seek(3_000_000)
        file.write(b"damaged")
    with (tmp_path / "file").open("wb") as file, pytest.raises(ChunkDamaged):
        store.write_to(store.recipe("it"), file.fileno())
    assert b"damaged" not in (tmp_path / "file").read_bytes()


def test_weights_are_stored_as_they_are_and_text_is_compressed(store):
    weights = np.random.default_rng(0).normal(scale=0.02, size=500_000).astype(np.float32).tobytes()
    with store.writer() as writer:
        writer.keep("weights", writer.put(weights))
    in_weights = stats(store).stored_bytes
    assert in_weights >= len(weights)
    with store.writer() as writer:
        writer.keep("text", writer.put(CONTENTS["text"]))
    assert stats(store).stored_bytes - in_weights < len(CONTENTS["text"]) / 10


def test_a_folder_s_store_does_not_import_what_only_urls_need(tmp_path):
    program = (
        "import sys; from pathlib import Path; from regrow.store import Store\n"
        "Store.create(sys.argv[1], Path(sys.argv[2])).close(); sys.exit('fsspec' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program, tmp_path / "store", tmp_path / "cache"], check=True)
