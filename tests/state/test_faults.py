"""What goes wrong while a session is saved costs at most what was not saved yet, and never the kernel."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from regrow.state.checkpoints import Checkpoints
from regrow.state.loading import Loader
from regrow.store.verify import verify

from support.real_kernel import Kernel
from support.sessions import Notebook, kill, save

# Variables that belong together: any of them from another round than the others is a state that never was.
ROUND = """
n += 1
numbers = [n] * 1000
array = np.full(300_000, n)
pair = (numbers, {'n': n})
"""
BEGIN = (
    "import numpy as np\nimport regrow.state.autosave as session\nsession.DEBOUNCE_S = 0.02\nsession.REST_FACTOR = 0\n"
    f"session.RETRY_AFTER_S = 0\nsession.MOST_KILLS = 1000\nn = 0\n{ROUND}"
)


def last_state(notebook: Notebook) -> int:
    """The round of the last checkpoint, which is whole."""
    values: dict[str, object] = {}
    with Checkpoints(notebook.directory) as checkpoints:
        entries = checkpoints.entries(notebook.path)
        manifest = checkpoints.read(notebook.path, entries[-1])
        loader = Loader(checkpoints, manifest, values, print)
        loader.place()
        assert loader.load(["n", "numbers", "array", "pair"]) == []
    n = values["n"]
    assert isinstance(n, int)
    assert values["numbers"] == [n] * 1000
    assert values["pair"] == ([n] * 1000, {"n": n})
    assert (values["array"] == n).all()  # type: ignore[attr-defined]
    return n


def children(kernel: Kernel) -> list[int]:
    pid = kernel.manager.provisioner.pid
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_two_hundred_kills_of_what_saves_leave_a_state_that_was(notebook: Notebook) -> None:
    chance = random.Random(0)
    with notebook.kernel() as kernel:
        kernel.ok(BEGIN)
        assert save(kernel) == ""
        kills, before = 0, 0
        deadline = time.monotonic() + 240
        while kills < 200:
            assert time.monotonic() < deadline
            kernel.ok(ROUND)
            due = time.monotonic() + 0.02 + chance.random() * 0.08
            while time.monotonic() < due:
                time.sleep(0.001)
            for child in children(kernel):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(child, signal.SIGKILL)
                    kills += 1
            if kills % 10 == 0:
                now = last_state(notebook)
                assert now >= before
                before = now
        current = int(kernel.ok("n").result)
        assert save(kernel) == ""
    assert last_state(notebook) == current
    with Checkpoints(notebook.directory) as checkpoints:
        assert verify(checkpoints.store).problems == []


def test_a_kernel_that_is_killed_at_any_moment_comes_back_as_some_state_that_was_saved(notebook: Notebook) -> None:
    chance = random.Random(1)
    reached = 0
    for attempt in range(8):
        with notebook.kernel() as kernel:
            if attempt == 0:
                kernel.ok(BEGIN)
            else:
                kernel.ok("import regrow.state.autosave as session\nsession.DEBOUNCE_S = 0.02\nsession.REST_FACTOR = 0")
                back = int(kernel.ok("n").result)
                kernel.ok("assert numbers == [n] * 1000 and pair[0] is numbers and (array == n).all()")
                assert reached <= back
            kernel.ok(ROUND)
            notebook.wait_saved()
            reached = last_state(notebook)
            for _ in range(chance.randrange(6)):
                kernel.ok(ROUND)
                time.sleep(chance.random() * 0.1)
            kernel.start(ROUND)
            time.sleep(chance.random() * 0.1)
            kill(kernel)


@pytest.mark.parametrize(
    "reduce",
    [
        "raise ValueError('not today')",
        "raise SystemExit(3)",
        "import time; time.sleep(1000)",
        "import ctypes; ctypes.string_at(0)",
        "import os; os._exit(0)",
        "import os, signal; os.kill(os.getpid(), signal.SIGKILL)",
        "import threading; lock = threading.Lock(); lock.acquire(); lock.acquire()",
        "return 'nonsense'",
        "return (int, ('x',))",
        "while True: pass",
    ],
)
def test_a_class_that_will_not_be_pickled_costs_only_its_variables(notebook: Notebook, reduce: str) -> None:
    with notebook.kernel() as kernel:
        kernel.ok("import regrow.state.autosave as session\nsession.PICKLING_TIMEOUT_S, session.STUCK_AFTER_S = 1, 4")
        kernel.ok("session.RETRY_AFTER_S = 0.1")
        kernel.ok(f"x = [1]\nclass Bad:\n    def __reduce__(self):\n        {reduce}\nbad = [Bad()]")
        status = notebook.wait(lambda said: said.get("state") == "saved" and bool(said["not_saved"]))
        assert [missing["name"] for missing in status["not_saved"]] == ["bad"]
        assert "bad is not saved: " in kernel.ok("x").stderr
        # It is not tried again for nothing.
        kernel.ok("x.append(2)")
        assert save(kernel) == ""
        kill(kernel)
    with notebook.kernel() as kernel:
        assert kernel.ok("x").result == "[1, 2]"
        assert kernel.run("bad").ename == "NameError"


def test_what_hangs_or_ends_the_process_costs_nothing_that_it_shares_objects_with(notebook: Notebook) -> None:
    with notebook.kernel() as kernel:
        kernel.ok("import regrow.state.autosave as session\nsession.PICKLING_TIMEOUT_S, session.STUCK_AFTER_S = 1, 8")
        kernel.ok("class Hangs:\n    def __reduce__(self):\n        while True: pass")
        kernel.ok("class Exits:\n    def __reduce__(self):\n        raise SystemExit(3)")
        kernel.ok("good, fine = [1], [2]\nbad = [Hangs(), good]\nworse = [Exits(), fine]")
        status = notebook.wait(lambda said: said.get("state") == "saved" and len(said["not_saved"]) > 1)
        assert {missing["name"] for missing in status["not_saved"]} == {"bad", "worse"}
        kill(kernel)
    with notebook.kernel() as kernel:
        assert kernel.ok("good, fine").result == "([1], [2])"


@pytest.mark.parametrize(
    "make",
    [
        # Asked for any attribute it raises another error than AttributeError.
        "class Dots(dict):\n    __getattr__ = dict.__getitem__\nclass Model:\n    options = Dots(a=1)\nodd = Model()",
        "class Meta(type):\n    def __eq__(self, other):\n        return True\nclass Odd(metaclass=Meta): pass\nodd = Odd()",
        "class Shy:\n    def __getattribute__(self, name):\n        raise ValueError(name)\nodd = Shy()",
    ],
)
def test_an_odd_object_stops_no_saving_and_no_loading(notebook: Notebook, make: str) -> None:
    with notebook.kernel() as kernel:
        kernel.ok(f"{make}\nx = [1]\nlater = [2]")
        notebook.wait_saved()
        since = time.time()
        kernel.ok("x.append(2)")
        notebook.wait_saved(since)
        kill(kernel)
    with notebook.kernel() as kernel:
        assert kernel.ok("x").result == "[1, 2]"
        kernel.run("odd")
        assert kernel.ok("later").result == "[2]"


def test_a_process_that_can_not_be_made_loses_no_change(notebook: Notebook) -> None:
    with notebook.kernel() as kernel:
        kernel.ok("import regrow.state.forking as forking\nx = 1")
        assert save(kernel) == ""
        fail = (
            "start = forking.start\ndef fails(*arguments):\n    forking.start = start\n"
            "    raise RuntimeError('can\\'t start new thread')\nforking.start = fails\nx = 2"
        )
        kernel.ok(fail)
        assert "can't start new thread" in save(kernel)
        assert save(kernel) == ""
    with notebook.kernel() as kernel:
        assert kernel.ok("x").result == "2"


def test_what_can_not_be_loaded_here_is_kept_until_it_can(notebook: Notebook) -> None:
    module = notebook.path.parent / "oddly_named.py"
    module.write_text("class Thing:\n    pass\n")
    with notebook.kernel() as kernel:
        kernel.ok("import sys; sys.path.insert(0, '.')\nimport oddly_named\nthing = oddly_named.Thing(); thing.n = 7")
        assert save(kernel) == ""
    aside = module.rename(module.with_suffix(".aside"))
    with notebook.kernel() as kernel:
        outcome = kernel.run("thing.n")
        assert "thing could not be restored" in outcome.stderr
        for n in range(3):
            kernel.ok(f"x = {n}")
            assert save(kernel) == ""
    aside.rename(module)
    with notebook.kernel() as kernel:
        assert kernel.ok("thing.n, x").result == "(7, 2)"


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting takes root")
def test_what_had_no_room_is_saved_once_there_is_room(notebook: Notebook, small_disk: Path) -> None:
    with notebook.kernel(REGROW_STATE_DIR=str(small_disk)) as kernel:
        kernel.ok("from regrow.state import saving\nimport numpy as np")
        kernel.ok("large = np.random.default_rng(0).random(10_000_000)")
        kernel.ok("spare, saving.SPARE_BYTES = saving.SPARE_BYTES, 560 * 1024**2")
        assert save(kernel) == ""
        assert "large is not saved: it takes 76.3 MiB" in kernel.ok("1").stderr
        kernel.ok("saving.SPARE_BYTES = spare")
        assert save(kernel) == ""
        kill(kernel)
    with notebook.kernel(REGROW_STATE_DIR=str(small_disk)) as kernel:
        assert kernel.ok("len(large)").result == "10000000"


def test_a_class_that_comes_back_different_is_told(notebook: Notebook) -> None:
    make = (
        "class Forgetful:\n    def __init__(self):\n        self.kept, self.lost = 1, 2\n"
        "    def __getstate__(self):\n        return {'kept': self.kept}\nf = Forgetful()\n"
    )
    with notebook.kernel() as kernel:
        kernel.ok(make)
        notebook.wait_saved()
        assert "f is saved, but it comes back different: f.lost is missing" in kernel.ok("1").stderr


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder with room for some 600 MiB, of which a save leaves 512."""
    folder = tmp_path / "small"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=600m", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting takes root")
