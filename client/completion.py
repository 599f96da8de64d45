"""What may follow on the line of a command, for the Tab key."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable

from regrow.client import usages
from regrow.client.hub import HubClient, HubError
from regrow.client.options import HELP, Usage
from regrow.client.project_commands import full_name
from regrow.client.working import here
from regrow.projects.create import templates
from regrow.projects.errors import ProjectError
from regrow.projects.snapshot import snapshots

# Whoever presses Tab waits for it.
_TIMEOUT_S = 1.0

#: After these words, what is asked for.
_AFTER_OPTION = {
    "--template": lambda: [each.name for each in templates()],
    "--team": lambda: _groups(),
    **dict.fromkeys(("--review", "--accept", "--decline", "--withdraw"), lambda: _offers()),
}
_AFTER_COMMAND: dict[str, Callable[[], Iterable[str]]] = {
    "open": lambda: _own(),
    "delete": lambda: _own(),
    "lineage": lambda: _visible(),
    "undelete": lambda: _deleted(),
    "diff": lambda: _snapshots(),
    "restore": lambda: _snapshots(),
}


def candidates(line: str) -> list[str]:
    """What may stand where `line`, up to the cursor, ends; nothing is said where the hub is away."""
    command, *before = line.lstrip("% ").split()
    typed = "" if line[-1:].isspace() else before.pop() if before else command
    if command == "fork":
        return _of(usages.FORK, _visible if not before else None, before, typed)
    if not before:
        return [*usages.PROJECT, HELP.name]
    usage = usages.PROJECT.get(before[0])
    return _of(usage, _AFTER_COMMAND.get(before[0]), before, typed) if usage else []


def _of(usage: Usage, words: Callable[[], Iterable[str]] | None, before: list[str], typed: str) -> list[str]:
    options = [option.name for option in (*usage.options, HELP)]
    if typed.startswith("-"):
        return options
    if before and before[-1] in _AFTER_OPTION:
        return _asked(_AFTER_OPTION[before[-1]])
    return [*(_asked(words) if words else []), *options]


def _asked(ask: Callable[[], Iterable[str]]) -> list[str]:
    try:
        return [shlex.quote(word) for word in ask()]
    except (HubError, ProjectError, OSError):
        return []  # a key is no question that one waits for an error to


def _groups() -> list[str]:
    with HubClient.from_environment(_TIMEOUT_S) as hub:
        return list(hub.user()["groups"])


def _own() -> list[str]:
    with HubClient.from_environment(_TIMEOUT_S) as hub:
        return [each["name"] for each in hub.projects(owner=hub.user()["name"])]


def _visible() -> list[str]:
    with HubClient.from_environment(_TIMEOUT_S) as hub:
        return [full_name(each) for each in hub.projects()]


def _deleted() -> list[str]:
    with HubClient.from_environment(_TIMEOUT_S) as hub:
        return [name for each in hub.recycle_bin() for name in (each["name"], each["id"])]


def _offers() -> list[str]:
    working = here()
    with HubClient.from_environment(_TIMEOUT_S) as hub:
        return [each["id"][:8] for each in hub.offers(working.owner, working.name) if each["state"] == "open"]


def _snapshots() -> list[str]:
    return [word for each in snapshots(here().folder) for word in (each.name, each.id) if word]
