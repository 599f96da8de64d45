"""`%checkpoint` and `%%nosave` in kernels of notebooks."""

from __future__ import annotations

import re
import stat
import time
from pathlib import Path

import pytest

from regrow.state.checkpoints import Checkpoints

from support.real_kernel import Kernel, Outcome, a_kernel
from support.sessions import Notebook, across_kernels, kill, save


@pytest.fixture
def notebook(tmp_path: Path) -> Notebook:
    """A notebook in a home of its own."""
    return Notebook(tmp_path / "home")


def shown(outcome: Outcome) -> str:
    return "\n".join(each["text/plain"] for each in outcome.displays)


def html(outcome: Outcome) -> str:
    return "\n".join(each.get("text/html", "") for each in outcome.displays)


def last(notebook: Notebook, back: int = 1) -> str:
    """The id of a checkpoint, counted from the newest."""
    with Checkpoints(notebook.directory) as checkpoints:
        return checkpoints.entries(notebook.path)[-back].id


def refused(kernel: Kernel, line: str) -> str:
    """What the notebook shows of a line that is refused: one message."""
    outcome = kernel.run(line)
    assert outcome.status == "error" and outcome.ename in ("CheckpointError", "OptionError"), outcome
    assert "Traceback" not in outcome.traceback and len(outcome.traceback.splitlines()) == 1
    return outcome.evalue


def test_saving_says_what_was_saved_and_what_was_not(notebook: Notebook) -> None:
    with notebook.kernel() as kernel:
        kernel.ok("import numpy as np\na = np.ones(200_000)\ngen = (n for n in range(3))")
        outcome = kernel.ok("%checkpoint")
        assert re.search(r"Saved: 2 variables, 1\.5 MiB, of which 1\.5 MiB are new\.", shown(outcome))
        assert re.search(r"gen +In\[1\] +a generator can't be kept", shown(outcome))
        assert "<td" in html(outcome)
        again = kernel.ok("b = 1\n%checkpoint save")
        assert re.search(r"of which \d+ B are new", shown(again))
        assert "gen is not saved" not in again.stderr + kernel.ok("b").stderr
        kill(kernel)
    with notebook.kernel() as kernel:
        assert kernel.ok("a.sum(), b").result == "(np.float64(200000.0), 1)"


def test_the_list_says_after_which_cell_and_what_has_changed(notebook: Notebook) -> None:
    with notebook.kernel() as kernel:
        kernel.ok("x = [1]\ny = 2")
        save(kernel)
        kernel.ok("x.append(2)\nz = 3\ndel y")
        kernel.ok("%checkpoint")
        listed = shown(kernel.ok("%checkpoint list")).splitlines()
    assert re.search(r"\d{13}  \d{4}-\d\d-\d\d \d\d:\d\d:\d\d  In\[\d\] +\d+ B  new z; changed x; gone y", listed[1])
    assert "new x, y" in listed[-2]


def test_a_notebook_without_checkpoints_says_so(notebook: Notebook) -> None:
    with notebook.kernel() as kernel:
        assert "Nothing of this notebook has been saved yet" in shown(kernel.ok("%checkpoint list"))
        assert "Nothing of this notebook has been saved yet" in refused(kernel, "%checkpoint show")


def test_sizes_are_shown_by_variable_the_largest_first(notebook: Notebook) -> None:
    with notebook.kernel() as kernel:
        kernel.ok("import numpy as np\nlarge = np.ones(300_000)")
        kernel.ok("small = np.ones(75_000)\nview = small[:5]\ngen = (n for n in range(3))")
        kernel.ok("%checkpoint save")
        outcome = kernel.ok("%checkpoint show")
    lines = shown(outcome).splitlines()
    assert re.match(r"large +numpy.ndarray +2.3 MiB +█{20} +In\[1\]", lines[2])
    assert re.match(r"small, view +numpy.ndarray +58\d.\d KiB +█{5} +In\[2\]", lines[3])
    assert re.match(r"gen +In\[2\] +a generator can't be kept", lines[-1])
    assert "width:100.0%" in html(outcome) and "width:25.0%" in html(outcome)