def test_a_disk_without_room_keeps_what_fits(notebook: Notebook, small_disk: Path) -> None:
    make = "import numpy as np\nlarge = np.random.default_rng(0).random(20_000_000)\nx = 1"
    with notebook.kernel(REGROW_STATE_DIR=str(small_disk)) as kernel:
        kernel.ok(make)
        assert save(kernel) == ""
        told = kernel.ok("x").stderr
        assert "large is not saved: it takes 153 MiB, and the disk has only" in told
    with notebook.kernel(REGROW_STATE_DIR=str(small_disk)) as kernel:
        assert kernel.ok("x").result == "1"


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting takes root")
def test_a_full_disk_is_said_and_what_was_saved_before_is_kept(notebook: Notebook, small_disk: Path) -> None:
    with notebook.kernel(REGROW_STATE_DIR=str(small_disk)) as kernel:
        kernel.ok("x = 1")
        assert save(kernel) == ""
        with contextlib.suppress(OSError):
            (small_disk / "filler").write_bytes(bytes(700_000_000))
        # An autosave may have noticed before: it is told once.
        told = kernel.ok("x = 2").stderr
        saved = kernel.ok("print(get_ipython().regrow_session.save('test'))")
        assert "There is no room left" in saved.stdout
        assert "There is no room left" in told + saved.stderr + kernel.ok("x").stderr
        (small_disk / "filler").unlink()
    with notebook.kernel(REGROW_STATE_DIR=str(small_disk)) as kernel:
        assert kernel.ok("x").result == "1"


