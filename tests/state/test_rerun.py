"""Which cells make again what could not be kept, and in which order."""

from __future__ import annotations

import ast
from collections.abc import Iterable

import pytest

from regrow.state.manifest import Cell
from regrow.state.rerun import changes, plan

from support.sessions import Notebook, across_kernels


def cells(*sources: str) -> list[Cell]:
    """A record as a session keeps it, of cells with names alone."""
    found = []
    for count, source in enumerate(sources, 1):
        names = [node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name)]
        reads = {node.id for node in names if isinstance(node.ctx, ast.Load)}
        writes = {node.id for node in names if isinstance(node.ctx, ast.Store)}
        found.append(Cell(count, source, sorted(reads), sorted(writes)))
    return found


def counts(record: list[Cell], wanted: Iterable[str], present: Iterable[str] = ()) -> list[int]:
    return [cell.count for cell in plan(wanted, record, set(present)).cells]


def test_a_missing_names_cell_is_run_and_no_other() -> None:
    record = cells("path = 1", "connection = open(path)", "rows = list(connection)", "print(path)")
    assert counts(record, ["connection"], {"path", "rows"}) == [2]


def test_what_that_cell_reads_and_is_missing_too_is_made_first() -> None:
    record = cells("a = 1", "b = a", "c = b", "other = 2", "d = c, a")
    assert counts(record, ["d"], {"other", "a"}) == [2, 3, 5]
    assert counts(record, ["d"]) == [1, 2, 3, 5]


def test_of_several_cells_that_made_it_the_last_one_counts() -> None:
    record = cells("a = 1", "a = 2", "b = 3", "a = 4")
    assert counts(record, ["a"]) == [4]


def test_a_cell_that_made_it_of_what_it_was_needs_the_one_before() -> None:
    record = cells("a = open(1)", "a = wrap(a)", "a = a.more()")
    assert counts(record, ["a"], {"wrap", "open"}) == [1, 2, 3]


def test_a_name_is_made_as_it_was_when_it_was_read() -> None:
    record = cells("a = 1", "b = use(a)", "a = 2")
    assert counts(record, ["b"], {"use"}) == [1, 2]


def test_cells_that_changed_it_later_are_run_too() -> None:
    record = cells("log = make()", "print(log)", "log.append(1)", "log[0] = 2", "n = len(log)", "log.level.value = x")
    assert counts(record, ["log"], {"make", "x", "n"}) == [1, 3, 4, 6]


def test_what_a_function_that_is_there_reads_is_made_too() -> None:
    record = cells("lock = make()", "result = guarded()")
    found = plan(["result"], record, {"guarded", "make"}, uses=lambda name: ["lock"] if name == "guarded" else [])
    assert [cell.count for cell in found.cells] == [1, 2]


def test_a_name_that_no_cell_is_known_to_have_made_is_told() -> None:
    found = plan(["ghost", "a"], cells("a = 1"), set())
    assert (found.unknown, found.makes) == (["ghost"], {"a"})


@pytest.mark.parametrize(
    ("source", "changed"),
    [
        ("x.append(1)", True),
        ("x[0].name = 2", True),
        ("del x[0]", True),
        ("x.count += 1", True),
        ("y = x.fit(data)", True),
        ("await x.start()", True),
        ("y = x.mean()", False),
        ("print(x)", False),
        ("y[x] = 1", False),
        ("y.append(x)", False),
    ],
)
def test_which_code_changes_what_a_name_stands_for(source: str, changed: bool) -> None:
    assert changes(compile(source, "", "exec", ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), "x") is changed


def test_only_the_cells_that_are_needed_run_again(notebook: Notebook) -> None:
    with across_kernels(
        notebook,
        "import threading\nruns = []",
        "base = (n for n in range(5))",
        "runs.append('other')",
        "lock = threading.Lock()\ngen = (2 * n for n in base)\nkept = [1]",
        "kept.append(2)",
    ) as kernel:
        outcome = kernel.ok("%checkpoint rerun gen")
        assert [text for text in (each["text/plain"] for each in outcome.displays) if "Running cell" in text] == [
            "Running cell 2 again:\n  base = (n for n in range(5))",
            "Running cell 4 again:\n  lock = threading.Lock()\n  gen = (2 * n for n in base)\n  kept = [1]",
        ]
        # What was there stays as it is.
        assert kernel.ok("list(gen), kept, runs").result == "([0, 2, 4, 6, 8], [1, 2], ['other'])"
        assert kernel.ok("lock.acquire()").result == "True"
        assert kernel.ok("get_ipython().regrow_session.record.made_by['gen']").result == "4"


def test_random_numbers_go_on_where_they_were(notebook: Notebook) -> None:
    make = "import random\nrandom.seed(5)\nnoise = (random.random() for n in range(9))\nfirst = random.random()"
    with across_kernels(notebook, make, "state = random.getstate()") as kernel:
        kernel.ok("%checkpoint rerun noise")
        assert kernel.ok("random.getstate() == state").result == "True"


def test_what_a_method_of_the_notebooks_reads_is_made_too(notebook: Notebook) -> None:
    cells = ("base = (n for n in range(9))", "class Tool:\n    def take(self):\n        return (n + 1 for n in base)")
    with across_kernels(notebook, *cells, "tool = Tool()", "taken = tool.take()") as kernel:
        kernel.ok("%checkpoint rerun taken")
        assert kernel.ok("next(taken), 'base' in globals()").result == "(1, True)"


def test_a_cell_that_fails_ends_it_and_says_what_is_still_missing(notebook: Notebook) -> None:
    cells = ("flag = []", "if flag: raise OSError('not now')\ngen = (n for n in range(3))", "late = (n for n in gen)")
    with across_kernels(notebook, *cells, "flag.append(1)") as kernel:
        outcome = kernel.run("%checkpoint rerun")
        message = "Cell 2 was not run to its end: it raised OSError. Still missing: gen, late."
        assert (outcome.status, outcome.ename) == ("error", "CheckpointError")
        assert outcome.evalue.startswith(message)
        kernel.ok("flag.clear()")
        assert kernel.ok("%checkpoint rerun late").result == "gen, late are there again."
        assert kernel.ok("next(late)").result == "0"


def test_a_result_that_could_not_be_kept_is_a_result_again(notebook: Notebook) -> None:
    with across_kernels(notebook, "x = 1", "(n for n in range(3))") as kernel:
        kernel.ok("%checkpoint rerun")
        assert kernel.ok("next(Out[2])").result == "0"
        assert kernel.ok("sorted(Out)").result == "[2, 5]"
