"""What the subcommands of `%project` and `regrow project` do."""

from __future__ import annotations

import contextlib
import os
import shlex
from collections.abc import Callable
from datetime import datetime
from pathlib import Path, PurePosixPath
from urllib.parse import quote, urlsplit

from regrow.client import carrying
from regrow.client import lineage as lineages
from regrow.client.caller import Caller
from regrow.client.errors import OptionError
from regrow.client.hub import Model
from regrow.client.opening import bring
from regrow.client.options import Parsed
from regrow.client.result import Result, joined, link, listed, say, table, warn
from regrow.client.working import Working, all_here, as_now, here, of_folder, projects_folder, register, repository
from regrow.client.working import create as create_both
from regrow.client.working import publish as publish_state
from regrow.client.working import snapshot as take_and_send
from regrow.projects import create as creating
from regrow.projects import diff as diffs
from regrow.projects import history as histories
from regrow.projects.errors import NoSuchSnapshot, ProjectError
from regrow.projects.restore import find
from regrow.projects.restore import restore as restore_files
from regrow.projects.snapshot import Snapshot, latest

_DESCRIPTION_SHOWN = 60
_SEEN_BY = {
    "hub": "Everybody on this hub sees it",
    "public": "Everybody who can reach this hub sees it, also without signing in",
}


def list_projects(caller: Caller, parsed: Parsed) -> Result:
    """Projects in a table."""
    if parsed.given("--deleted"):
        if parsed.given("--all"):
            raise OptionError("The recycle bin is yours alone: --deleted and --all don't go together.")
        return _list_deleted(caller, parsed.words)
    everybodys = parsed.given("--all")
    found = caller.hub.projects(" ".join(parsed.words), "" if everybodys else caller.user)
    if not found:
        if parsed.words:
            return say(f"There is no project with all of these words: {' '.join(parsed.words)}.")
        return say(f"There is no project yet. {caller.command('project create NAME')} makes one.")
    there = {working.full_name for working in all_here()}
    rows = [
        (
            full_name(each) if everybodys else each["name"],
            f"team {each['team']}" if each["visibility"] == "team" else each["visibility"],
            each["parent"],
            moment(each["changed_at"]),
            "yes" if full_name(each) in there else "",
            _shortened(each["description"]),
        )
        for each in found
    ]
    return table(("project", "seen by", "fork of", "changed (UTC)", "here", "about"), rows)


def _list_deleted(caller: Caller, words: list[str]) -> Result:
    found = [each for each in caller.hub.recycle_bin() if all(word.lower() in _searched(each) for word in words)]
    if not found:
        return say("Nothing like that is in your recycle bin." if words else "Your recycle bin is empty.")
    rows = [
        (full_name(each), each["id"], moment(each["deleted_at"]), _shortened(each["description"])) for each in found
    ]
    return joined(
        table(("project", "id", "deleted (UTC)", "about"), rows),
        say(f"{caller.command('project undelete NAME')} takes one out."),
    )


def create(caller: Caller, parsed: Parsed) -> Result:
    """Make a project."""
    ways = [name for name in ("--template", "--folder", "--git", "--here") if parsed.given(name)]
    if len(ways) > 1:
        raise OptionError(f"{ways[0]} and {ways[1]} don't go together: a project begins in one way.")
    description = parsed.one("--description") or ""
    if ways == ["--here"]:
        folder = projects_folder() / parsed.words[0] if parsed.words else repository()
        working, warnings = register(caller.hub, folder, description), list[str]()
    elif not parsed.words:
        raise OptionError(f"Name the project: {caller.prefix}project create NAME.")
    else:
        caller.progress(f"Making {parsed.words[0]}")
        working, warnings = create_both(caller.hub, parsed.words[0], _maker(caller, parsed), description)
    return joined(
        say(f"{working.full_name} is a project of yours now. Nobody else sees it."),
        warn(warnings),
        where(caller, working),
    )


