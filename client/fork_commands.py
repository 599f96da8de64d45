"""What `%fork` and `regrow fork` do."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Callable, Iterator

from regrow.client import carrying, upstream
from regrow.client.caller import Caller
from regrow.client.errors import OptionError
from regrow.client.options import Parsed
from regrow.client.project_commands import moment, undo, where
from regrow.client.result import Result, joined, listed, say, warn
from regrow.client.working import PACKAGES, Forked, Working, all_here, here, projects_folder
from regrow.client.working import fork as fork_project
from regrow.projects import diff as diffs
from regrow.projects.create import check_name
from regrow.projects.errors import ProjectError
from regrow.projects.merge import MergeConflict, Merged, Side
from regrow.state.places import state_dir
from regrow.state.trust import trusted

_OURS: Side = "ours"
_THEIRS: Side = "theirs"
_TREES = {
    "overlay": "It takes disk only for what you change: the rest is shared with what it was made of.",
    "reflink": "It takes disk only for what you change: the rest is shared with what it was made of.",
    "copy": "Its files are copies: this hub's filesystem can't share them.",
}


def fork(caller: Caller, parsed: Parsed) -> Result:
    """Make a fork, or what is done with the one that the caller is in."""
    actions = [name for name in _ACTIONS if parsed.given(name)]
    if len(actions) > 1 or (actions and parsed.words):
        raise OptionError(f"{actions[0]} and {(actions[1:] or parsed.words)[0]} don't go together: say one.")
    if actions and parsed.given("--with-state"):
        raise OptionError(f"{actions[0]} and --with-state don't go together: a fork has variables from its beginning.")
    chosen = [name for name in ("--ours", "--theirs") if parsed.given(name)]
    if chosen and actions not in (["--sync"], ["--accept"]):
        raise OptionError(f"{chosen[0]} goes with --sync or --accept: it says whose version of a path is taken.")
    return _ACTIONS[actions[0]](caller, parsed) if actions else _make(caller, parsed)


def _make(caller: Caller, parsed: Parsed) -> Result:
    owner, name, new_name = _wanted(caller, parsed.words)
    with contextlib.ExitStack() as stack:
        variables = None
        if parsed.given("--with-state") and (own := _own_variables(caller, owner, name)):
            variables = stack.enter_context(carrying.kept_by_hub(caller.hub, *own, caller.progress))
        made = fork_project(caller.hub, owner, name, new_name, caller.progress, variables)
    taken = made.snapshot
    called = f" {taken['name']!r}," if taken["name"] else ""
    return joined(
        say(
            f"{made.working.full_name} is a fork of {owner}/{name}, from its snapshot{called} of "
            f"{moment(taken['taken_at'])} UTC. Nobody else sees it. {_TREES.get(made.model['tree'], '')}".rstrip()
        ),
        _variables(caller, made, owner) if parsed.given("--with-state") else Result("", ""),
        _lacking(made, f"{owner}/{name}"),
        where(caller, made.working),
    )


def _own_variables(caller: Caller, owner: str, name: str) -> tuple[Working, list[carrying.Carried]] | None:
    """A project of the caller's own that is here, and its notebooks' variables, as they are saved now."""
    working = next((each for each in all_here() if each.full_name == f"{owner}/{name}"), None)
    found = carrying.carried(working) if working is not None and owner == caller.user else []
    return (working, found) if working is not None and found else None


def _variables(caller: Caller, made: Forked, owner: str) -> Result:
    """Which notebooks begin with the parent's variables, and what that takes."""
    notebooks = carrying.mark(made.working.folder)
    if not notebooks:
        if owner == caller.user:
            return warn([f"Nothing of the notebooks of {made.model['parent']} is saved: they begin without variables."])
        return warn([f"No variables were published with {made.model['parent']}: its notebooks begin with none."])
    begin = f"{', '.join(notebooks)} {'begins' if len(notebooks) == 1 else 'begin'} with"
    if owner == caller.user:
        return say(f"{begin} the variables that yours have now.")
    if owner in trusted(state_dir()):
        return say(f"{begin} {owner}'s variables.")
    return say(
        f"{begin} {owner}'s variables once you trust {owner}: loading them runs code of theirs as you. "
        f"In a notebook, `%checkpoint trust {owner}` says that you do."
    )


def _wanted(caller: Caller, words: list[str]) -> tuple[str, str, str]:
    if len(words) not in (1, 3) or (len(words) == 3 and words[1] != "as"):
        raise OptionError(f"Type {caller.prefix}fork OWNER/NAME, or {caller.prefix}fork OWNER/NAME as NAME.")
    owner, name = caller.project(words[0])
    new_name = words[2] if len(words) == 3 else name
    check_name(new_name)
    return owner, name, new_name


