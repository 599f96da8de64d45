"""`regrow store` in a terminal."""

import random
import subprocess
import sys
from pathlib import Path

import pytest

from regrow.store import Store

REGROW = str(Path(sys.prefix) / "bin/regrow")


@pytest.fixture
def regrow_store(tmp_path):
    def run(*arguments):
        command = [REGROW, "store", *arguments]
        environment = {"XDG_CACHE_HOME": str(tmp_path / "cache"), "HOME": str(tmp_path)}
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)

    return run


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "store"


def keep(folder, cache, name, data):
    with Store.create(str(folder), cache) as store, store.writer() as writer:
        writer.keep(name, writer.put(data))


def test_a_store_is_made_once(regrow_store, folder):
    assert regrow_store("create", str(folder)).stdout == f"There is a store at {folder}.\n"
    about = (folder / "store.json").read_text()
    assert regrow_store("create", str(folder)).returncode == 0
    assert (folder / "store.json").read_text() == about


def test_what_it_holds_is_said_in_numbers(regrow_store, folder, tmp_path):
    noise = random.Random(0).randbytes(4 * 1024 * 1024)
    keep(folder, tmp_path / "other", "a", noise)
    keep(folder, tmp_path / "other", "b", noise)
    said = regrow_store("stats", str(folder)).stdout
    assert "2 names keep 8 MiB" in said
    assert "1 packs take 4 MiB" in said
    assert "save a factor of 2.00" in said


def test_damage_is_named_with_status_1(regrow_store, folder, tmp_path):
    keep(folder, tmp_path / "other", "weights", random.Random(0).randbytes(1_000_000))
    sound = regrow_store("verify", str(folder))
    assert sound.returncode == 0 and "all is as it was written" in sound.stdout
    (pack,) = (folder / "packs").iterdir()
    with pack.open("r+b") as file:
        file.seek(1000)
        file.write(b"!!!!")
    damaged = regrow_store("verify", str(folder))
    assert damaged.returncode == 1
    assert f"in pack {pack.name} is damaged" in damaged.stdout
    assert "They can't be read whole: weights." in damaged.stdout


def test_a_collection_says_what_it_did(regrow_store, folder):
    regrow_store("create", str(folder))
    done = regrow_store("gc", str(folder))
    assert done.returncode == 0
    assert done.stdout == "Removed 0 packs (0 bytes), condemned 0, moved 0 bytes out of them.\n"


@pytest.mark.parametrize("command", ["stats", "verify", "gc"])
def test_where_there_is_no_store_nothing_is_made(regrow_store, folder, command):
    done = regrow_store(command, str(folder))
    assert done.returncode == 1
    assert done.stderr == f"regrow store {command}: There is no store at {folder}.\n"
    assert not folder.exists()


@pytest.mark.parametrize("arguments", [("stats",), ("verify", "a", "b"), ("nonsense",)])
def test_a_mistake_on_the_command_line_has_status_2(regrow_store, arguments):
    assert regrow_store(*arguments).returncode == 2


def test_a_url_that_nothing_speaks_is_said_without_a_traceback(regrow_store):
    done = regrow_store("stats", "gopher://example/store")
    assert done.returncode == 1
    assert "Protocol not known: gopher" in done.stderr and "Traceback" not in done.stderr