def test_a_kernel_goes_back_to_a_cell_and_forward_again(notebook: Notebook) -> None:
    with notebook.kernel() as kernel:
        kernel.ok("x = [1]\nwho = 'first'")
        save(kernel)
        kernel.ok("x.append(2)\nlater = 1\n5 * 5")
        restored = kernel.ok("%checkpoint restore In[1]")
        assert "2 variables are back" in shown(restored)
        assert kernel.ok("x, who, 'later' in globals(), sorted(Out)").result == "([1], 'first', False, [])"
        undo = re.search(r"%checkpoint restore (\d{13})` brings back what was here before", shown(restored))
        assert undo
        kernel.ok(f"%checkpoint restore {undo[1]}")
        assert kernel.ok("x, later, Out[3]").result == "([1, 2], 1, 25)"


def test_what_was_restored_is_what_the_next_kernel_has(notebook: Notebook) -> None:
    with notebook.kernel() as kernel:
        kernel.ok("x = 'old'")
        save(kernel)
        kernel.ok("x = 'new'")
        kernel.ok("%checkpoint save")
        kernel.ok("%checkpoint restore -1")
        began = time.time()
        kernel.ok("y = 1")
        notebook.wait_saved(began)
        kill(kernel)
    with notebook.kernel() as kernel:
        assert (
            kernel.ok("x, y, len(In), [cell for cell in In if 'checkpoint' + ' ' in cell]").result
            == "('old', 1, 5, [])"
        )


def test_values_are_loaded_at_once_where_that_is_wanted(notebook: Notebook) -> None:
    with notebook.kernel() as kernel:
        kernel.ok("x = [1]\ny = 2")
        kernel.ok("%checkpoint save")
        pending = "len(get_ipython().regrow_session.loader.pending())"
        kernel.ok("%checkpoint restore")
        assert kernel.ok(pending).result == "2"
        kernel.ok("%checkpoint restore --eager")
        assert kernel.ok(pending).result == "0"


def test_a_checkpoint_that_is_not_there_is_refused_and_nothing_changes(notebook: Notebook) -> None:
    with notebook.kernel() as kernel:
        kernel.ok("x = 1")
        kernel.ok("%checkpoint")
        assert "There is no checkpoint 123" in refused(kernel, "%checkpoint restore 123")
        assert "Nothing was saved 2d ago or earlier" in refused(kernel, "%checkpoint restore 2d")
        assert "There are checkpoints from after In[" in refused(kernel, "%checkpoint restore In[99]")
        assert kernel.ok("x").result == "1"


def test_going_back_holds_no_more_files_open_each_time(notebook: Notebook) -> None:
    look = "import os; len([n for n in os.listdir('/proc/self/fd') if 'regrow/state' in os.path.realpath(f'/proc/self/fd/{n}')])"
    with notebook.kernel() as kernel:
        kernel.ok("import numpy as np\nx = np.zeros(1_000_000)")
        assert save(kernel) == ""
        kernel.ok("y = [1]")
        assert save(kernel) == ""
        first = last(notebook, 2)
        for _ in range(2):
            kernel.ok(f"%checkpoint restore {first}")
            refused(kernel, "%checkpoint restore 123")
        before = int(kernel.ok(look).result)
        for _ in range(5):
            kernel.ok(f"%checkpoint restore {first}")
            refused(kernel, "%checkpoint restore 123")
        # A save may be under way.
        assert int(kernel.ok(look).result) <= before + 2
        assert kernel.ok("x.sum()").result == "np.float64(0.0)"


def test_a_restored_kernel_is_saved_before_also_where_no_cell_named_the_change(notebook: Notebook) -> None:
    with notebook.kernel() as kernel:
        kernel.ok("import json\nhidden = json.ours = [1]")
        kernel.ok("%checkpoint")
        kernel.ok("getattr(json, 'ours').append(2)")
        restored = kernel.ok("%checkpoint restore")
        undo = re.search(r"%checkpoint restore (\d{13})", shown(restored))
        assert undo
        assert kernel.ok("hidden").result == "[1]"
        kernel.ok(f"%checkpoint restore {undo[1]}")
        assert kernel.ok("hidden").result == "[1, 2]"


def test_a_checkpoint_that_was_changed_is_refused(notebook: Notebook) -> None:
    with notebook.kernel() as kernel:
        kernel.ok("x = 1")
        kernel.ok("%checkpoint")
        kernel.ok("%cd -q .")
        key = notebook.directory / "key"
        key.write_bytes(bytes(byte ^ 1 for byte in key.read_bytes()))
        assert "somebody else made it" in refused(kernel, f"%checkpoint restore {last(notebook)}")
        assert "can't be read: it was changed since" in shown(kernel.ok("%checkpoint list"))