def _maker(caller: Caller, parsed: Parsed) -> Callable[[Path], creating.Created]:
    if source := parsed.one("--folder"):
        return lambda folder: creating.create_from_folder(folder, Path(source).expanduser())
    if url := parsed.one("--git"):
        return lambda folder: creating.create_from_git(
            folder, url, lambda done, message: caller.progress(f"{done:.0%} {message}")
        )
    return lambda folder: creating.create_from_template(folder, parsed.one("--template") or "blank")


def open_project(caller: Caller, parsed: Parsed) -> Result:
    """Say where a project's files are, after bringing them here if need be."""
    owner, name = caller.project(parsed.words[0])
    model = caller.hub.project(owner, name)
    if not model["is_own"] or owner != caller.user:
        raise ProjectError(
            f"{owner}/{name} is {owner}'s. {caller.command(f'fork {owner}/{name}')} makes a project of your own of it."
        )
    folder = projects_folder() / model["name"]
    if os.path.lexists(folder):
        working = of_folder(folder)
        if working.full_name != full_name(model):
            raise ProjectError(f"{folder} is {working.full_name}, not {full_name(model)}. Move it away first.")
        return joined(say(f"{working.full_name} is here."), where(caller, working))
    working = bring(caller.hub, model, caller.progress)
    return joined(say(f"{working.full_name} is here now, as its last snapshot has it."), where(caller, working))


def publish(caller: Caller, parsed: Parsed) -> Result:
    """Decide who sees the project."""
    wanted = [name for name in ("--private", "--team", "--hub", "--public") if parsed.given(name)] or ["--hub"]
    if len(wanted) > 1:
        raise OptionError(f"{wanted[0]} and {wanted[1]} don't go together: say one.")
    working = here()
    if parsed.given("--state"):
        return _variables_to_publish(caller, working, parsed.words)
    carried = _chosen_variables(caller, working, parsed)
    team = parsed.one("--team") or ""
    carrying.remove_left_over(working)
    with contextlib.ExitStack() as stack:
        keeping = carrying.kept_by_hub(caller.hub, working, carried, caller.progress)
        variables = stack.enter_context(keeping) if carried else None
        seen_by = wanted[0].removeprefix("--")
        done = publish_state(caller.hub, working, seen_by, team, caller.progress, variables)
    if done.sent is None:
        return say(f"Nobody but you sees {working.full_name} any more. Forks that were made of it stay.")
    seen = f"The members of {team} see it" if team else _SEEN_BY[done.model["visibility"]]
    lines = [
        f"{working.full_name} is published. {seen}, as it is in the snapshot {done.sent.model['id']}; "
        "what you change from now on, when you publish again.",
        f"To make a project of their own of it, they type `%fork {working.full_name}`.",
    ]
    if carried:
        count = sum(len(each.manifest.names) for each in carried)
        notebooks = ", ".join(each.notebook for each in carried)
        lines.append(
            f"{count} variables of {notebooks} go with it, for who types `%fork {working.full_name} --with-state`. "
            "Publishing again without --with-state takes them out."
        )
    if done.model["visibility"] == "public":
        page = f"{urlsplit(caller.hub.url).path}projects/{working.full_name}"
        lines.append(f"Elsewhere, anybody can clone it: its page on this hub, `{page}`, says how.")
    return joined(say(*lines), warn(done.sent.warnings))


def _variables_to_publish(caller: Caller, working: Working, notebooks: list[str]) -> Result:
    carried = carrying.carried(working, notebooks)
    if not carried:
        return say(f"No notebook of {working.full_name} has variables that are saved. `%checkpoint` in one saves them.")
    words = ["project publish --with-state", carrying.code_of(carried), *map(shlex.quote, notebooks)]
    return joined(
        say("Nothing was published. These variables can go with it, for everybody who may fork it to have:"),
        carrying.listing(carried),
        say(
            f"{caller.command(' '.join(words))} publishes the project with them; "
            "`%checkpoint exclude NAMES` in a notebook keeps variables out."
        ),
    )