def test_two_kernels_of_one_notebook_do_not_harm_each_other(notebook: Notebook) -> None:
    with notebook.kernel() as one, notebook.kernel() as other:
        one.ok("x = 'one'\nonly_in_one = 1")
        other.ok("x = 'other'")
        for _ in range(5):
            assert save(one) == ""
            assert save(other) == ""
    with notebook.kernel() as kernel:
        assert kernel.ok("x, 'only_in_one' in globals()").result == "('other', False)"


def test_a_state_that_was_changed_is_refused(notebook: Notebook) -> None:
    with notebook.kernel() as kernel:
        kernel.ok("x = 1")
        assert save(kernel) == ""
    key = notebook.directory / "key"
    key.write_bytes(os.urandom(32))
    with notebook.kernel() as kernel:
        outcome = kernel.run("x")
        assert outcome.ename == "NameError"
        assert "could not be restored: it was changed since, or somebody else made it" in outcome.stderr


def test_code_of_another_python_is_refused_and_everything_else_comes_back(notebook: Notebook) -> None:
    with notebook.kernel() as kernel:
        kernel.ok("x = [1]\ndef f():\n    return 1")
        assert save(kernel) == ""
    with Checkpoints(notebook.directory) as checkpoints:
        manifest = checkpoints.read(notebook.path, checkpoints.entries(notebook.path)[-1])
        manifest.python, manifest.at = "3.9", manifest.at + 1
        with checkpoints.store.writer() as writer:
            checkpoints.keep(writer, manifest, notebook.path)
    with notebook.kernel() as kernel:
        assert kernel.ok("x").result == "[1]"
        outcome = kernel.run("f()")
        assert outcome.ename == "NameError"
        assert "f could not be restored: it has code of Python 3.9" in outcome.stderr
        assert "%checkpoint rerun f" in outcome.stderr


