"""The text of a function of the notebook, and no more of the cell that it is of: what else is there may be a secret.

Python finds the text of code by the name of its file in `linecache`, where IPython puts cells. Those of functions which
come back are put there with everything else blank, so that lines have the numbers which tracebacks say.
"""

from __future__ import annotations

import ast
import linecache
from dataclasses import dataclass
from functools import lru_cache
from itertools import zip_longest
from types import CodeType

_LAMBDA = "<lambda>"
#: Stands for what is left out below a function: without a line that is less indented, `inspect` takes more for its own.
_MORE = "...\n"


@dataclass(frozen=True)
class _Span:
    """Where the text of a function is; lines begin with 1, columns are bytes."""

    name: str
    first: int
    start: int
    last: int
    end: int

    def has(self, position: tuple[int | None, int | None, int | None, int | None]) -> bool:
        line, last, start, end = position
        if line is None or last is None or start is None or end is None or (start, end) == (0, 0):
            return True  # of nothing that is written there
        return (self.first, self.start) <= (line, start) and (last, end) <= (self.last, self.end)


def own_text(code: CodeType) -> tuple[str, int]:
    """The lines of `code`, a function's, and the number of the first; no text where it is a file's, or not known."""
    whole = _text_of(code.co_filename)
    found = [each for each in _spans(whole) if (each.first, each.name) == (code.co_firstlineno, code.co_name)]
    if len(found) > 1:  # lambdas in one line
        positions = list(code.co_positions())
        found = [each for each in found if all(map(each.has, positions))]
    if not found:
        return "", 1
    span = min(found, key=lambda each: (each.last, each.end - each.start))
    lines = [line.encode(errors="surrogatepass") for line in whole.splitlines()[span.first - 1 : span.last]]
    if span.name == _LAMBDA:
        lines[-1] = lines[-1][: span.end]
        lines[0] = b" " * span.start + lines[0][span.start :]
    return "".join(line.decode(errors="surrogatepass") + "\n" for line in lines), span.first


def remember(filename: str, text: str, first: int) -> None:
    """Let tracebacks and `inspect` find `text` under `filename`, beginning with the line number `first`."""
    if not text:
        return
    entry = linecache.cache.get(filename)
    there = entry[2] if entry is not None and len(entry) == 4 else []
    lines = _merged(there, ["\n"] * (first - 1) + text.splitlines(keepends=True))
    if lines is not None and lines != there:
        end = first - 1 + len(text.splitlines())
        if end == len(lines) or not lines[end].strip():
            lines[end : end + 1] = [_MORE]
        linecache.cache[filename] = (sum(map(len, lines)), None, lines, filename)


def _merged(there: list[str], more: list[str]) -> list[str] | None:
    """`there` with `more` where it is blank; None where both have something else in the same place."""
    lines = []
    for one, other in zip_longest(there, more, fillvalue="\n"):
        if one == _MORE:
            lines.append(other if other.strip() else one)
            continue
        pairs = list(zip_longest(one.rstrip("\n"), other.rstrip("\n"), fillvalue=" "))
        if any(a != b and not a.isspace() and not b.isspace() for a, b in pairs):
            return None
        lines.append("".join(b if a.isspace() else a for a, b in pairs) + "\n")
    return lines


def _text_of(filename: str) -> str:
    entry = linecache.cache.get(filename)
    # Files have a time; what IPython puts there has none.
    return "".join(entry[2]) if entry is not None and len(entry) == 4 and entry[1] is None else ""


@lru_cache(maxsize=8)
def _spans(text: str) -> list[_Span]:
    """The functions in a text."""
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    return [
        _Span(
            getattr(node, "name", _LAMBDA),
            min([node.lineno, *(each.lineno for each in getattr(node, "decorator_list", ()))]),
            node.col_offset,
            node.end_lineno or node.lineno,
            node.end_col_offset or 0,
        )
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
    ]