def _chosen_variables(caller: Caller, working: Working, parsed: Parsed) -> list[carrying.Carried]:
    """The variables that the owner has looked at and said to publish; none where nothing was said of them."""
    code = parsed.one("--with-state")
    if code is None:
        if parsed.words:
            raise OptionError(f"{parsed.words[0]!r} goes with --state or --with-state, as a notebook with variables.")
        return []
    if parsed.given("--private"):
        raise OptionError("--private and --with-state don't go together: what nobody sees carries nothing.")
    carried = carrying.carried(working, parsed.words)
    if not carried or carrying.code_of(carried) != code:
        shown = caller.command(" ".join(["project publish --state", *map(shlex.quote, parsed.words)]))
        raise ProjectError(
            f"That is not the code of the variables that are saved now, which {shown} lists. Nothing was published."
        )
    return carried


def snapshot(caller: Caller, parsed: Parsed) -> Result:
    """Take a snapshot, and send it."""
    working = here()
    sent = take_and_send(caller.hub, working, caller.progress, name=" ".join(parsed.words))
    taken = sent.taken.snapshot
    called = f", {taken.name!r}" if taken.name else ""
    if sent.taken.is_new:
        said = f"The snapshot {taken.id}{called} of {working.full_name} is taken, and the hub has it."
    else:
        said = f"Nothing has changed since the snapshot {taken.id}{called} of {working.full_name}; the hub has it."
    return joined(say(said), warn(sent.warnings))


def history(caller: Caller, parsed: Parsed) -> Result:
    """Draw what the project has been."""
    entries = histories.history(here().folder)
    if not entries:
        return say(f"There is nothing yet. {caller.command('project snapshot')} takes a snapshot.")
    return Result(histories.as_text(entries), histories.as_svg(entries))


def diff(caller: Caller, parsed: Parsed) -> Result:
    """Show what differs."""
    working = here()
    paths = _below(working, parsed.many("--"))
    found = [find(working.folder, wanted) for wanted in parsed.words] or [_last(caller, working)]
    caller.progress("Comparing")
    files = working.large_files(caller.hub)
    if len(found) > 1:
        made = diffs.diff(working.folder, found[0].commit, found[1].commit, paths, files)
    else:
        with as_now(caller.hub, working) as now:
            made = diffs.diff(working.folder, found[0].commit, now, paths, files)
    if not made:
        other = _called(found[1]) if len(found) > 1 else "the files as they are now"
        return say(f"Nothing differs between {_called(found[0])} and {other}.")
    return Result(diffs.as_text(made, caller.colour), diffs.as_html(made))


def restore(caller: Caller, parsed: Parsed) -> Result:
    """Bring files back."""
    working = here()
    wanted = find(working.folder, parsed.words[0])
    paths = _below(working, parsed.many("--"))
    done = restore_files(working.folder, working.large_files(caller.hub), wanted, paths, progress=caller.progress)
    if not done.written and not done.removed:
        return joined(say(f"Nothing was changed: the files are as in {_called(wanted)}."), warn(done.warnings))
    return joined(
        listed("Written", done.written), listed("Removed", done.removed), warn(done.warnings), undo(caller, done.before)
    )


def delete(caller: Caller, parsed: Parsed) -> Result:
    """Put a project into the recycle bin."""
    owner, name = caller.project(parsed.words[0])
    caller.hub.delete(owner, name)
    return say(
        f"{owner}/{name} is in the recycle bin, with its files and history. "
        f"{caller.command(f'project undelete {name}')} takes it out again."
    )


def undelete(caller: Caller, parsed: Parsed) -> Result:
    """Take a project out of the recycle bin."""
    wanted = parsed.words[0]
    there = caller.hub.recycle_bin()
    found = [each for each in there if wanted in (each["id"], full_name(each))] or [
        each for each in there if each["name"] == wanted and each["owner"] == caller.user
    ]
    if not found:
        bin_ = caller.command("project list --deleted")
        raise ProjectError(f"There is no {wanted} in your recycle bin. {bin_} lists what is.")
    if len(found) > 1:
        ids = ", ".join(f"{each['id']} ({moment(each['deleted_at'])})" for each in found)
        raise ProjectError(f"{len(found)} projects named {wanted} are in your recycle bin. Name one by its id: {ids}.")
    model = caller.hub.undelete(found[0]["id"])
    folder = projects_folder() / model["name"]
    back = say(f"{full_name(model)} is out of the recycle bin.")
    return joined(back, where(caller, of_folder(folder))) if folder.is_dir() else back


