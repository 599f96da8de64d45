"""`%checkpoint`: the saved states of this kernel's variables; making again what could not be kept."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from IPython.core.getipython import get_ipython
from IPython.core.magic import Magics, line_magic, magics_class

from regrow.client.errors import OptionError, ShownError
from regrow.client.options import Parsed, Usage, help_text, parse_words
from regrow.client.result import Result, joined, say, warn
from regrow.client.tables import size_text
from regrow.projects.printable import printable
from regrow.state import history, rerun, restoring
from regrow.state.checkpoints import Checkpoints
from regrow.state.errors import StateError
from regrow.state.manifest import Missing
from regrow.state.session import Session
from regrow.store import StoreError

from . import checkpoint_trust, checkpoint_views, display
from .checkpoint_usages import CHECKPOINT
from .errors import MagicError

_MOST_NAMED = 20


class CheckpointError(MagicError):
    """A checkpoint could not be made, read or put back."""


@magics_class
class CheckpointMagics(Magics):
    """The magic, as IPython registers it."""

    @line_magic
    def checkpoint(self, line: str) -> None:
        """Save this kernel's variables, look at what is kept, and go back. `%checkpoint --help` lists the commands."""
        try:
            words = shlex.split(line)
        except ValueError as error:
            raise OptionError(
                f"The line of %checkpoint cannot be read: {str(error).lower()}. Close the quotes."
            ) from None
        command, *rest = words or ["save"]
        if command == "--help":
            print(_overview())
            return
        if command not in CHECKPOINT:
            raise OptionError(f"There is no %checkpoint {command!r}. There are: {', '.join(CHECKPOINT)}.")
        usage = CHECKPOINT[command]
        parsed = parse_words(usage, rest)
        if parsed.given("--help"):
            print(help_text(usage))
            return
        _check_words(usage, parsed)
        with _refusals():
            _show(_COMMANDS[command](_session(self.shell), parsed))


def rerun_missing(names: list[str]) -> bool:
    """Run the cells that make those of `names` that are missing, and show them; whether all are there then."""
    session = _session(get_ipython())
    lost = rerun.missing(session)
    try:
        with _refusals():
            _show(_run(session, [name for name in names if name in lost]))
    except ShownError as error:
        _show(say(str(error)))
        return False
    return True


def _show(result: Result) -> None:
    if result.text:
        display.show(result.html, result.text)


def _overview() -> str:
    width = max(map(len, CHECKPOINT))
    lines = [f"  {name:<{width}}  {usage.summary}" for name, usage in CHECKPOINT.items()]
    return "\n".join(["%checkpoint COMMAND", "", *lines, "", "%checkpoint COMMAND --help says what each accepts."])


def _check_words(usage: Usage, parsed: Parsed) -> None:
    for word in parsed.words:
        if word.startswith("--"):
            raise OptionError(f"{usage.magic} has no option {word}. See {usage.magic} --help.")
    most = len(parsed.words) if usage.words in ("NAMES", "[NAMES]") else 1 if usage.words else 0
    if len(parsed.words) > most:
        raise OptionError(f"{usage.magic} can't do with {parsed.words[most]!r}. See {usage.magic} --help.")
    if not parsed.words and usage.words and not usage.words.startswith("["):
        raise OptionError(f"{usage.magic} needs {usage.words}. See {usage.magic} --help.")


def _session(shell: Any) -> Session:
    session: Session | None = getattr(shell, "regrow_session", None)
    if session is None:
        raise CheckpointError("This kernel has no notebook, so its variables are not saved.")
    return session


@contextlib.contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except (StateError, StoreError, OSError) as error:
        raise CheckpointError("\n".join(map(printable, str(error).split("\n")))) from None


def _save(session: Session, parsed: Parsed) -> Result:
    problem = session.save("hand", everything=True)
    if problem:
        raise CheckpointError(problem)
    manifest, status = session.manifest, session.status
    assert manifest is not None
    session.teller.shown(manifest.missing)
    heading = (
        f"Saved: {checkpoint_views.count(len(manifest.names), 'variable')}, {size_text(manifest.size)}, "
        f"of which {size_text(status.new_bytes)} are new."
    )
    return joined(say(heading), _not_saved(manifest.missing))


def _not_saved(lost: Sequence[Missing]) -> Result:
    return checkpoint_views.missing(lost) if lost else Result("", "")


def _list(session: Session, parsed: Parsed) -> Result:
    with Checkpoints(session.directory) as checkpoints:
        found = history.steps(checkpoints, session.notebook)
    if not found:
        return say("Nothing of this notebook has been saved yet. `%checkpoint` saves it now.")
    return joined(
        checkpoint_views.steps(found), say("`%checkpoint show ID` shows one, `%checkpoint restore ID` goes back to it.")
    )


def _contents(session: Session, parsed: Parsed) -> Result:
    with Checkpoints(session.directory) as checkpoints:
        entry = history.find(checkpoints, session.notebook, _when(parsed), session.now())
        manifest = checkpoints.read(session.notebook, entry)
    return checkpoint_views.contents(manifest, history.sizes(manifest), entry.id)