def _lacking(made: Forked, parent: str) -> Result:
    """The packages that the parent has and this server lacks, and how to get them."""
    if not any(made.lacking.values()):
        return Result("", "")
    names = "; ".join(f"{tool}: {', '.join(packages)}" for tool, packages in made.lacking.items() if packages)
    file = projects_folder() / made.working.folder.name / PACKAGES
    return say(
        f"{parent} has packages that this server lacks ({names}). "
        f"In a terminal, `regrow packages install --list-file={shlex.quote(str(file))}` installs them."
    )


def _status(caller: Caller, parsed: Parsed) -> Result:
    working = here()
    news = upstream.news(caller.hub, working, caller.progress)
    status = news.status
    if news.is_up_to_date:
        heading = f"{working.full_name} has all that {news.parent} has published."
    else:
        heading = f"{news.parent} has published something new. {caller.command('fork --sync')} merges it."
    ours = [*status.here, *status.both]
    hint = f"{caller.command('fork --offer MESSAGE')} offers what you have changed to {news.parent}."
    return joined(
        say(heading),
        listed("Changed here", status.here),
        listed(f"Changed in {news.parent}", status.there),
        listed("Changed in both, and not to the same", status.both),
        say(hint) if ours else Result("", ""),
    )


def _sync(caller: Caller, parsed: Parsed) -> Result:
    working = here()
    with _telling_conflicts(caller, "--sync"):
        merged = upstream.sync(caller.hub, working, _prefer(parsed), caller.progress)
    return _merged(caller, f"{working.full_name} has all that its parent has published.", merged)


def _offer(caller: Caller, parsed: Parsed) -> Result:
    working = here()
    made = upstream.offer(caller.hub, working, parsed.one("--offer") or "", caller.progress)
    short = made["id"][:8]
    return say(
        f"{working.full_name} as it is now is offered to {made['project']}, whose owner sees it as the offer {short}. "
        f"{caller.command(f'fork --withdraw {short}')} takes it back."
    )


def _review(caller: Caller, parsed: Parsed) -> Result:
    offered, changed = upstream.review(caller.hub, here(), parsed.one("--review") or "", caller.progress)
    short = offered["id"][:8]
    heading = say(f"{offered['fork']} offers ({offered['state']}):", *offered["message"].splitlines())
    if not changed:
        return joined(heading, say("It would change nothing."))
    accept, decline = (caller.command(f"fork --{what} {short}") for what in ("accept", "decline"))
    shown = Result(diffs.as_text(changed, caller.colour), diffs.as_html(changed))
    if offered["state"] != "open":
        return joined(heading, shown)
    return joined(heading, shown, say(f"{accept} merges it into your files, {decline} says no."))


def _accept(caller: Caller, parsed: Parsed) -> Result:
    working, offer = here(), parsed.one("--accept") or ""
    with _telling_conflicts(caller, f"--accept {offer}"):
        merged = upstream.accept(caller.hub, working, offer, _prefer(parsed), caller.progress)
    return _merged(caller, f"The offer {offer} is accepted: your files have it.", merged)


def _decline(caller: Caller, parsed: Parsed) -> Result:
    offered = upstream.find_offer(caller.hub, here(), parsed.one("--decline") or "")
    caller.hub.decide(offered["id"], "declined")
    return say(f"The offer {offered['id'][:8]} of {offered['fork']} is declined. Your files are as they were.")


def _withdraw(caller: Caller, parsed: Parsed) -> Result:
    offered = upstream.find_offer(caller.hub, here(), parsed.one("--withdraw") or "")
    caller.hub.decide(offered["id"], "withdrawn")
    return say(f"The offer {offered['id'][:8]} to {offered['project']} is withdrawn.")


_ACTIONS: dict[str, Callable[[Caller, Parsed], Result]] = {
    "--status": _status,
    "--sync": _sync,
    "--offer": _offer,
    "--review": _review,
    "--accept": _accept,
    "--decline": _decline,
    "--withdraw": _withdraw,
}


def _prefer(parsed: Parsed) -> dict[str, Side] | None:
    ours, theirs = parsed.many("--ours"), parsed.many("--theirs")
    if both := set(ours) & set(theirs):
        raise OptionError(f"{min(both)} can't be both yours and theirs: say --ours or --theirs.")
    sides: dict[str, Side] = {**dict.fromkeys(ours, _OURS), **dict.fromkeys(theirs, _THEIRS)}
    return sides or None


@contextlib.contextmanager
def _telling_conflicts(caller: Caller, action: str) -> Iterator[None]:
    """Where a merge in the block has conflicts, what is typed to decide them is said."""
    try:
        yield
    except MergeConflict as error:
        again = caller.command(f"fork {action} --theirs {shlex.quote(error.conflicts[0].path)}")
        raise ProjectError(f"{error} For example: {again}") from error


def _merged(caller: Caller, heading: str, merged: Merged) -> Result:
    if not merged.written and not merged.removed:
        return joined(say(heading, "Nothing in your files had to be changed."), warn(merged.warnings))
    return joined(
        say(heading),
        listed("Written", merged.written),
        listed("Removed", merged.removed),
        warn(merged.warnings),
        undo(caller, merged.before),
    )