def test_excluded_names_are_not_kept_until_they_are_included(notebook: Notebook) -> None:
    with notebook.kernel() as kernel:
        kernel.ok("a = 1\nb = 2")
        assert "There is no variable c. There are: a, b." in refused(kernel, "%checkpoint exclude c")
        kernel.ok("%checkpoint exclude a")
        assert shown(kernel.ok("%checkpoint exclude")) == "Kept out of checkpoints: a."
        assert "you have excluded it" in shown(kernel.ok("%checkpoint"))
        kill(kernel)
    with notebook.kernel() as kernel:
        assert kernel.run("a").ename == "NameError"
        assert kernel.ok("b").result == "2"
        assert "Checkpoints are not without b. They are without: a." in refused(kernel, "%checkpoint include b")
        kernel.ok("%checkpoint include a")
        kernel.ok("a = 3")
        save(kernel)
        kill(kernel)
    with notebook.kernel() as kernel:
        assert kernel.ok("a").result == "3"


def test_what_a_nosave_cell_binds_is_not_kept_until_another_cell_binds_it(notebook: Notebook) -> None:
    with notebook.kernel() as kernel:
        kernel.ok("%%nosave\nsecret = 'word'\nscratch = [1]\nfor n in range(2): pass\nlen(secret)")
        kernel.ok("secret\nother = 1")
        kernel.ok("scratch = 'mine'")
        save(kernel)
        kill(kernel)
    with notebook.kernel() as kernel:
        assert kernel.ok("scratch, other").result == "('mine', 1)"
        for name in ("secret", "n", "Out[1]"):
            assert kernel.run(name).status == "error"
        assert kernel.ok("%checkpoint exclude").result == "Kept out of checkpoints: Out[1], n, secret."


def test_what_a_line_names_is_not_loaded_for_that(notebook: Notebook) -> None:
    with across_kernels(notebook, "large, other = [1], [2]") as kernel:
        kernel.ok("%checkpoint exclude large")
        pending = kernel.ok("sorted(get_ipython().regrow_session.loader.pending())").result
        assert pending == "['large', 'other']"
        save(kernel)
        kill(kernel)
    with notebook.kernel() as kernel:
        assert kernel.ok("other, 'large' in globals()").result == "([2], False)"


def test_what_was_excluded_by_name_stays_so_when_it_is_bound_again(notebook: Notebook) -> None:
    with notebook.kernel() as kernel:
        kernel.ok("a = 1")
        kernel.ok("%checkpoint exclude a")
        kernel.ok("a = 2")
        assert kernel.ok("%checkpoint exclude").result == "Kept out of checkpoints: a."


def test_a_nosave_cell_runs_like_any_other(notebook: Notebook) -> None:
    with notebook.kernel() as kernel:
        failed = kernel.run("%%nosave\na = 1\n1 / 0")
        assert "----> 3 1 / 0" in re.sub(r"\x1b\[\d+m", "", failed.traceback)
        assert kernel.ok("%%nosave\nimport asyncio\nawait asyncio.sleep(0, 'done')").result == "'done'"
        assert kernel.ok("%%nosave\n%%capture c\nprint('hidden')").stdout == ""
        assert "keep what it binds out of checkpoints" in kernel.ok("%nosave --help").stdout
        assert "first line of a cell" in refused(kernel, "%nosave")
        assert "does not know 'x'" in refused(kernel, "%%nosave x\ny = 1")


def test_a_nosave_cell_is_an_ordinary_cell_where_nothing_is_saved(tmp_path: Path) -> None:
    with a_kernel(tmp_path, {}) as kernel:
        assert kernel.ok("%%nosave\na = 1\na").result == "1"
        assert "This kernel has no notebook" in refused(kernel, "%checkpoint list")


