"""Each kind of variable of docs/state-support.md, made with the real library in a real kernel, saved, killed, restored.

The kinds are in kinds/. All of a kernel's are made in one session, a cell each, and looked at in the next.
"""

from __future__ import annotations

import ast
import dis
import json
import os
from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from regrow.state.checkpoints import Checkpoints, find
from regrow.state.places import status_file

from .kinds import LIBRARIES
from .kinds.kind import LOST, NOTED, Kind, Library
from .kinds.page import page
from support.real_kernel import Kernel, a_kernel

PAGE = Path(__file__).parents[2] / "docs/state-support.md"
KERNELS = sorted({library.kernel for library in LIBRARIES})
# Imports of large libraries, twice, on a machine that does other things too.
TIMEOUT_S = 120


@dataclass
class Ran:
    """What came of a kernel's kinds: problems by title, and what was told of each name, `~` for the home."""

    problems: dict[str, str] = field(default_factory=dict)
    skipped: set[str] = field(default_factory=set)
    notes: dict[str, str] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)
    reasons_later: dict[str, str] = field(default_factory=dict)


def kinds_of(kernel: str) -> list[Kind]:
    return [kind for library in LIBRARIES if library.kernel == kernel for kind in library.kinds]


@cache
def ran(kernel: str) -> Ran:
    """The kinds of `kernel`, run once for all tests."""
    outcome = Ran()
    kinds = kinds_of(kernel)
    with TemporaryDirectory() as folder:
        home = Path(folder)
        env = {"JPY_SESSION_NAME": str(home / "n.ipynb")}
        with a_kernel(home, env) as first:
            for kind in kinds:
                if kind.needs_gpu and first.ok("import torch; torch.cuda.is_available()").result != "True":
                    outcome.skipped.add(kind.title)
                    continue
                made = first.run(kind.make, TIMEOUT_S)
                if made.status != "ok":
                    outcome.problems[kind.title] = f"making it failed:\n{made.traceback}"
            problem = save(first)
            assert problem == "", problem
            outcome.reasons = _reasons(home)
            outcome.notes = _notes(home)
        # Leaving a kernel kills it: nothing of it runs any more.
        with a_kernel(home, env) as second:
            for kind in kinds:
                if kind.title in outcome.problems or kind.title in outcome.skipped or not kind.check:
                    continue
                checked = second.run(kind.check, TIMEOUT_S)
                if checked.status != "ok":
                    outcome.problems[kind.title] = (
                        f"{checked.stderr}\n{checked.ename}: {checked.evalue}\n{checked.traceback}"
                    )
            problem = save(second)
            assert problem == "", problem
            outcome.reasons_later = _reasons(home)
    return outcome


def save(kernel: Kernel) -> str:
    """What could not be done, in words."""
    return kernel.ok("print(get_ipython().regrow_session.save('test'), end='')", TIMEOUT_S).stdout.strip()


def _reasons(home: Path) -> dict[str, str]:
    """Why names are not saved, as the kernel's status says it."""
    status = json.loads(status_file(home / ".local/share/regrow/state", home / "n.ipynb").read_text())
    return {each["name"]: _said(each["reason"], home) for each in status["not_saved"]}


def _notes(home: Path) -> dict[str, str]:
    """What the last checkpoint says of names that come back other than they were."""
    notes: dict[str, str] = {}
    with Checkpoints(home / ".local/share/regrow/state") as checkpoints:
        manifest = checkpoints.read(home / "n.ipynb", find(checkpoints.entries(home / "n.ipynb"), ""))
    for group in manifest.groups:
        notes |= {name: _said(text, home) for name, text in group.notes.items() if name in group.names}
    return notes


def _said(text: str, home: Path) -> str:
    return text.replace(str(home), "~")


def parameters() -> list[object]:
    found = []
    for library in LIBRARIES:
        for kind in library.kinds:
            found.append(pytest.param(library, kind, id=f"{library.title}-{kind.title}".replace(" ", "-")))
    return found


@pytest.mark.timeout(600)
@pytest.mark.parametrize(("library", "kind"), parameters())
def test_a_kind_of_variable_comes_back_or_is_told(library: Library, kind: Kind) -> None:
    outcome = ran(library.kernel)
    if kind.title in outcome.skipped:
        pytest.skip("needs a GPU")
    told = {name: outcome.reasons.get(name, "") for name in kind.names}
    noted = {name: outcome.notes.get(name, "") for name in kind.names}
    problem = outcome.problems.get(kind.title, "")
    made = names_made_by(kind)
    if kind.outcome == LOST:
        assert told == dict.fromkeys(kind.names, kind.says), problem
    else:
        lost = {name: outcome.reasons[name] for name in made if name in outcome.reasons}
        assert not lost, problem
        assert noted == dict.fromkeys(kind.names, kind.says if kind.outcome == NOTED else ""), problem
    if kind.outcome != NOTED:
        assert not {name: outcome.notes[name] for name in made if name in outcome.notes}
    assert not problem, problem


@pytest.mark.timeout(600)
@pytest.mark.parametrize("kernel", KERNELS)
def test_what_came_back_can_be_saved_again(kernel: str) -> None:
    outcome = ran(kernel)
    later = {name: why for name, why in outcome.reasons_later.items() if name not in outcome.reasons}
    assert later == {}


@pytest.mark.parametrize("kernel", KERNELS)
def test_no_two_kinds_of_a_kernel_make_the_same_name(kernel: str) -> None:
    counts = Counter(name for kind in kinds_of(kernel) for name in names_made_by(kind))
    assert [name for name, count in counts.items() if count > 1] == []
    titles = Counter(kind.title for kind in kinds_of(kernel))
    assert [title for title, count in titles.items() if count > 1] == []


def names_made_by(kind: Kind) -> set[str]:
    """The names that the cell which makes it binds, but for what it imports."""
    steps = list(dis.get_instructions(compile(kind.make, "cell", "exec")))
    bound = {step.argval for step in steps if step.opname == "STORE_NAME"}
    deleted = {step.argval for step in steps if step.opname == "DELETE_NAME"}
    imported = {
        (alias.asname or alias.name).partition(".")[0]
        for node in ast.walk(ast.parse(kind.make))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    return bound - deleted - imported - {"_"}


def test_the_page_says_what_the_kinds_say() -> None:
    made = page(LIBRARIES)
    if os.environ.get("REGROW_WRITE_DOCS"):
        PAGE.write_text(made)
    assert PAGE.read_text() == made, "Make it again: REGROW_WRITE_DOCS=1 pytest tests/state/test_kinds.py -k page"
