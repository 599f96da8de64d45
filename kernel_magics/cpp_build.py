"""Compile a cell: the commands, the cache around them, and the compiler's messages in terms of the cell."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from regrow.client.errors import OptionError

from . import cpp_cache, cpp_shadows, process, toolchain, wrapping
from .errors import MagicError
from .prefixes import prefixes

# Messages longer than this many lines are cut: a template's can fill the notebook.
MAX_MESSAGE_LINES = 200
CELL = "cell"
SOURCES = frozenset({".c", ".cc", ".cpp", ".cxx", ".C", ".c++"})
# Options whose value is the next word.
_WITH_VALUE = re.compile(
    "-(?:[ILDUlTuzB]|include|imacros|isystem|iquote|idirafter|isysroot|Xlinker|Xpreprocessor|Xassembler|Xclang"
    "|target|-param)"
)
_FOR_LINKER = ("-l", "-L", "-Wl,", "-T", "-u", "-z")
# Options that would make something else than a program of the cell, or put it where we do not look.
_REFUSED = re.compile(r"-(?:c|S|E|o.*|M\w*|shared|x.*|###|fsyntax-only|save-temps.*)")
# Programs buffer what they print when it does not go to a terminal; a notebook wants each line at once.
_LIVE = """#include <cstdio>
namespace { const int regrow_live = std::setvbuf(stdout, nullptr, _IOLBF, 1 << 16); }
"""
_ANSI = re.compile(r"\x1b\[[0-9;]*[mK]")


class CompileError(MagicError):
    """The cell, or a file that it was given, does not compile or link."""


class Interrupted(MagicError):
    """The user stopped the cell."""


@dataclass(frozen=True)
class Request:
    """A cell to compile. `first_line` is the number of its first line as the notebook counts them."""

    cell: str
    first_line: int
    words: Sequence[str] = ()
    std: str = "c++20"
    packages: Sequence[str] = ()
    module: str | None = None
    colors: bool = True


@dataclass(frozen=True)
class Built:
    """A compiled cell. `folder`: a temporary one for the caller to remove, None if the cache has the file."""

    artifact: Path
    messages: str
    folder: Path | None
    note: str = ""


@dataclass(frozen=True)
class _Words:
    """The words of the line by what they are to the compiler."""

    compiling: list[str]
    linking: list[str]
    sources: list[Path]
    objects: list[Path]


def build(request: Request, env: Mapping[str, str], cwd: Path) -> Built:
    """Compile the cell, or find it compiled. Raises MagicError; an OSError means a broken machine."""
    if not re.fullmatch(r"[A-Za-z0-9+:]+", request.std):
        raise OptionError(f"{request.std!r} is not a C++ standard. Try --std c++17, c++20 or c++23.")
    compiler = toolchain.find_compiler(env)
    build_prefixes = prefixes(env)
    words = _sort_words(request.words, cwd)
    packages = toolchain.package_flags(request.packages, build_prefixes, env)
    ours = _sort_words(packages, cwd)
    python = toolchain.python_flags() if request.module else []
    compiling = [f"-std={request.std}", "-O2", *python, *ours.compiling, *words.compiling]
    compiling += toolchain.compile_flags(build_prefixes)
    linking = [*words.linking, *ours.linking, *toolchain.link_flags(build_prefixes)]
    # What the compiler reads from the environment changes what it makes.
    surroundings = [
        f"{name}={env.get(name, '')}" for name in ("CPATH", "CPLUS_INCLUDE_PATH", "C_INCLUDE_PATH", "LIBRARY_PATH")
    ]
    key = cpp_cache.key_of(
        [
            "1",
            request.cell,
            str(request.first_line),
            str(cwd),
            str(request.module),
            str(request.colors),
            *compiler.command,
            compiler.version,
            *surroundings,
            "|",
            *compiling,
            "|",
            *linking,
            "|",
            *map(str, [*words.sources, *words.objects]),
        ]
    )
    cache = cpp_cache.cache_folder(env)
    found = cpp_cache.find(cache, key)
    if found:
        return Built(found.artifact, found.messages, folder=None)
    folder = Path(tempfile.mkdtemp(prefix="regrow-cpp-"))
    keep = False
    try:
        work = _Work(compiler, folder, cwd, env, request)
        messages, inputs, absent = work.make(compiling, linking, words)
        try:
            kept = cpp_cache.keep(cache, key, work.artifact, inputs, absent, messages)
            return Built(kept.artifact, messages, folder=None)
        except OSError as error:
            keep = True
            note = (
                f"The cache of compiled cells, {cache}, cannot be written ({error.strerror}): "
                "this cell is compiled each time.\n"
            )
            return Built(work.artifact, messages, folder, note)
    finally:
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)


@dataclass(frozen=True)
class _Work:
    """One compilation in a folder of its own."""

    compiler: toolchain.Compiler
    folder: Path
    cwd: Path
    env: Mapping[str, str]
    request: Request

    @property
    def artifact(self) -> Path:
        return self.folder / "program"

    def make(self, compiling: list[str], linking: list[str], words: _Words) -> tuple[str, list[Path], set[str]]:
        """Compile and link.

        Returns the compiler's messages, the files that it read, and what it would have read instead of them.
        """
        request = self.request
        cell = self.folder / CELL
        # The compiler shows the lines of a file of this name; the notebook's line of the magic is in front.
        cell.write_text("\n" * (request.first_line - 1) + request.cell, errors="surrogateescape")
        unit = self.folder / "unit.cpp"
        if request.module:
            source = wrapping.whole(request.cell, str(cell), request.first_line)
        else:
            source = wrapping.program(request.cell, str(cell), request.first_line).source
        unit.write_text(source, errors="surrogateescape")
        common = ["-fdiagnostics-color=" + ("always" if request.colors else "never")]
        common += ["-ferror-limit=20"] if self.compiler.is_clang else ["-fmax-errors=20"]
        common += [f"-ffile-prefix-map={self.folder}/=", "-iquote", str(self.cwd)]
        sources = [unit, *words.sources]
        if request.module:
            common += ["-fPIC", "-fvisibility=hidden", *_registry_of_its_own()]
            if not self.compiler.is_clang:
                # All modules of a process share unique symbols: an edited cell would keep its old ones.
                common.append("-fno-gnu-unique")
        else:
            live = self.folder / "live.cpp"
            live.write_text(_LIVE)
            sources.append(live)
        messages = ""
        headers = [*words.sources]
        objects = []
        for number, file in enumerate(sources):
            made = self.folder / f"{number}.o"
            depfile = self.folder / f"{number}.d"
            command = [*common, *compiling, "-MD", "-MF", str(depfile), "-c", str(file), "-o", str(made)]
            messages += self._call(command)
            headers += cpp_cache.read_depfile(depfile)
            objects.append(str(made))
        depfile = self.folder / "link.d"
        shared = ["-shared"] if request.module else []
        files = [*objects, *map(str, words.objects)]
        command = [
            *compiling,
            *shared,
            *files,
            *linking,
            f"-Wl,--dependency-file={depfile}",
            "-o",
            str(self.artifact),
        ]
        messages += self._call(command)
        read = self._lasting(headers)
        linked = self._lasting([*words.objects, *cpp_cache.read_depfile(depfile)])
        folders = cpp_shadows.library_folders(linking, self.env.get("LIBRARY_PATH", ""), self.cwd)
        absent = cpp_shadows.missing_headers(read, self._include_path([*common, *compiling]))
        return messages, [*read, *linked], absent | cpp_shadows.missing_libraries(linked, folders)

    def _call(self, arguments: list[str]) -> str:
        said: list[str] = []
        command = [*self.compiler.command, *arguments]
        ended = process.run(command, out=said.append, err=said.append, env=self.env, cwd=self.cwd)
        messages = _shorten("".join(said).replace(f"{self.folder}/", ""))
        if ended.interrupted:
            raise Interrupted("The compiler was stopped; the cell has not run.")
        if ended.status:
            raise CompileError(_summary(messages, ended.status), details=messages)
        return messages

    def _include_path(self, flags: list[str]) -> cpp_shadows.IncludePath:
        said: list[str] = []
        command = [*self.compiler.command, *flags, "-E", "-v", "-x", "c++", os.devnull]
        env = {**self.env, "LC_ALL": "C"}
        ended = process.run(command, out=lambda text: None, err=said.append, env=env, cwd=self.cwd)
        if ended.interrupted:
            raise Interrupted("The compiler was stopped; the cell has not run.")
        return cpp_shadows.include_path("".join(said), self.cwd)

    def _lasting(self, files: Iterable[Path]) -> list[Path]:
        # The objects that the compiler hands to the linker lie in its own temporary files.
        absolute = sorted({self.cwd / path for path in files})
        return [path for path in absolute if not path.is_relative_to(self.folder) and path.exists()]


def _registry_of_its_own() -> list[str]:
    """Give a module its own registry of pybind11 types.

    pybind11 keeps one registry per process and version, and refuses to register a C++ type twice, which is
    what an edited cell does. The number is only a name for the registry. Another module takes this one's
    objects if it registers their type too (pybind11's conduit).
    """
    return [f"-DPYBIND11_INTERNALS_VERSION={10**15 + secrets.randbelow(10**15)}"]


def _sort_words(words: Sequence[str], cwd: Path) -> _Words:
    """Tell the compiler's flags, the linker's, sources and other files apart. Raises OptionError."""
    sorted_words = _Words([], [], [], [])
    position = 0
    while position < len(words):
        word = words[position]
        taken = 2 if _WITH_VALUE.fullmatch(word) else 1
        if position + taken > len(words):
            raise OptionError(f"{word} needs a value after it.")
        group = list(words[position : position + taken])
        position += taken
        if _REFUSED.fullmatch(word):
            raise OptionError(
                f"{word} cannot be used in a cell: the cell is always compiled to a program that runs, "
                "or with --ext to a module."
            )
        if word.startswith(_FOR_LINKER) or word == "-Xlinker":
            sorted_words.linking.extend(group)
        elif word.startswith(("-", "@")):
            sorted_words.compiling.extend(group)
        else:
            _add_file(word, cwd, sorted_words)
    return sorted_words


def _add_file(word: str, cwd: Path, sorted_words: _Words) -> None:
    file = cwd / word
    if not file.is_file():
        raise OptionError(f"{word!r} is neither a flag nor a file here. A program's own arguments stand after --args.")
    (sorted_words.sources if file.suffix in SOURCES else sorted_words.objects).append(file)


def _summary(messages: str, status: int) -> str:
    plain = _ANSI.sub("", messages)
    place = re.search(rf"^{CELL}:(\d+):\d+: (?:fatal )?error: (.*)", plain, re.MULTILINE)
    if place:
        return f"The cell does not compile. First error, in line {place[1]}: {place[2]}"
    if "undefined reference to" in plain or "cannot find -l" in plain or "ld returned" in plain:
        return "The cell compiles but does not link. Is a library missing from the line (-lNAME or --pkg NAME)?"
    if status < 0:
        return f"The compiler was killed by signal {-status}. Was there enough memory?"
    return "The cell does not compile; the messages above say where."


def _shorten(messages: str, limit: int = MAX_MESSAGE_LINES) -> str:
    lines = messages.splitlines(keepends=True)
    if len(lines) <= limit:
        return messages
    return "".join(lines[:limit]) + f"\x1b[0m[{len(lines) - limit} more lines]\n"