def test_below_the_first_cell_stands_what_is_missing_with_a_button(notebook: Notebook) -> None:
    with across_kernels(notebook, "gen = (n for n in range(3))\nx = 1") as kernel:
        outcome = kernel.ok("print(x)")
        assert re.search(r"gen +In\[1\] +a generator can't be kept", shown(outcome))
        assert "<td" in html(outcome)
        view = next(data for data in outcome.displays if "application/vnd.jupyter.widget-view+json" in data)
        assert view["text/plain"] == ""
        # What the front end does when the button is clicked.
        kernel.ok(
            "import ipywidgets\n"
            "(button,) = [w for w in ipywidgets.Widget.widgets.values() if isinstance(w, ipywidgets.Button)]\n"
            "button.click()"
        )
        assert kernel.ok("next(gen), button.disabled").result == "(0, True)"
        assert "Nothing is missing" in shown(kernel.ok("%checkpoint rerun"))


def test_where_there_are_no_widgets_the_text_says_what_to_type(notebook: Notebook) -> None:
    without = notebook.home / "without/ipywidgets.py"
    without.parent.mkdir(parents=True)
    without.write_text("raise ImportError('not here')\n")
    with notebook.kernel() as kernel:
        kernel.ok("gen = (n for n in range(3))")
        save(kernel)
    with notebook.kernel(PYTHONPATH=str(without.parent)) as kernel:
        outcome = kernel.ok("1")
        assert "`%checkpoint rerun` runs the cells" in shown(outcome)
        assert not any("application/vnd.jupyter.widget-view+json" in data for data in outcome.displays)


def test_names_that_can_not_be_made_again_are_refused_by_name(notebook: Notebook) -> None:
    with across_kernels(notebook, "gen = (n for n in range(3))\nx = 1") as kernel:
        assert "x is there: nothing has to be run for it. Missing: gen." in refused(kernel, "%checkpoint rerun x")
        assert "No cell has made nothing. Missing: gen." in refused(kernel, "%checkpoint rerun nothing")


def test_checkpoints_are_deleted_one_or_all(notebook: Notebook) -> None:
    with across_kernels(notebook, "x = [1]", "y = 2") as kernel:
        first = last(notebook)
        kernel.ok("y = 3")
        kernel.ok("%checkpoint")
        assert "Say which one, or --all" in refused(kernel, "%checkpoint delete")
        assert f"The checkpoint {first} is deleted" in shown(kernel.ok(f"%checkpoint delete {first}"))
        assert "There is no checkpoint" in refused(kernel, f"%checkpoint restore {first}")
        assert "deleted" in shown(kernel.ok("%checkpoint delete --all"))
        save(kernel)
        kill(kernel)
    with notebook.kernel() as kernel:
        assert kernel.ok("x, y").result == "([1], 3)"


def test_who_is_trusted_is_listed_and_kept_for_the_user_alone(notebook: Notebook) -> None:
    with notebook.kernel() as kernel:
        assert shown(kernel.ok("%checkpoint trust")) == "Nobody is trusted."
        kernel.ok("%checkpoint trust ada")
        kernel.ok("%checkpoint trust bob")
        assert shown(kernel.ok("%checkpoint trust")) == "Trusted: ada, bob."
        kernel.ok("%checkpoint untrust bob")
        assert "bob is not trusted. Trusted: ada." in refused(kernel, "%checkpoint untrust bob")
    file = notebook.directory / "trusted.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_wrong_lines_are_explained(notebook: Notebook) -> None:
    with notebook.kernel() as kernel:
        assert "There is no %checkpoint 'paint'. There are: save, list" in refused(kernel, "%checkpoint paint")
        assert "can't do with 'more'" in refused(kernel, "%checkpoint list more")
        assert "%checkpoint include needs NAMES" in refused(kernel, "%checkpoint include")
        assert "has no option --fast" in refused(kernel, "%checkpoint restore --fast")
        assert "Close the quotes" in refused(kernel, '%checkpoint show "')
        assert "%checkpoint COMMAND" in kernel.ok("%checkpoint --help").stdout
        assert "--eager" in kernel.ok("%checkpoint restore --help").stdout


def test_the_tab_key_knows_commands_checkpoints_and_names(notebook: Notebook) -> None:
    with across_kernels(notebook, "gen = (n for n in range(3))\nlarge = 1") as kernel:
        kernel.ok("1")
        for text, expected in (
            ("%checkpoint re", ["rerun", "restore"]),
            ("%checkpoint rerun g", ["gen"]),
            ("%checkpoint exclude la", ["large"]),
            (f"%checkpoint show {last(notebook)[:5]}", [last(notebook)]),
            ("%checkpoint restore --e", ["--eager"]),
        ):
            matches = kernel.complete(text)
            assert set(expected) <= set(matches), (text, matches)
