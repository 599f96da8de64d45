"""Functions and classes of the notebook by value: what of their cell's text goes with them."""

from __future__ import annotations

import inspect
import linecache
import re
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from regrow.state.bundle import for_others, write
from regrow.state.checkpoints import Checkpoints, find
from regrow.state.pickling import Context, dump, load
from regrow.state.spill import Spill

from support.sessions import Notebook, across_kernels

FILE = "<a cell>"
CELL = '''\
KEY = "sk-in-the-cell"

def plain(n):
    """Ü: says what it does."""
    text = f"""of
several lines"""
    return n / 0

def make(password="sk-of-the-maker"):
    other = "sk-in-the-maker"
    def inner():
        return 1 / 0
    return inner

inner = make()
first, key, second = lambda n: n / 0, "sk-beside-a-lambda", lambda n: (
    n / 1
)

class Tool:
    secret = len("sk-in-a-class")

    @staticmethod
    def use():
        raise ValueError("used")

made = sorted([len(str(n)) for n in range(3)], key=lambda n: -n)
'''


@pytest.fixture
def cell() -> Iterator[dict[str, Any]]:
    """What the cell has made."""
    values: dict[str, Any] = {"__name__": "__main__"}
    linecache.cache[FILE] = (len(CELL), None, CELL.splitlines(keepends=True), FILE)
    exec(compile(CELL, FILE, "exec"), values)
    yield values
    linecache.cache.pop(FILE, None)


@pytest.fixture
def pickled(tmp_path: Path) -> Callable[..., bytes]:
    """The pickle of values by name."""

    def make(**values: Any) -> bytes:
        output = Spill(tmp_path)
        dump(values, Context({}), output, [])
        return bytes(output.view())

    return make


def _nothing(name: str) -> Any:
    raise KeyError(name)


def loaded(pickle: bytes) -> dict[str, Any]:
    """What comes back in a kernel that knows nothing of the cell."""
    linecache.cache.pop(FILE, None)
    values: dict[str, Any] = load(pickle, [], False, _nothing)
    return values


def test_a_function_takes_no_other_lines_of_its_cell_with_it(
    cell: dict[str, Any], pickled: Callable[..., bytes]
) -> None:
    for name in ("plain", "inner", "first", "second"):
        assert b"sk-" not in pickled(value=cell[name]), name
    assert b"sk-" not in pickled(Tool=cell["Tool"])
    assert b"sk-of-the-maker" in pickled(make=cell["make"])
    assert b"sk-in-the-cell" not in pickled(make=cell["make"])


def test_the_source_of_what_comes_back_is_found(cell: dict[str, Any], pickled: Callable[..., bytes]) -> None:
    functions = {"plain": cell["plain"], "inner": cell["inner"], "use": cell["Tool"].use, "second": cell["second"]}
    sources = {name: inspect.getsource(function) for name, function in functions.items()}
    back = loaded(pickled(**functions))
    for name in ("plain", "inner", "use"):
        assert inspect.getsource(back[name]) == sources[name]
    assert "lambda n: (" in inspect.getsource(back["second"])
    assert "sk-" not in "".join(linecache.getlines(FILE))


def test_functions_of_a_cell_that_come_back_one_by_one_share_its_text(
    cell: dict[str, Any], pickled: Callable[..., bytes]
) -> None:
    one, other = pickled(f=cell["second"], g=cell["plain"]), pickled(f=cell["first"])
    back = loaded(one)["g"]
    load(other, [], False, _nothing)
    assert linecache.getline(FILE, 16).split() == ["lambda", "n:", "n", "/", "0", "lambda", "n:", "("]
    assert inspect.getsource(back) == "".join(CELL.splitlines(keepends=True)[2:7])


def test_another_text_under_the_same_name_is_left_alone(cell: dict[str, Any], pickled: Callable[..., bytes]) -> None:
    pickle = pickled(f=cell["plain"])
    other = ["# Something\n", "# else\n", "# here\n"]
    linecache.cache[FILE] = (30, None, other, FILE)
    load(pickle, [], False, _nothing)
    assert linecache.cache[FILE][2] == other  # type: ignore[misc]


def test_a_traceback_shows_the_right_line(cell: dict[str, Any], pickled: Callable[..., bytes]) -> None:
    back = loaded(pickled(plain=cell["plain"], inner=cell["inner"]))
    for name, line in (("plain", "return n / 0"), ("inner", "return 1 / 0")):
        with pytest.raises(ZeroDivisionError) as raised:
            back[name](*[1] * (name == "plain"))
        assert traceback.extract_tb(raised.value.__traceback__)[-1].line == line


def test_code_whose_text_is_not_python_has_none(cell: dict[str, Any], pickled: Callable[..., bytes]) -> None:
    linecache.cache[FILE] = (4, None, ["sk-1 is\n", "no code\n"], FILE)
    assert b"sk-" not in pickled(value=cell["inner"])


def test_a_word_in_a_cell_is_in_no_bundle(notebook: Notebook, tmp_path: Path) -> None:
    secret = "KEY = 'sk-12345'\ndef f():\n    return 1 / 0\nclass C:\n    def m(self):\n        return f()\ndel KEY"
    with across_kernels(notebook, secret) as kernel:
        assert kernel.ok("import inspect\ninspect.getsource(f)").result == repr("def f():\n    return 1 / 0\n")
        shown = re.sub(r"\x1b\[[0-9;]*m", "", kernel.run("C().m()").traceback)
        assert re.search(r"-> 3 +return 1 / 0", shown)
        assert re.search(r"-> 6 +return f\(\)", shown)
    with Checkpoints(notebook.directory) as checkpoints:
        manifest = checkpoints.read(notebook.path, find(checkpoints.entries(notebook.path), ""))
        with (tmp_path / "bundle").open("wb") as output:
            write(output, for_others(manifest, notebook.path.parent, {"nothing"}), checkpoints)
    content = (tmp_path / "bundle").read_bytes()
    assert b"def f():" in content
    assert b"sk-12345" not in content