def test_another_version_of_a_package_costs_only_what_it_has_no_more(notebook: Notebook) -> None:
    for version, classes in {"1": "class Kept:\n    pass\nclass Gone:\n    pass", "2": "class Kept:\n    pass"}.items():
        (notebook.home / version).mkdir()
        (notebook.home / version / "measures.py").write_text(f"__version__ = {version!r}\n{classes}\n")
    with notebook.kernel(PYTHONPATH=str(notebook.home / "1")) as kernel:
        kernel.ok("import measures\nkept = measures.Kept()\nkept.n = 1")
        kernel.ok("gone = [measures.Gone()]\nbeside_it = gone\nother = 2")
        assert save(kernel) == ""
        kill(kernel)
    with notebook.kernel(PYTHONPATH=str(notebook.home / "2")) as kernel:
        assert kernel.ok("kept.n, other, measures.__version__").result == "(1, 2, '2')"
        outcome = kernel.run("gone")
        assert outcome.ename == "NameError"
        assert "gone could not be restored" in outcome.stderr
        assert "measures was 1, and is 2" in outcome.stderr
        assert "%checkpoint rerun" in outcome.stderr


def test_a_cell_of_hours_is_saved_in_its_middle(notebook: Notebook) -> None:
    with notebook.kernel() as kernel:
        kernel.ok("import regrow.state.autosave as session\nsession.LONG_CELL_S = 0.5\nlosses = []")
        notebook.wait_saved()
        time.sleep(1)  # the thread that looks, looks as often as it was told before
        cell = kernel.start("import time\nfor n in range(100_000):\n    losses.append(n); time.sleep(0.01)")
        kernel_saves = notebook.wait(lambda said: said["state"] == "saved" and said["new_bytes"] > 200)
        assert kernel_saves["state"] == "saved"
        assert cell[1].status == ""
        kill(kernel)
    with notebook.kernel() as kernel:
        assert int(kernel.ok("len(losses)").result) > 10


