"""The IPython extension: `%%cpp`, `%build`, `%gpu`, `%project`, `%fork`, `%checkpoint`, `%%nosave`.

Every kernel loads it at its start, so it imports nothing that a kernel has not imported already: each magic's
module comes in at the magic's first use, and the record of builds only after a cell that ran other programs.
"""

from __future__ import annotations

import os
import resource
from typing import Any

# Name of the magic, the extension that brings it.
MAGICS = {
    "cpp": "regrow.kernel_magics.cpp_magic",
    "build": "regrow.kernel_magics.build_magic",
    "gpu": "regrow.kernel_magics.gpu_magic",
    "project": "regrow.kernel_magics.project_magic",
    "fork": "regrow.kernel_magics.fork_magic",
    "checkpoint": "regrow.kernel_magics.checkpoint_magic",
    "nosave": "regrow.kernel_magics.nosave_magic",
}


class CellWatch:
    """What happened around the cell that runs now; IPython calls it before and after each cell.

    `leading_blank_lines` is how many empty lines IPython took off the front of the cell, which compilers'
    messages have to count. After a cell that waited for other programs, new files below `$BUILD` are noted.
    """

    def __init__(self) -> None:
        self.leading_blank_lines = 0
        self._directory = ""
        self._started = 0.0
        self._children = _children_seen()

    def before(self, info: Any) -> None:
        """IPython's `pre_run_cell`."""
        import time

        text = info.raw_cell or ""
        self.leading_blank_lines = text[: len(text) - len(text.lstrip())].count("\n")
        self._started = time.time()
        self._children = _children_seen()
        try:
            self._directory = os.getcwd()  # noqa: PTH109 (nothing to import)
        except FileNotFoundError:  # the notebook's folder was removed
            self._directory = ""

    def after(self, result: Any) -> None:
        """IPython's `post_run_cell`."""
        if _children_seen() == self._children or not os.environ.get("REGROW_BUILD_PREFIXES"):
            return
        from . import builds

        builds.note_quietly(self._directory, since=self._started)


def _children_seen() -> tuple[float, float, int, int]:
    """Numbers that change whenever a program that this kernel started has ended and was waited for."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return (usage.ru_utime, usage.ru_stime, usage.ru_minflt, usage.ru_majflt)


def load_ipython_extension(shell: Any) -> None:
    """Declare the magics, without importing them, and watch cells for programs that install files."""
    for name, module in MAGICS.items():
        shell.magics_manager.register_lazy(name, module)
    # Before the watch, so that children that saved are reaped before it counts children.
    shell.regrow_session = _start_session(shell)
    from .nosave import without_line

    if without_line not in shell.input_transformers_cleanup:
        shell.input_transformers_cleanup.append(without_line)
    watch = CellWatch()
    shell.regrow_cell_watch = watch
    shell.events.register("pre_run_cell", watch.before)
    shell.events.register("post_run_cell", watch.after)
    shell.set_hook("complete_command", _complete, re_key=f"%+({'|'.join(MAGICS)})")


def unload_ipython_extension(shell: Any) -> None:
    """Stop watching cells; magics that were declared stay declared, as IPython cannot take them back."""
    watch = shell.regrow_cell_watch
    shell.events.unregister("pre_run_cell", watch.before)
    shell.events.unregister("post_run_cell", watch.after)


def _start_session(shell: Any) -> Any:
    """Saving and restoring of this kernel's variables; None where it has no notebook."""
    if (running := getattr(shell, "regrow_session", None)) is not None:
        return running
    if not os.environ.get("JPY_SESSION_NAME"):
        return None
    from regrow.state import kernel

    try:
        session = kernel.start(shell, _tell)
    except OSError as error:
        _tell(f"regrow: the variables of this kernel are not saved: {error}")
        return None
    if session is not None:
        from .nosave import Watch

        session.teller.show_restored = _show_restored
        _offer_what_came(session)
        watch = Watch(shell, session)
        shell.events.register("pre_run_cell", watch.before)
        shell.events.register("post_run_cell", watch.after)
    return session


def _offer_what_came(session: Any) -> None:
    """Where a fork's notebook has nothing saved, it begins with what its parent's owner has published of it."""
    folder = os.path.dirname(session.notebook)  # noqa: PTH120 (nothing to import)
    while folder not in ("/", ""):
        if os.path.exists(f"{folder}/.git/regrow/with_state.json"):  # noqa: PTH110
            break
        folder = os.path.dirname(folder)  # noqa: PTH120
    else:
        return
    if os.environ.get("REGROW_RESTORE") != "no":
        import asyncio

        from .forked import begin

        asyncio.get_event_loop().call_soon(begin, session)


def _show_restored(heading: str, lost: list[Any], problems: list[str]) -> None:
    from .checkpoint_views import show_restored

    show_restored(heading, lost, problems)


def _tell(message: str) -> None:
    import sys

    print(message, file=sys.stderr)


def _complete(shell: Any, event: Any) -> list[str]:
    """What may follow on the lines of our magics, for the Tab key."""
    from .completion import completions

    return completions(event.text_until_cursor)
