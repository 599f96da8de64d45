"""From the text of a cell to a C++ file, with every line counted as in the cell.

A cell that defines `main` is compiled as it is. In any other, what can only stand outside of a function
(preprocessor lines, functions, templates, types, namespaces, and what begins with `static`, `inline`,
`constexpr` or `extern`) stays there, and all the rest becomes the body of `main`, in order. This sorts
text by its punctuation; it does not parse C++, and a cell that it sorts wrongly can define `main` itself.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

# Comments, raw strings, strings, characters and numbers (for the ' between digits), blanked in this order.
_OPAQUE = re.compile(
    r"""//(?:\\\n|[^\n])* | /\*.*?(?:\*/|\Z)
      | \bu?8?[uUL]?R"(?P<delimiter>[^()\\\s]{0,16})\(.*?(?:\)(?P=delimiter)"|\Z)
      | "(?:\\.|[^"\\\n])*"? | (?<![0-9A-Za-z_])(?:u8|[uUL])?'(?:\\.|[^'\\\n])*'?
      | (?<![A-Za-z_0-9])\.?[0-9](?:'?[0-9A-Za-z_.])*""",
    re.VERBOSE | re.DOTALL,
)
_DIRECTIVE = re.compile(r"[ \t]*(?:\#|%:)(?:\\\n|[^\n])*")
_CONDITIONAL = re.compile(r"\s*(?:#|%:)\s*(?:if|ifdef|ifndef|elif|elifdef|elifndef|else|endif)\b")
_MAIN = re.compile(r"(?<![\w.:>])main\s*\(")
_WORD = re.compile(r"[A-Za-z_]\w*")
# What can stand before a function's parameters: `const std::map<int, X>& A::name`.
_DECLARATOR = re.compile(r"[\w\s:*&~]*(?:<[^;(){}]*>[\w\s:*&~]*)*")
# What can stand between a function's parameters and its body.
_AFTER_PARAMETERS = re.compile(
    r"(?:\s|const\b|volatile\b|override\b|final\b|try\b|&|noexcept\b(?:\s*\([^{]*\))?)*"
    r"(?:->[^{;=]*)?(?:requires\b[^{]*)?(?::(?!:).*)?",
    re.DOTALL,
)
_ATTRIBUTE = re.compile(r"\s*\[\[.*?\]\]", re.DOTALL)

# A statement or declaration that begins so stands outside of `main`.
_OUTSIDE = re.compile(
    "namespace|using|template|static|inline|extern|constexpr|constinit|consteval|thread_local|typedef|"
    "static_assert|concept|import|export|module|asm"
)
_TYPE = re.compile("struct|class|union|enum")
_CONTROL = re.compile("if|for|while|do|switch|try|else|catch|return|throw|case|default|goto")
_GOES_ON = re.compile("else|catch")


@dataclass(frozen=True)
class Unit:
    """A C++ file made of a cell. `wrapped`: the cell has no `main` of its own."""

    source: str
    wrapped: bool


def has_main(cell: str) -> bool:
    """Whether the cell defines `main` (or only declares or calls it, which nobody does)."""
    return _MAIN.search(blank_out(cell)) is not None


def program(cell: str, name: str, first_line: int) -> Unit:
    """The file that runs a cell. `name` is what messages call the cell; its lines count from `first_line`."""
    if has_main(cell):
        return Unit(whole(cell, name, first_line), wrapped=False)
    outside: list[str] = []
    inside: list[str] = []
    for start, end, kind in _items(cell):
        placed = _place(cell, start, end, name, first_line)
        if kind == "conditional":
            outside.append(placed)
            inside.append(placed)
        else:
            (outside if kind == "outside" else inside).append(placed)
    opening = "int main([[maybe_unused]] int argc, [[maybe_unused]] char** argv) {\n"
    return Unit("".join([*outside, '#line 1 "main"\n', opening, *inside, '\n#line 1 "main"\n}\n']), wrapped=True)


def whole(cell: str, name: str, first_line: int) -> str:
    """The cell as it is, with its lines counted from `first_line`."""
    return f"#line {first_line} {_quoted(name)}\n{cell}\n"


def blank_out(cell: str) -> str:
    """The cell with comments, strings and numbers made blank, everything else at its place."""
    return _OPAQUE.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), cell)


def _place(cell: str, start: int, end: int, name: str, first_line: int) -> str:
    line = first_line + cell.count("\n", 0, start)
    # Spaces keep the column, so that the compiler's marks stand below the right characters.
    column = start - (cell.rfind("\n", 0, start) + 1)
    return f"#line {line} {_quoted(name)}\n{' ' * column}{cell[start:end]}\n"


