"""The line of a magic: parsing, help, completion, and the page that describes it."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regrow.client.errors import OptionError
from regrow.client.options import HELP, Usage, help_text, parse
from regrow.kernel_magics import usages

from support.real_kernel import Kernel

DOCS = Path(__file__).parents[2] / "docs"
PAGES = [DOCS / "cells.md", DOCS / "projects.md", DOCS / "state.md"]
NAMES = {option.name for usage in usages.ALL for option in (*usage.options, HELP)}

words = st.text(max_size=8).filter(lambda word: word.partition("=")[0] not in NAMES)


@given(
    flags=st.lists(words, max_size=5),
    std=st.none() | words,
    packages=st.lists(words, max_size=3),
    arguments=st.none() | st.lists(st.text(max_size=8), max_size=4),
)
def test_what_is_written_on_a_line_is_what_is_read_from_it(
    flags: list[str], std: str | None, packages: list[str], arguments: list[str] | None
) -> None:
    line = [*flags]
    line += [] if std is None else ["--std", std]
    for number, package in enumerate(packages):
        line += ["--pkg", package] if number % 2 else [f"--pkg={package}"]
    line += [] if arguments is None else ["--args", *arguments]
    parsed = parse(usages.CPP, shlex.join(line))
    assert parsed.words == flags
    assert parsed.one("--std") == std
    assert parsed.many("--pkg") == packages
    assert parsed.many("--args") == (arguments or [])
    assert parsed.given("--args") is (arguments is not None)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("--help=x", "takes no value"),
        ("--std a --std b", "given twice"),
        ("--ext", "needs a value: --ext NAME"),
        ('"', "Close the quotes"),
    ],
)
def test_a_wrong_line_is_explained(line: str, words: str) -> None:
    with pytest.raises(OptionError, match=words):
        parse(usages.CPP, line)


@pytest.mark.parametrize("usage", usages.ALL, ids=lambda usage: usage.magic)
def test_every_option_is_on_the_page_and_in_the_help_with_the_same_words(usage: Usage) -> None:
    text = "".join(page.read_text() for page in PAGES)
    _, _, after = text.partition(f"# `{usage.magic}`\n")
    section = after.partition("\n#")[0]
    assert section, f"no page has a section for {usage.magic}"
    for option in (*usage.options, HELP):
        shown = f"{option.name} {option.metavar}".strip()
        assert f"| `{shown}` | {option.help} |" in section, f"its section lacks {usage.magic} {shown}"
        assert shown in help_text(usage)
    if usage.words:
        assert f"| `{usage.words}` | {usage.words_help} |" in section


def test_the_tab_key_offers_the_options(kernel: Kernel) -> None:
    for text, expected in (
        ("%%cpp --", "--ext"),
        ("%build --f", "--files"),
        ("%gpu --h", "--help"),
        ("%checkpoint sh", "show"),
    ):
        matches = kernel.complete(text)
        assert expected in matches, (text, matches)
