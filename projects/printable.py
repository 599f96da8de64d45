"""Text of others on a terminal or a page: what they would act on is shown instead."""

from __future__ import annotations


def printable(text: str) -> str:
    r"""`text` on one line: control characters, overrides of its direction and lone surrogates as escapes (`\x1b`)."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\t" else c.encode("unicode_escape").decode() for c in text)