def test_the_server_is_answered_while_a_cell_runs(notebook: Notebook) -> None:
    with notebook.kernel() as kernel:
        kernel.ok("x = [0]")
        cell = kernel.start("import time\nx.append(1)\nprint('begun', flush=True)\ntime.sleep(600)")
        kernel.read_until(cell, "begun")
        request = kernel.client.session.msg("regrow_save_request", {"reason": "stop", "timeout_s": 30})
        kernel.client.control_channel.send(request)
        reply = kernel.client.get_control_msg(timeout=30)
        assert reply["msg_type"] == "regrow_save_reply"
        assert reply["content"] == {"status": "ok", "saved": True, "message": ""}
        kill(kernel)
    with notebook.kernel() as kernel:
        assert kernel.ok("x").result == "[0, 1]"


def test_a_stop_saves_what_a_thread_changed_since(notebook: Notebook) -> None:
    run = (
        "import threading, time\nlosses = []\ndef train():\n    while True:\n        losses.append(1); time.sleep(0.01)"
    )
    with notebook.kernel() as kernel:
        kernel.ok(f"{run}\nthreading.Thread(target=train, daemon=True).start()")
        notebook.wait_saved()
        reached = int(kernel.ok("len(losses)").result)
        notebook.wait_saved(time.time() - 1)
        time.sleep(1)
        request = kernel.client.session.msg("regrow_save_request", {"reason": "stop", "timeout_s": 30})
        kernel.client.control_channel.send(request)
        assert kernel.client.get_control_msg(timeout=30)["content"]["saved"]
        kill(kernel)
    with notebook.kernel() as kernel:
        assert int(kernel.ok("len(losses)").result) > reached + 50


def test_a_child_is_no_zombie_and_holds_nothing_open(notebook: Notebook) -> None:
    with notebook.kernel() as kernel:
        for n in range(5):
            kernel.ok(f"x = {n}")
            assert save(kernel) == ""
        before = int(kernel.ok("import os; len(os.listdir('/proc/self/fd'))").result)
        for n in range(30):
            kernel.ok(f"x = {n}")
            assert save(kernel) == ""
        # One save may be under way.
        assert int(kernel.ok("len(os.listdir('/proc/self/fd'))").result) < before + 5
        assert len(children(kernel)) <= 1


def test_saving_much_needs_little_memory(notebook: Notebook) -> None:
    # 300 MB of pickle, of objects that are there already.
    make = "text = 'x' * 999_000\nmany = [bytearray(text.encode()) for n in range(300)]"
    # Of its own, and not of a file, which the system takes back when it likes.
    peak = """
import threading
from pathlib import Path
from regrow.state import saving
def own():
    return next(int(line.split()[1]) for line in open('/proc/self/status') if line.startswith('RssAnon'))
def measured(*arguments, save=saving.save):
    samples, ended = [own()], threading.Event()
    def sample():
        while not ended.wait(0.005):
            samples.append(own())
    thread = threading.Thread(target=sample)
    thread.start()
    result = save(*arguments)
    ended.set()
    thread.join()
    Path('grown').write_text(str(max(samples) - samples[0]))
    return result
saving.save = measured
"""
    with notebook.kernel() as kernel:
        kernel.ok(peak)
        kernel.ok(make)
        assert save(kernel) == ""
        assert notebook.status()["bytes"] > 290_000_000
        assert int((notebook.path.parent / "grown").read_text()) < 150_000


def test_a_child_that_hangs_ends_without_its_kernel(notebook: Notebook) -> None:
    with notebook.kernel() as kernel:
        shorten = "import regrow.state.autosave as a, regrow.state.forking as f\na.PICKLING_TIMEOUT_S, a.STUCK_AFTER_S, f._LATER_S = 99, 2, 1"
        kernel.ok(shorten)
        kernel.ok("class Bad:\n    def __reduce__(self):\n        while True: pass\nbad = Bad()")
        notebook.wait(lambda status: status.get("state") == "saving" and bool(children(kernel)))
        (child,) = children(kernel)
        kill(kernel)
    deadline = time.monotonic() + 60
    while Path(f"/proc/{child}").exists():
        assert time.monotonic() < deadline
        time.sleep(0.1)