def _quoted(name: str) -> str:
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _items(cell: str) -> Iterator[tuple[int, int, str]]:
    """Start, end and kind (`outside`, `inside`, `conditional`) of each directive, declaration, statement."""
    text = blank_out(cell)
    position = 0
    while position < len(text):
        if text[position].isspace():
            position += 1
            continue
        line_start = text.rfind("\n", 0, position) + 1
        directive = _DIRECTIVE.match(text, line_start)
        if directive and not text[line_start:position].strip():
            end = max(directive.end(), position + 1)
            kind = "conditional" if _CONDITIONAL.match(text, line_start) else "outside"
            yield line_start, end, kind
        else:
            end = _item_end(text, position)
            yield position, end, "outside" if _stands_outside(text[position:end]) else "inside"
        position = end


def _item_end(text: str, start: int) -> int:
    """Where the declaration or statement that begins at `start` ends."""
    depth = 0
    position = start
    type_definition = _is_type_definition(text[start:])
    is_do = text.startswith("do", start) and not text[start + 2 : start + 3].isidentifier()
    while position < len(text):
        character = text[position]
        # A directive inside of a function, or between the branches of an `if`, belongs to it.
        if character == "#" and not text[text.rfind("\n", 0, position) + 1 : position].strip():
            directive = _DIRECTIVE.match(text, position)
            position = directive.end() if directive else position + 1
            continue
        if character in "([{":
            depth += 1
        elif character in ")]}":
            depth = max(0, depth - 1)
            if depth == 0 and character == "}" and not type_definition:
                rest = text[position + 1 :].lstrip()
                word = _WORD.match(rest)
                goes_on = rest[:1] in tuple(";,.)([=?:*/+-<>&|^%")
                if word and (_GOES_ON.fullmatch(word[0]) or (is_do and word[0] == "while")):
                    goes_on = True
                if not goes_on or _ends_at_brace(text[start : position + 1]):
                    return position + 1
        elif character == ";" and depth == 0:
            return position + 1
        position += 1
    return len(text)


def _ends_at_brace(item: str) -> bool:
    """Whether nothing can follow the item's last brace: a namespace, a function, a loop, a plain block."""
    words = _leading_words(item)
    first = words[0] if words else ""
    if first in ("for", "while", "switch", "namespace") or item.startswith("{"):
        return True
    return _is_function(item)


def _leading_words(item: str) -> list[str]:
    """The words at the front of an item, attributes and a template's parameters taken off."""
    return _WORD.findall(_head(item).partition("(")[0].partition("=")[0])


def _head(item: str) -> str:
    item = _ATTRIBUTE.sub("", item)
    while match := re.match(r"\s*(?:template\s*<|extern\s+(?=\{|struct|class))", item):
        if not match[0].rstrip().endswith("<"):
            item = item[match.end() :]
            continue
        depth, position = 1, match.end()
        while position < len(item) and depth:
            depth += {"<": 1, ">": -1}.get(item[position], 0)
            position += 1
        item = item[position:]
    return item


def _is_type_definition(item: str) -> bool:
    """`struct X {...} maybe_a_variable;`, and not a function that returns a `struct X`."""
    front = re.split(r"[{;(=]", _head(item), maxsplit=1)
    words = _WORD.findall(front[0])
    opener = _head(item)[len(front[0]) : len(front[0]) + 1]
    while words and words[0] in ("typedef", "static", "inline", "constexpr", "const"):
        words = words[1:]
    return bool(words) and bool(_TYPE.fullmatch(words[0])) and opener in ("{", ";")


def _is_function(item: str) -> bool:
    """Whether the item is a function's definition: a type and a name, parameters, then a body."""
    head = _head(item)
    front, opener, rest = head.partition("(")
    if not opener:
        return False
    words = _WORD.findall(front)
    if not words or _CONTROL.fullmatch(words[0]):
        return False
    if "operator" not in words and (not _DECLARATOR.fullmatch(front) or "<<" in front):
        return False
    while opener:
        after = rest[_closing(rest) :]
        # `operator()(int x)` has two pairs.
        opener, rest = ("(", after.lstrip()[1:]) if after.lstrip().startswith("(") else ("", rest)
    before_body, brace, _ = after.partition("{")
    return bool(brace) and _AFTER_PARAMETERS.fullmatch(before_body) is not None


def _closing(text: str) -> int:
    """The position after the parenthesis that closes the one just before `text`."""
    depth = 1
    for position, character in enumerate(text):
        depth += {"(": 1, ")": -1}.get(character, 0)
        if not depth:
            return position + 1
    return len(text)


def _stands_outside(item: str) -> bool:
    first = _WORD.match(_ATTRIBUTE.sub("", item).lstrip())
    if first is None:
        return False
    return bool(_OUTSIDE.fullmatch(first[0])) or _is_type_definition(item) or _is_function(item)
