"""The commands on projects: `%project` and `%fork` in notebooks, `regrow project` and `regrow fork` elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from regrow.client import fork_commands, project_commands, usages
from regrow.client.caller import Caller
from regrow.client.errors import OptionError
from regrow.client.hub import HubError
from regrow.client.options import Parsed, Usage, help_text, parse_words
from regrow.client.result import Result
from regrow.client.tables import escaped
from regrow.projects.errors import ProjectError
from regrow.store import StoreError

Run = Callable[[Caller, Parsed], Result]

#: What goes wrong with commands and is for people to read.
REFUSALS = (ProjectError, HubError, StoreError, OSError)

_PROJECT: dict[str, Run] = {
    "list": project_commands.list_projects,
    "create": project_commands.create,
    "open": project_commands.open_project,
    "publish": project_commands.publish,
    "snapshot": project_commands.snapshot,
    "history": project_commands.history,
    "diff": project_commands.diff,
    "restore": project_commands.restore,
    "delete": project_commands.delete,
    "undelete": project_commands.undelete,
    "offers": project_commands.offers,
    "lineage": project_commands.lineage,
}
# How many words may stand on the line of each, beside options: at least, at most.
_WORDS = {
    "list": (0, 100),
    "create": (0, 1),
    "open": (1, 1),
    "publish": (0, 100),
    "snapshot": (0, 1),
    "diff": (0, 2),
    "restore": (1, 1),
    "delete": (1, 1),
    "undelete": (1, 1),
    "lineage": (0, 1),
    "fork": (0, 3),
}


def run(name: str, words: Sequence[str], caller: Caller) -> Result:
    """What `project` or `fork` does with these words. Raises `OptionError`, or one of `REFUSALS`."""
    if name == "fork":
        return _run("fork", usages.FORK, fork_commands.fork, words, caller)
    if not words or words[0] == "--help":
        return _preformatted(_overview(caller.prefix))
    command, *rest = words
    if command not in _PROJECT:
        raise OptionError(f"There is no {caller.prefix}project {command!r}. There are: {', '.join(_PROJECT)}.")
    return _run(command, usages.PROJECT[command], _PROJECT[command], rest, caller)


def _run(name: str, usage: Usage, work: Run, words: Sequence[str], caller: Caller) -> Result:
    usage = _as_typed(usage, caller.prefix)
    parsed = parse_words(usage, words)
    if parsed.given("--help") or (name == "fork" and not words):
        return _preformatted(help_text(usage))
    _check_words(usage, parsed.words, *_WORDS.get(name, (0, 0)))
    try:
        return work(caller, parsed)
    finally:
        caller.close()


def _check_words(usage: Usage, words: Sequence[str], least: int, most: int) -> None:
    for word in words:
        if word.startswith("-"):
            raise OptionError(f"{usage.magic} has no option {word}. See {usage.magic} --help.")
    if len(words) < least:
        raise OptionError(f"{usage.magic} needs {usage.words}. See {usage.magic} --help.")
    if len(words) > most:
        hint = "A name of several words needs quotes. " if most else ""
        raise OptionError(f"{usage.magic} can't do with {words[most]!r}. {hint}See {usage.magic} --help.")


def _as_typed(usage: Usage, prefix: str) -> Usage:
    """The usage as it is where commands begin with `prefix`."""
    return replace(
        usage,
        magic=f"{prefix}{usage.magic.removeprefix('%')}",
        example=f"{prefix}{usage.example.removeprefix('%')}",
    )


def _overview(prefix: str) -> str:
    width = max(map(len, usages.PROJECT))
    lines = [f"  {name:<{width}}  {usage.summary}" for name, usage in usages.PROJECT.items()]
    return "\n".join(
        [
            f"{prefix}project COMMAND",
            "",
            *lines,
            "",
            f"{prefix}project COMMAND --help says what each accepts. See {prefix}fork --help for forks.",
        ]
    )


def _preformatted(text: str) -> Result:
    shown = "\n".join(escaped(line) for line in text.split("\n"))
    return Result(text, f"<pre>{shown}</pre>")