def _restore(session: Session, parsed: Parsed) -> Result:
    with contextlib.ExitStack() as stack:
        checkpoints = stack.enter_context(Checkpoints(session.directory))
        entry = history.find(checkpoints, session.notebook, _when(parsed), session.now())
        manifest = checkpoints.read(session.notebook, entry)
        if problem := session.save("restore", everything=True):
            raise CheckpointError(f"{problem} Nothing was restored, as what is here would be lost.")
        last = checkpoints.entries(session.notebook)[-1]
        stack.pop_all()  # the variables are loaded from it later
    restored = restoring.put_back(session, manifest, checkpoints)
    _leave_out_of_record(session)
    session.tell_restored(restored)
    session.teller.now()
    if parsed.given("--eager"):
        session.load(manifest.names)
    if last.id == entry.id:
        return say("That is what was saved last.")
    return say(f"`%checkpoint restore {last.id}` brings back what was here before.")


def _leave_out_of_record(session: Session) -> None:
    """This cell is none of those of the checkpoint that the kernel is at now."""
    events = session.shell.events

    def after(result: Any) -> None:
        events.unregister("post_run_cell", after)
        if session.cells and result.info is not None and session.cells[-1].source == result.info.raw_cell:
            del session.cells[-1]

    events.register("post_run_cell", after)


def _rerun(session: Session, parsed: Parsed) -> Result:
    lost = rerun.missing(session)
    there = session.variables.snapshot()
    for name in parsed.words:
        if name not in lost and name in there:
            raise CheckpointError(f"{name} is there: nothing has to be run for it. {_listed('Missing', lost)}")
        if name not in lost and not any(name in cell.writes for cell in session.cells):
            raise CheckpointError(f"No cell has made {name}. {_listed('Missing', lost)}")
    return _run(session, parsed.words or lost)


def _run(session: Session, names: list[str]) -> Result:
    if not names:
        return say("Nothing is missing.")
    planned = rerun.plan_for(session, names)
    if not planned.cells:
        raise CheckpointError(f"Which cell has made {', '.join(planned.unknown)} is not known: run it by hand.")
    done = rerun.run(session, planned, lambda cell: _show(checkpoint_views.cell(cell)))
    if done.failed is not None:
        raise CheckpointError(
            f"Cell {done.failed.count} was not run to its end: {done.why}. {_listed('Still missing', done.missing)} "
            "What was run before it stays."
        )
    unknown = [f"Which cell has made {name} is not known: run it by hand." for name in planned.unknown]
    unmade = [f"{name} is missing still, though its cell was run." for name in done.missing if name in planned.makes]
    heading = f"{', '.join(done.made)} {'is' if len(done.made) == 1 else 'are'} there again."
    return joined(say(heading) if done.made else Result("", ""), warn([*unmade, *unknown]))


def _exclude(session: Session, parsed: Parsed) -> Result:
    if not parsed.words:
        excluded = sorted(session.excluded)
        return say(_listed("Kept out of checkpoints", excluded) if excluded else "No variable is excluded.")
    _check_names(parsed.words, list(session.variables.snapshot()), "There is no variable", "There are")
    session.exclude(parsed.words)
    return say(f"From now on, checkpoints are without {', '.join(parsed.words)}. Those that were made before stay.")


def _include(session: Session, parsed: Parsed) -> Result:
    _check_names(parsed.words, sorted(session.excluded), "Checkpoints are not without", "They are without")
    session.include(parsed.words)
    return say(f"From now on, checkpoints have {', '.join(parsed.words)} again.")


def _check_names(wanted: Sequence[str], known: list[str], refusal: str, there: str) -> None:
    for name in wanted:
        if name not in known:
            raise CheckpointError(f"{refusal} {name}. {_listed(there, known)}")


def _listed(title: str, names: list[str]) -> str:
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return f"{title}: {', '.join(sorted(names)[:_MOST_NAMED]) or 'none'}{more}."


def _delete(session: Session, parsed: Parsed) -> Result:
    everything = parsed.given("--all")
    if everything == bool(parsed.words):
        raise OptionError("Say which one, or --all: %checkpoint delete WHEN. See %checkpoint delete --help.")
    with Checkpoints(session.directory) as checkpoints:
        if everything:
            # What is not loaded yet is nowhere else.
            session.load(session.variables.snapshot())
            entries = checkpoints.entries(session.notebook)
            session.record.manifest = None
        else:
            entries = [history.find(checkpoints, session.notebook, parsed.words[0], session.now())]
        for entry in entries:
            checkpoints.drop(session.notebook, entry)
    if not entries:
        return say("Nothing of this notebook had been saved.")
    deleted = checkpoint_views.count(len(entries), "checkpoint") if everything else f"The checkpoint {entries[0].id}"
    return say(f"{deleted} {'are' if len(entries) > 1 else 'is'} deleted. What the kernel has now is saved again.")


def _when(parsed: Parsed) -> str:
    return parsed.words[0] if parsed.words else ""


_COMMANDS: dict[str, Callable[[Session, Parsed], Result]] = {
    "save": _save,
    "list": _list,
    "show": _contents,
    "restore": _restore,
    "rerun": _rerun,
    "exclude": _exclude,
    "include": _include,
    "delete": _delete,
    "trust": checkpoint_trust.trust,
    "untrust": checkpoint_trust.untrust,
}


def load_ipython_extension(shell: Any) -> None:
    """Called by IPython at the first use of `%checkpoint`."""
    shell.register_magics(CheckpointMagics)
