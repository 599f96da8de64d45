"""Making again what could not be kept: which cells that takes, in which order, and running them.

A cell is run again if it made what is missing, or changed that later, or made what such a cell reads and is missing
too. What is there stays as it is: a cell that runs again binds nothing but what is missing, and random numbers go on
where they were.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from regrow.state import generators
from regrow.state.cells import codes_of, names_in_code
from regrow.state.manifest import Cell
from regrow.state.session import Session

# Methods that change their object, though what they return is used.
_CHANGING = frozenset(
    {"fit", "fit_transform", "partial_fit", "pop", "popitem", "setdefault", "load_state_dict", "execute", "send"}
)


@dataclass(frozen=True)
class Plan:
    """The `cells` to run, in order; the names that they `make`; and those that no cell is known to have made."""

    cells: list[Cell]
    makes: set[str]
    unknown: list[str]


@dataclass(frozen=True)
class Rerun:
    """What came of a plan: the names that are there again, those that are not, and the cell that failed, if any."""

    made: list[str]
    missing: list[str]
    failed: Cell | None = None
    why: str = ""


def plan(
    wanted: Iterable[str],
    cells: Sequence[Cell],
    present: Collection[str],
    uses: Callable[[str], Collection[str]] = lambda name: (),
    parse: Callable[[str], ast.AST | None] = lambda source: _parsed(source),
) -> Plan:
    """The cells of `cells`, which ran in that order, that make `wanted`, where the names in `present` are there.

    `uses` says which names the code of a function or class reads; `parse` gives a cell's syntax tree.
    """
    makers: dict[str, list[int]] = {}
    for index, cell in enumerate(cells):
        for name in cell.writes:
            makers.setdefault(name, []).append(index)
    chosen: set[int] = set()
    makes: set[str] = set()
    unknown: list[str] = []
    seen: set[tuple[str, int]] = set()
    waiting = [(name, len(cells)) for name in dict.fromkeys(wanted)]
    asked = {name for name, _ in waiting}
    while waiting:
        name, before = waiting.pop()
        if (name, before) in seen:
            continue
        seen.add((name, before))
        made_in = max((index for index in makers.get(name, ()) if index < before), default=None)
        if made_in is None:
            if name in asked and name not in makes:
                unknown.append(name)
            continue
        makes.add(name)
        changers = [
            index
            for index in range(made_in + 1, before)
            if name in cells[index].reads and changes(parse(cells[index].source), name)
        ]
        for index in (made_in, *changers):
            chosen.add(index)
            for read in _reached(cells[index].reads, present, uses):
                if read not in present:
                    waiting.append((read, index))
    return Plan([cells[index] for index in sorted(chosen)], makes, sorted(unknown))


def changes(tree: ast.AST | None, name: str) -> bool:
    """Whether code changes the object that `name` stands for, as far as its syntax tells."""
    for node in ast.walk(tree) if tree is not None else ():
        is_changed = False
        if isinstance(node, ast.Attribute | ast.Subscript):
            is_changed = not isinstance(node.ctx, ast.Load)
        elif isinstance(node, ast.Expr):
            node = node.value.value if isinstance(node.value, ast.Await) else node.value
            is_changed = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
        elif isinstance(node, ast.Call):
            is_changed = isinstance(node.func, ast.Attribute) and node.func.attr in _CHANGING
        if is_changed and _root(node) == name:
            return True
    return False


def missing(session: Session) -> list[str]:
    """The names that the session had, and its kernel has not."""
    there = session.variables.snapshot()
    lost = [each.name for each in session.status.not_restored]
    return [name for name in dict.fromkeys([*lost, *sorted(session.excluded)]) if name not in there]


def plan_for(session: Session, names: Iterable[str]) -> Plan:
    """The cells of the session that make `names`."""
    parse = _transformed(session.shell)
    return plan(names, session.cells, session.variables.snapshot(), lambda name: _uses(session, name), parse)


def run(session: Session, plan: Plan, show: Callable[[Cell], None]) -> Rerun:
    """Run the cells of `plan`, each after `show` was called with it, until one fails."""
    failed, why = None, ""
    for cell in plan.cells:
        show(cell)
        if session.shell.should_run_async(cell.source, transformed_cell=session.shell.transform_cell(cell.source)):
            failed, why = cell, "it has an await outside of a function, so that it has to be run by hand"
            break
        result = _run_one(session, cell, plan.makes)
        if not result.success:
            failed, why = cell, f"it raised {type(result.error_in_exec or result.error_before_exec).__name__}"
            break
    there = session.variables.snapshot()
    session.status.not_restored = [each for each in session.status.not_restored if each.name not in there]
    made = sorted(name for name in plan.makes if name in there)
    return Rerun(made, sorted({*plan.makes, *plan.unknown} - there.keys()), failed, why)


def _run_one(session: Session, cell: Cell, makes: Collection[str]) -> Any:
    variables = session.variables
    stay = [name for name in cell.writes if name not in makes and name in variables.snapshot()]
    session.load(stay)
    before = variables.snapshot()
    random_numbers = generators.states()
    # It is not a new cell: what the record says of the cell that it was holds again.
    result = session.shell.run_cell(cell.source, store_history=False)
    for name in set(variables.snapshot()) - before.keys():
        if name.startswith("Out["):
            del variables[name]
    for name in stay:
        if name in before:
            variables[name] = before[name]
    if (own := f"Out[{cell.count}]") in makes and result.success:
        variables[own] = result.result
    generators.set_states(random_numbers)
    session.record.rebase()
    return result


def _reached(reads: Iterable[str], present: Collection[str], uses: Callable[[str], Collection[str]]) -> set[str]:
    """The names that code which reads `reads` may read, through functions and classes that are there."""
    found: set[str] = set()
    waiting = list(reads)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += uses(name) if name in present else ()
    return found


def _uses(session: Session, name: str) -> list[str]:
    if session.loader is not None and (known := session.loader.uses(name)):
        return list(known)
    value = session.variables.snapshot().get(name)
    kind = type(value)
    code = [*codes_of(value), *(codes_of(kind) if kind.__module__ == "__main__" else ())]
    return [each for one in code for each in names_in_code(one)]


def _transformed(shell: Any) -> Callable[[str], ast.AST | None]:
    def parse(source: str) -> ast.AST | None:
        return _parsed(shell.transform_cell(source))

    return parse


def _parsed(source: str) -> ast.AST | None:
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError):
        return None


def _root(node: ast.AST) -> str:
    """The name that an expression such as `a.b[c].d` begins with."""
    return next((each.id for each in _down(node) if isinstance(each, ast.Name)), "")


def _down(node: ast.AST) -> Iterator[ast.AST]:
    while True:
        yield node
        if isinstance(node, ast.Call):
            node = node.func
        elif isinstance(node, ast.Attribute | ast.Subscript | ast.Starred):
            node = node.value
        else:
            return
