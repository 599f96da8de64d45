"""A session that is saved by itself, ends in any way, and comes back."""

from __future__ import annotations

import time

from regrow.server_extension.move_states import forget
from regrow.state.checkpoints import Checkpoints
from regrow.state.manifest import Manifest

from support.sessions import Notebook, across_kernels, kill, save


def test_variables_survive_their_kernel(notebook: Notebook) -> None:
    with across_kernels(notebook, "x = {'a': [1, 2]}", "y = x['a']", "def f(n):\n    return n + len(y)") as kernel:
        assert kernel.ok("x['a'] is y, f(1)").result == "(True, 3)"


def test_a_session_is_saved_by_itself_after_a_cell(notebook: Notebook) -> None:
    with notebook.kernel() as kernel:
        kernel.ok("x = 41 + 1")
        notebook.wait_saved()
        kill(kernel)
    with notebook.kernel() as kernel:
        assert kernel.ok("x").result == "42"


def test_what_changes_later_is_saved_too_and_only_that_is_written(notebook: Notebook) -> None:
    with notebook.kernel() as kernel:
        kernel.ok("import numpy as np\nlarge = np.random.default_rng(0).random(4_000_000)\nsmall = [1]")
        first = notebook.wait_saved()
        assert first["new_bytes"] > 32_000_000
        began = time.time()
        kernel.ok("small.append(2)")
        second = notebook.wait_saved(began)
        assert second["new_bytes"] < 1000
        kill(kernel)
    with notebook.kernel() as kernel:
        assert kernel.ok("small, large.shape").result == "([1, 2], (4000000,))"


def test_a_change_by_way_of_a_function_of_the_notebook_is_saved(notebook: Notebook) -> None:
    with notebook.kernel() as kernel:
        kernel.ok("log = []\nclass Tool:\n    def use(self):\n        log.append('used')\ntool = Tool()")
        notebook.wait_saved()
        began = time.time()
        kernel.ok("tool.use()")
        notebook.wait_saved(began)
        kill(kernel)
    with notebook.kernel() as kernel:
        assert kernel.ok("log").result == "['used']"


def test_a_change_that_no_cell_names_is_found_when_the_kernel_is_idle(notebook: Notebook) -> None:
    with notebook.kernel() as kernel:
        kernel.ok("import json\nhidden = [1]\njson.ours = hidden")
        notebook.wait_saved()
        kernel.ok("import regrow.state.autosave as s\ns.IDLE_CHECK_S = 0.1")
        kernel.ok("getattr(json, 'ours').append(2)")
        notebook.wait(lambda status: status["state"] == "saved" and status["new_bytes"] > 0)
        deadline = time.monotonic() + 30
        while True:
            with notebook.kernel() as other:
                if other.ok("hidden").result == "[1, 2]":
                    break
            assert time.monotonic() < deadline


def test_a_name_that_was_deleted_does_not_come_back(notebook: Notebook) -> None:
    with across_kernels(notebook, "x = y = [1]", "del x") as kernel:
        assert kernel.run("x").ename == "NameError"
        assert kernel.ok("y").result == "[1]"


def test_the_next_cells_number_history_and_results_come_back(notebook: Notebook) -> None:
    with across_kernels(notebook, "6 * 7", "x = [1]\nx") as kernel:
        assert kernel.ok("_1, Out[2] is x, In[1]").result == "(42, True, '6 * 7')"
        assert kernel.ok("get_ipython().execution_count - 1").result == "5"


def test_the_process_is_what_it_was(notebook: Notebook) -> None:
    (notebook.home / "there").mkdir(parents=True)
    change = (
        "import os, sys\nos.chdir('there')\nos.environ['REALLY'] = 'yes'\ndel os.environ['LANGUAGE_OF_TEST']\n"
        "sys.path.append('/somewhere')"
    )
    with notebook.kernel(LANGUAGE_OF_TEST="en") as kernel:
        kernel.ok(change)
        assert save(kernel) == ""
    with notebook.kernel(LANGUAGE_OF_TEST="en") as kernel:
        look = "os.getcwd().endswith('there'), os.environ['REALLY'], 'LANGUAGE_OF_TEST' in os.environ, sys.path[-1]"
        assert kernel.ok(look).result == "(True, 'yes', False, '/somewhere')"


