"""How the example notebooks are run, and what must be true of them afterwards.

This is the same in a process and in a container: put the notebook into the folder of the example's project,
run `command(example)` there in the environment of a server's terminal, read the notebook back, and give it to
`example.check`. Examples that belong together stand in `TOGETHER`, in the order in which they are run, on one
home and one `$BUILD`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from nbformat import NotebookNode

FOLDER = Path(__file__).parents[2] / "examples"


@dataclass(frozen=True)
class Example:
    """One notebook, the project that it is opened in, and what its outputs must say."""

    path: str
    project: str
    check: Callable[[NotebookNode], None]

    @property
    def source(self) -> Path:
        """The notebook as it is in git."""
        return FOLDER / self.path

    @property
    def name(self) -> str:
        """The notebook's name in its project."""
        return self.source.name


def command(example: Example, jupyter: str = "jupyter") -> list[str]:
    """What runs a notebook in the current folder and keeps its outputs in it; status 1 if a cell failed."""
    return [jupyter, "execute", "--inplace", example.name]


def text_of(notebook: NotebookNode, cell_id: str) -> str:
    """All that a cell printed or showed as text."""
    return "".join(
        output.get("text", "") or output.get("data", {}).get("text/plain", "") for output in _outputs(notebook, cell_id)
    )


def pictures_of(notebook: NotebookNode, cell_id: str) -> int:
    """How many pictures a cell shows."""
    return sum("image/png" in output.get("data", {}) for output in _outputs(notebook, cell_id))


def _outputs(notebook: NotebookNode, cell_id: str) -> Sequence[NotebookNode]:
    return next(cell.outputs for cell in notebook.cells if cell.id == cell_id)


def _number(pattern: str, text: str) -> float:
    found = re.search(pattern, text)
    assert found, f"no {pattern!r} in {text!r}"
    return float(found[1])


def check_built_library(notebook: NotebookNode) -> None:
    """CMake installed the library, a C++ cell reads with it what Python reads, `%build` knows who did it."""
    installed = text_of(notebook, "build")
    for file in (
        "lib/libsimdjson.so",
        "include/simdjson.h",
        "pkgconfig/simdjson.pc",
        "simdjson-config.cmake",
    ):
        assert re.search(rf"Installing: \S+/local/\S*{re.escape(file)}", installed), installed
    counted, speed = text_of(notebook, "parse").splitlines()
    assert counted == text_of(notebook, "check").strip()
    assert _number(r"([\d,]+) icons", counted) > 1000
    assert _number(r"at ([\d.e+-]+) GB/s", speed) > 0
    _check_build_listing(text_of(notebook, "installed"))


def check_used_library(notebook: NotebookNode) -> None:
    """The library was found from a project that has nothing of it, and reads faster than Python does."""
    assert text_of(notebook, "nothing-here").split() == ["use_library.ipynb", "3.12.3"]
    assert _number(r"(\d+) different terms, the same in both", text_of(notebook, "same")) > 1000
    speed = text_of(notebook, "speed")
    assert _number(r"simdjson takes ([\d.]+) ms", speed) < _number(r"Python ([\d.]+) ms", speed)
    assert pictures_of(notebook, "plot") == 1
    _check_build_listing(text_of(notebook, "installed"))


def _check_build_listing(listing: str) -> None:
    """`%build` has a line that names simdjson and the project that installed it."""
    assert [line for line in listing.splitlines() if "simdjson" in line and "library" in line], listing


def check_trained_digits(notebook: NotebookNode) -> None:
    """Over 95 % of the digits that it had not seen are read right, and the model is in the project."""
    assert _number(r"test accuracy: ([\d.]+)", text_of(notebook, "accuracy")) > 0.95
    assert [pictures_of(notebook, cell) for cell in ("data", "loss-curve", "mistakes")] == [1, 1, 1]
    assert _number(r"digits\.pt: (\d+) KiB", text_of(notebook, "save")) > 0


def check_used_digits(notebook: NotebookNode) -> None:
    """The model that was found again reads exactly as well as before."""
    before = _number(r"was ([\d.]+)", text_of(notebook, "load"))
    assert _number(r"test accuracy: ([\d.]+)", text_of(notebook, "again")) == before > 0.95
    assert pictures_of(notebook, "one") == 1


TOGETHER = {
    "cpp_library": (
        Example("cpp_library/build_library.ipynb", "library", check_built_library),
        Example("cpp_library/use_library.ipynb", "icons", check_used_library),
    ),
    "digits": (
        Example("digits/train_digits.ipynb", "digits", check_trained_digits),
        Example("digits/use_digits.ipynb", "digits", check_used_digits),
    ),
}
