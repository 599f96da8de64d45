"""Which names a cell reads and binds, from its syntax tree: what has to be there before it runs, and what it may have
changed.

After the idea of ElasticNotebook (Li et al., VLDB 2023) and Kishu (Li et al., arXiv 2406.13856): a cell can only reach
objects by way of the names that it, or code that it calls, reads.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import CodeType, FunctionType
from typing import Any

#: A cell that uses one of these may reach any name.
REFLECTIVE = frozenset(
    {
        *("globals", "locals", "vars", "dir", "eval", "exec", "compile", "__main__", "user_ns", "user_global_ns"),
        *("f_globals", "f_locals", "__globals__", "gc", "sys", "inspect", "currentframe", "_getframe", "pdb"),
        *("breakpoint", "run_cell", "ex", "ev"),
    }
)
# `import sys` alone reaches nothing: these do.
_THROUGH_MODULES = frozenset({"modules", "_getframe", "get_objects", "currentframe", "stack", "getmembers"})
_NEEDS_ATTRIBUTE = frozenset({"sys", "gc", "inspect"})
# IPython's magics that list variables, or run code that is not in the cell.
_LOOK_AT_ALL = frozenset({"who", "whos", "who_ls", "psearch", "store", "debug", "run", "macro", "reset_selective"})
_MOST_OF_TEXT = 2000
_WORD = re.compile(r"[^\W\d]\w*")


@dataclass(frozen=True)
class Usage:
    """What a cell refers to: `reads` and `binds` are names; `everything`: it may reach any name."""

    reads: frozenset[str]
    binds: frozenset[str]
    everything: bool = False
    imports: bool = False


def usage_of(tree: ast.AST) -> Usage:
    """What the code of `tree`, as IPython runs it (magics are calls by then), refers to."""
    reads: set[str] = set()
    binds: set[str] = set()
    attributes: set[str] = set()
    words: set[str] = set()
    texts: set[str] = set()
    of_ours: set[int] = set()
    imports = False
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            (reads if isinstance(node.ctx, ast.Load) else binds).add(node.id)
        elif isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):
            reads.add(node.target.id)
        elif isinstance(node, ast.Attribute):
            attributes.add(node.attr)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            binds.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            imports = True
            binds |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.Call) and _is_magic(node):
            for argument in node.args:
                if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                    if _is_ours(node):
                        of_ours.add(id(argument))
                    else:
                        words |= set(_WORD.findall(argument.value))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in of_ours:
            if node.value == "__main__":
                words.add("__main__")
            # `df.query("a > @limit")`, `sql("select * from big")`: libraries look names up in their callers.
            texts |= set(_WORD.findall(node.value[:_MOST_OF_TEXT]))
    reads |= words
    used = (reads | attributes) & REFLECTIVE
    everything = bool(used - _NEEDS_ATTRIBUTE) or bool(used and attributes & _THROUGH_MODULES)
    return Usage(frozenset(reads | texts), frozenset(binds), everything or _lists_names(words), imports)


def _is_magic(call: ast.Call) -> bool:
    return isinstance(call.func, ast.Attribute) and call.func.attr in (
        "run_line_magic",
        "run_cell_magic",
        "system",
        "getoutput",
    )


def _is_ours(call: ast.Call) -> bool:
    """Whether it is `%checkpoint`, which looks at no value: what a line of it names need not be loaded."""
    name = call.args[0] if call.args else None
    return isinstance(name, ast.Constant) and name.value == "checkpoint"


def _lists_names(words: Collection[str]) -> bool:
    return not _LOOK_AT_ALL.isdisjoint(words)


def names_in_code(code: CodeType) -> Iterator[str]:
    """The names that `code`, and the code inside of it, may look up in its globals (attributes among them)."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from names_in_code(constant)


def codes_of(value: Any) -> Iterator[CodeType]:
    """The code of a function, or of a class's methods."""
    if isinstance(value, FunctionType):
        yield value.__code__
        # What a decorator wrapped is in the closure.
        for cell in value.__closure__ or ():
            try:
                inner = cell.cell_contents
            except ValueError:  # not bound yet
                continue
            if isinstance(inner, FunctionType) and inner is not value:
                yield inner.__code__
    elif isinstance(value, type):
        for member in vars(value).values():
            # By type: asking a member for its attributes may run the notebook's own code.
            kind = type(member)
            if kind is staticmethod or kind is classmethod:
                member = member.__func__
            elif kind is property:
                member = member.fget
            if type(member) is FunctionType:
                yield member.__code__


def reachable_names(
    names: Iterable[str], namespace: Mapping[str, Any], uses: Callable[[str], Collection[str]]
) -> set[str]:
    """Those of `namespace` that code which reads `names` may come to, through the notebook's own functions and classes.

    `uses` says what is known of a name's code from when it was saved last.
    """
    found: set[str] = set()
    waiting = [name for name in names if name in namespace]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        value = namespace[name]
        more = set(uses(name))
        # Not isinstance: a weak proxy whose object is gone raises at that.
        own = value if issubclass(type(value), type | FunctionType) else type(value)
        if own.__module__ == "__main__":
            for code in codes_of(own):
                more.update(names_in_code(code))
            if isinstance(own, type):
                more.update(base.__name__ for base in own.__mro__ if base.__module__ == "__main__")
        waiting += [each for each in more if each in namespace and each not in found]
    return found