def test_random_numbers_go_on_where_they_were(notebook: Notebook) -> None:
    draw = "[random.random(), float(np.random.rand()), float(torch.rand(1))]"
    with notebook.kernel() as kernel:
        kernel.ok("import random, numpy as np, torch\nrandom.seed(1); np.random.seed(1); torch.manual_seed(1)")
        assert save(kernel) == ""
        expected = kernel.ok(draw).result
        kill(kernel)
    with notebook.kernel() as kernel:
        assert kernel.ok(draw).result == expected


def test_what_can_not_be_saved_is_told_once_and_costs_nothing_else(notebook: Notebook) -> None:
    with notebook.kernel() as kernel:
        kernel.ok("import threading\ngen = (n for n in range(3))\nd = {'deep': [gen]}\nx = 1")
        status = notebook.wait_saved()
        assert {missing["name"]: missing["cell"] for missing in status["not_saved"]} == {"gen": 1, "d": 1}
        told = kernel.ok("x").stderr
        assert "gen is not saved: a generator can't be kept" in told
        assert "d['deep'][0]" in told
        assert "not saved" not in kernel.ok("x").stderr
        assert save(kernel) == ""
    with notebook.kernel() as kernel:
        outcome = kernel.ok("x")
        assert outcome.result == "1"
        assert "gen" in outcome.displays[0]["text/plain"]
        assert "a generator can't be kept" in outcome.displays[0]["text/plain"]


def test_a_large_session_is_usable_at_once_and_loads_what_a_cell_uses(notebook: Notebook) -> None:
    with across_kernels(notebook, "import numpy as np\na = np.ones(30_000_000)\nb = np.zeros(10)") as kernel:
        pending = "sorted(get_ipython().regrow_session.loader.pending())"
        assert "'a'" in kernel.ok(pending).result
        assert kernel.ok("b.sum()").result == "np.float64(0.0)"
        assert "'a'" in kernel.ok(pending).result
        assert kernel.ok("type(a), a.sum()").result == "(numpy.ndarray, np.float64(30000000.0))"
        assert "'a'" not in kernel.ok(pending).result


def test_the_tab_key_knows_what_is_small_before_a_cell_uses_it(notebook: Notebook) -> None:
    with across_kernels(notebook, "class Point:\n    longitude = 1\npoint = Point()") as kernel:
        deadline = time.monotonic() + 30
        while True:
            kernel.client.complete("point.longi")
            matches = kernel.client.get_shell_msg(timeout=30)["content"].get("matches", [])
            if any(match.endswith("longitude") for match in matches):
                break
            assert time.monotonic() < deadline
            time.sleep(0.2)


def test_what_was_not_loaded_is_saved_again_without_being_loaded(notebook: Notebook) -> None:
    with across_kernels(notebook, "import numpy as np\na = np.ones(1_000_000)\nb = 1") as kernel:
        kernel.ok("b = 2")
        assert save(kernel) == ""
        assert "'a'" in kernel.ok("sorted(get_ipython().regrow_session.loader.pending())").result
        kill(kernel)
    with notebook.kernel() as kernel:
        assert kernel.ok("b, a.sum()").result == "(2, np.float64(1000000.0))"


def test_a_kernel_that_is_told_not_to_restores_nothing(notebook: Notebook) -> None:
    with notebook.kernel() as kernel:
        kernel.ok("x = 1")
        assert save(kernel) == ""
    with notebook.kernel(REGROW_RESTORE="no") as kernel:
        assert kernel.run("x").ename == "NameError"


def test_ten_thousand_small_variables(notebook: Notebook) -> None:
    make = "for n in range(10_000):\n    globals()[f'v{n}'] = [n]"
    with across_kernels(notebook, make) as kernel:
        assert kernel.ok("sum(globals()[f'v{n}'][0] for n in range(10_000))").result == str(sum(range(10_000)))