def offers(caller: Caller, parsed: Parsed) -> Result:
    """List offers."""
    working = here()
    found = caller.hub.offers(working.owner, working.name)
    if not found:
        return say(f"Nothing was offered to {working.full_name}, and it offers nothing.")
    rows = [
        (
            each["id"][:8],
            each["fork"],
            each["project"],
            each["state"],
            moment(each["created_at"]),
            _shortened(each["message"]),
        )
        for each in found
    ]
    shown = table(("offer", "from", "to", "state", "made (UTC)", "message"), rows)
    if not any(each["state"] == "open" and each["project"] == working.full_name for each in found):
        return shown
    review, accept, decline = (caller.command(f"fork --{what} OFFER") for what in ("review", "accept", "decline"))
    return joined(shown, say(f"{review} shows what one would change; {accept} merges it, {decline} says no."))


def lineage(caller: Caller, parsed: Parsed) -> Result:
    """Draw which project is a fork of which."""
    if parsed.words:
        owner, name = caller.project(parsed.words[0])
    else:
        working = here()
        owner, name = working.owner, working.name
    found = caller.hub.lineage(owner, name)
    this = f"{owner}/{name}"
    return Result(lineages.as_text(found, this), lineages.as_svg(found, this))


def where(caller: Caller, working: Working) -> Result:
    """The way to a project's folder: a link, where JupyterLab has the folder, and a command."""
    folder = projects_folder() / working.folder.name
    change = f"`{'%cd' if caller.prefix == '%' else 'cd'} {shlex.quote(str(folder))}`"
    there = say(f"Its files: {change}")
    url = lab_url(folder)
    return joined(there, link(f"Open {working.name} in JupyterLab", url)) if url else there


def lab_url(folder: Path) -> str:
    """The path of a folder in this server's JupyterLab, or "" where it has none."""
    prefix = os.environ.get("JUPYTERHUB_SERVICE_PREFIX", "")
    root = Path(os.environ.get("JUPYTERHUB_ROOT_DIR") or Path.home())
    if not prefix or not folder.is_relative_to(root):
        return ""
    return f"{prefix.rstrip('/')}/lab/tree/{quote(str(folder.relative_to(root)))}"


def undo(caller: Caller, before: Snapshot) -> Result:
    """How to bring back what was there."""
    again = caller.command(f"project restore {before.id}")
    return say(f"What was there before is in the snapshot {before.id}: {again} brings it back.")


def full_name(model: Model) -> str:
    """OWNER/NAME of a hub's model of a project."""
    return f"{model['owner']}/{model['name']}"


def moment(stamp: str) -> str:
    """A moment of the hub's, to the minute."""
    return f"{datetime.fromisoformat(stamp):%Y-%m-%d %H:%M}"


def _searched(model: Model) -> str:
    return f"{full_name(model)} {model['description']}".lower()


def _shortened(text: str) -> str:
    line = text.strip().partition("\n")[0]
    return line if len(line) <= _DESCRIPTION_SHOWN else f"{line[: _DESCRIPTION_SHOWN - 3]}..."


def _last(caller: Caller, working: Working) -> Snapshot:
    if last := latest(working.folder):
        return last
    raise NoSuchSnapshot(
        f"{working.full_name} has no snapshot to compare with. {caller.command('project snapshot')} takes one."
    )


def _called(taken: Snapshot) -> str:
    return f"the snapshot {taken.name!r}" if taken.name else f"the snapshot {taken.id}"


def _below(working: Working, paths: list[str]) -> tuple[str, ...]:
    """Paths as git has them, from the project's folder; none where all is meant. Raises `ProjectError`."""
    found = []
    for path in paths:
        whole = PurePosixPath(os.path.normpath(working.folder / path))
        if not whole.is_relative_to(working.folder):
            raise ProjectError(f"{path} is outside of {working.full_name}. Nothing was changed.")
        relative = str(whole.relative_to(working.folder))
        if relative == ".":
            return ()
        found.append(relative)
    return tuple(found)
