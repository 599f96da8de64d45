"""`%%cpp`: compile a cell as C++ and run it, or import it as a Python module."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from IPython.core.magic import Magics, line_cell_magic, magics_class

from regrow.client.errors import OptionError
from regrow.client.options import Parsed, help_text, parse

from . import cpp_build, cpp_module, process, toolchain
from .errors import MagicError
from .usages import CPP

_SIGNALS = {
    signal.SIGSEGV: "invalid memory access. Compile with -g -fsanitize=address to see where",
    signal.SIGBUS: "invalid memory access. Compile with -g -fsanitize=address to see where",
    signal.SIGABRT: "the program gave up by itself: an uncaught exception, a failed assert or abort()",
    signal.SIGFPE: "an impossible calculation, as division by zero. -g -fsanitize=undefined shows where",
    signal.SIGILL: "an instruction that this processor lacks. Was it compiled with -march for another one",
    signal.SIGKILL: "killed from outside; most often for want of memory",
    signal.SIGPIPE: "it wrote to something that was closed",
    signal.SIGTERM: "somebody asked it to end",
}


class ProgramFailed(MagicError):
    """The program ended with a status other than 0, or by a signal."""


@magics_class
class CppMagics(Magics):
    """The magic, as IPython registers it."""

    @line_cell_magic
    def cpp(self, line: str, cell: str | None = None) -> None:
        """Compile the cell as C++ and run it. `%%cpp --help` lists the options."""
        # --args and the flags are the shell's business as much as ours: $BUILD and ~ mean what they do there.
        parsed = parse(CPP, line)
        if parsed.given("--help"):
            print(help_text(CPP))
            return
        if cell is None:
            raise OptionError("%cpp is for whole cells: write %%cpp in the cell's first line.")
        assert self.shell is not None
        watch = getattr(self.shell, "regrow_cell_watch", None)
        first_line = 2 + (watch.leading_blank_lines if watch else 0)
        try:
            run_cell(parsed, cell, first_line, namespace=self.shell.user_ns, colors=_wants_colors(self.shell))
        except KeyboardInterrupt:
            raise cpp_build.Interrupted("The cell was stopped before its program ran.") from None
        except OSError as error:
            raise cpp_build.CompileError(f"The cell could not be compiled here: {error}.") from None


def run_cell(parsed: Parsed, cell: str, first_line: int, *, namespace: dict[str, Any], colors: bool) -> None:
    """Compile a cell and run it, or put it as a module into `namespace`. Raises MagicError."""
    env = toolchain.current_environment()
    try:
        cwd = Path.cwd()
    except FileNotFoundError:
        raise cpp_build.CompileError("The notebook's folder was removed. Go to another with %cd.") from None
    module = parsed.one("--ext")
    if module is not None:
        if parsed.given("--args"):
            raise OptionError("--args is for programs; a module made with --ext takes none.")
        cpp_module.check_name(module)
        cpp_module.check_cell(cell, module)
    request = cpp_build.Request(
        cell=cell,
        first_line=first_line,
        words=[_expand(word) for word in parsed.words],
        std=parsed.one("--std") or "c++20",
        packages=parsed.many("--pkg"),
        module=module,
        colors=colors,
    )
    built = cpp_build.build(request, env, cwd)
    try:
        sys.stderr.write(built.messages + built.note)
        if module is not None:
            namespace[module] = cpp_module.load(built.artifact, module)
        else:
            _run_program(built.artifact, parsed.many("--args"), env, cwd)
    finally:
        if built.folder:
            shutil.rmtree(built.folder, ignore_errors=True)


def _run_program(artifact: Path, arguments: Sequence[str], env: Mapping[str, str], cwd: Path) -> None:
    try:
        ended = process.run([artifact, *arguments], out=sys.stdout.write, err=sys.stderr.write, env=env, cwd=cwd)
    except OSError as error:
        raise ProgramFailed(f"The compiled program {artifact} cannot be started: {error.strerror}.") from None
    if ended.interrupted:
        raise cpp_build.Interrupted("The program was stopped.")
    if ended.status:
        raise ProgramFailed(describe_status(ended.status))


def describe_status(status: int) -> str:
    """What a program's status, as `subprocess` gives it, means."""
    if status >= 0:
        return f"The program ended with exit status {status}."
    try:
        number = signal.Signals(-status)
    except ValueError:
        return f"The program was killed by signal {-status}."
    meaning = _SIGNALS.get(number)
    return f"The program was killed by signal {-status} ({number.name}{': ' + meaning if meaning else ''})."


def _expand(word: str) -> str:
    """`$NAME` and `~` in a flag, as a shell has them."""
    return os.path.expandvars(os.path.expanduser(word))  # noqa: PTH111 (a flag is not a path)


def _wants_colors(shell: Any) -> bool:
    return not os.environ.get("NO_COLOR") and str(getattr(shell, "colors", "")).lower() != "nocolor"


def load_ipython_extension(shell: Any) -> None:
    """Called by IPython at the first use of `%%cpp`."""
    shell.register_magics(CppMagics)