def test_an_object_that_is_nested_deeply(notebook: Notebook) -> None:
    make = "deep = []\nfor n in range(3_000):\n    deep = [deep]\nx = 1"
    with across_kernels(notebook, make) as kernel:
        measure = "n, d = 0, deep\nwhile d:\n    n, d = n + 1, d[0]\nn"
        assert kernel.ok(measure).result == "3000"


def test_a_notebook_that_is_renamed_while_it_is_saved_keeps_its_variables(notebook: Notebook) -> None:
    renamed = Notebook(notebook.home, "renamed.ipynb")
    with notebook.kernel() as kernel:
        kernel.ok("import numpy as np\nlarge = np.random.default_rng(0).random(8_000_000)\nx = 1")
        notebook.wait(lambda status: status.get("state") == "saving")
        request = kernel.client.session.msg("regrow_moved_request", {"path": str(renamed.path)})
        kernel.client.control_channel.send(request)
        assert kernel.client.get_control_msg(timeout=60)["content"] == {"status": "ok"}
        renamed.wait_saved()
        kill(kernel)
    with renamed.kernel() as kernel:
        assert kernel.ok("x, len(large)").result == "(1, 8000000)"
    # A new notebook of the old name is another one.
    with notebook.kernel() as kernel:
        assert kernel.run("x").ename == "NameError"


def test_what_is_kept_goes_with_a_notebook_that_is_deleted(notebook: Notebook) -> None:
    other = Notebook(notebook.home, "deep/down.ipynb")
    for each in (notebook, other):
        with each.kernel() as kernel:
            kernel.ok("x = 1")
            assert save(kernel) == ""
    forget(notebook.directory, other.path.parent)
    with other.kernel() as kernel:
        assert kernel.run("x").ename == "NameError"
    with notebook.kernel() as kernel:
        assert kernel.ok("x").result == "1"
        kill(kernel)
    forget(notebook.directory, notebook.path)
    with notebook.kernel() as kernel:
        assert kernel.run("x").ename == "NameError"


def test_a_name_that_only_a_text_has_is_loaded_for_it(notebook: Notebook) -> None:
    query = "import sys\ndef query(text):\n    return sys._getframe(1).f_globals[text.partition('@')[2]]\n"
    (notebook.path.parent / "asking.py").write_text(query)
    with across_kernels(notebook, "import sys; sys.path.insert(0, '.')\nimport asking\nlimit = [5]") as kernel:
        assert kernel.ok("asking.query('a > @limit')").result == "[5]"


def test_what_is_excluded_is_in_no_later_checkpoint_of_what_it_shares_objects_with(notebook: Notebook) -> None:
    make = "secret = ['hush']\nmodel = [secret, 1]\nmodel2 = [secret, 2]"
    with across_kernels(notebook, make) as kernel:
        kernel.ok("del model2[0], model[0]")
        kernel.ok("get_ipython().regrow_session.exclude(['secret'])")
        assert save(kernel) == ""
        kill(kernel)
    with Checkpoints(notebook.directory) as checkpoints:
        manifest = checkpoints.read(notebook.path, checkpoints.entries(notebook.path)[-1])
        content = b"".join(checkpoints.store.read(recipe) for recipe in manifest.recipes if recipe.size)
        assert {"model", "model2"} <= set(manifest.names)
        assert b"hush" not in content.replace(b"secret = ['hush']", b"")


def test_the_order_of_checkpoints_is_that_in_which_they_were_made(notebook: Notebook) -> None:
    with Checkpoints(notebook.directory) as checkpoints:
        for at in (2000.0, 1000.0):  # the clock was set back
            with checkpoints.store.writer() as writer:
                checkpoints.keep(writer, Manifest(str(notebook.path), at, f"{at}", "3.11"), notebook.path)
        assert checkpoints.read(notebook.path, checkpoints.entries(notebook.path)[-1]).at == 1000.0
        checkpoints.move(notebook.path, notebook.path)
        assert len(checkpoints.entries(notebook.path)) == 2
