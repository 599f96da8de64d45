"""The options of a command's line: a table per command, for parsing, `--help`, completion and the docs."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field

from regrow.client.errors import OptionError


@dataclass(frozen=True)
class Option:
    """One option: `metavar` is empty for a switch, ends in `...` when it takes the rest of the line."""

    name: str
    metavar: str
    help: str
    repeat: bool = False

    @property
    def takes_rest(self) -> bool:
        """Whether everything after it on the line belongs to it."""
        return self.metavar.endswith("...")


@dataclass(frozen=True)
class Usage:
    """What a magic or a command accepts. `words` describes what else may stand on its line, empty if nothing may."""

    magic: str
    summary: str
    options: tuple[Option, ...]
    words: str = ""
    words_help: str = ""
    example: str = ""


@dataclass
class Parsed:
    """A line, taken apart: values by option name, and all other words in their order."""

    values: dict[str, list[str]] = field(default_factory=dict)
    words: list[str] = field(default_factory=list)

    def one(self, name: str) -> str | None:
        """The value of an option that may be given once, or None."""
        values = self.values.get(name)
        return values[-1] if values else None

    def many(self, name: str) -> list[str]:
        """All values of an option, in order."""
        return self.values.get(name, [])

    def given(self, name: str) -> bool:
        """Whether the option stands on the line."""
        return name in self.values


HELP = Option("--help", "", "Show this text.")


def parse(usage: Usage, line: str) -> Parsed:
    """Take the line of a magic apart; words are quoted as in a shell. Raises OptionError."""
    try:
        tokens = shlex.split(line)
    except ValueError as error:
        raise OptionError(
            f"The line of {usage.magic} cannot be read: {str(error).lower()}. Close the quotes."
        ) from None
    return parse_words(usage, tokens)


def parse_words(usage: Usage, tokens: Sequence[str]) -> Parsed:
    """The same of words that a shell has taken apart already. Raises OptionError."""
    by_name = {option.name: option for option in (*usage.options, HELP)}
    parsed = Parsed()
    position = 0
    while position < len(tokens):
        name, equals, value = tokens[position].partition("=")
        option = by_name.get(name)
        position += 1
        if option is None:
            parsed.words.append(tokens[position - 1])
            continue
        if option.takes_rest:
            given = [*([value] if equals else []), *tokens[position:]]
            position = len(tokens)
        elif option.metavar and equals:
            given = [value]
        elif option.metavar:
            if position == len(tokens):
                raise OptionError(f"{name} needs a value: {name} {option.metavar}.")
            given = [tokens[position]]
            position += 1
        elif equals:
            raise OptionError(f"{name} takes no value.")
        else:
            given = []
        if name in parsed.values and not option.repeat:
            raise OptionError(f"{name} is given twice; once is enough.")
        parsed.values.setdefault(name, []).extend(given)
    return parsed


def refuse_words(usage: Usage, words: Sequence[str]) -> None:
    """Raise OptionError for a word that the magic does not know."""
    if words:
        raise OptionError(f"{usage.magic} does not know {words[0]!r}. See {usage.magic} --help.")


def help_text(usage: Usage) -> str:
    """The text of `--help`."""
    shown = [(f"{option.name} {option.metavar}".strip(), option.help) for option in (*usage.options, HELP)]
    if usage.words:
        shown.insert(0, (usage.words, usage.words_help))
    width = max(len(name) for name, _ in shown)
    options = "\n".join(f"  {name:<{width}}  {text}" for name, text in shown)
    heading = " ".join(filter(None, [usage.magic, usage.words, "[options]"]))
    example = f"\n\nExample:\n\n{usage.example}" if usage.example else ""
    return f"{heading}\n\n{usage.summary}\n\n{options}{example}"
