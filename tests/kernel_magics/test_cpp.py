"""`%%cpp` in real kernels: what a notebook's user sees."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regrow.kernel_magics import cpp_cache

from support.real_kernel import Kernel, MakeKernel, Outcome

HELLO = '%%cpp\n#include <cstdio>\nint main() { std::puts("hello"); }\n'


def plain(text: str) -> str:
    """Without the terminal's colours."""
    return re.sub(r"\x1b\[[0-9;]*[mK]", "", text)


def entries(kernel: Kernel) -> list[Path]:
    """The cache's entries."""
    return sorted((kernel.home / ".cache/regrow/cpp").glob("*.json"))


def failed(outcome: Outcome, ename: str) -> str:
    """The message of a cell that failed as a cell should: an error, and no traceback of Python's."""
    assert (outcome.status, outcome.ename) == ("error", ename), outcome
    assert "most recent call last" not in outcome.traceback
    assert "/kernel_magics/" not in outcome.traceback
    return outcome.evalue


def test_a_cell_with_a_main_runs(kernel: Kernel) -> None:
    assert kernel.ok(HELLO).stdout == "hello\n"


def test_a_cell_of_bare_statements_runs(kernel: Kernel) -> None:
    cell = "%%cpp\n#include <iostream>\nint twice(int x) { return 2 * x; }\nstd::cout << twice(21) << '\\n';"
    assert kernel.ok(cell).stdout == "42\n"


def test_the_language_is_cpp20_and_another_can_be_asked_for(kernel: Kernel) -> None:
    body = '\n#include <cstdio>\nint main() { std::printf("%ld\\n", __cplusplus); }\n'
    assert kernel.ok("%%cpp" + body).stdout == "202002\n"
    assert kernel.ok("%%cpp --std c++17" + body).stdout == "201703\n"


def test_flags_arguments_and_environment_variables_of_the_line_are_used(kernel: Kernel) -> None:
    kernel.ok("import os; os.environ['TEST_N'] = '7'; q = 5")
    cell = (
        "%%cpp -DN=$$TEST_N -DQ={q} -O3 --args one 'two words' --std x\n#include <cstdio>\n"
        'int main(int n, char** a) { std::printf("%d %d %d %s|%s", N, Q, n, a[2], a[3]); }\n'
    )
    assert kernel.ok(cell).stdout == "7 5 5 two words|--std"
    # IPython takes the second dollar away only where it fills something in.
    assert kernel.ok(cell.replace("$$", "$").replace("{q}", "6")).stdout == "7 6 5 two words|--std"


def test_a_library_in_the_build_prefix_is_found_by_compiler_linker_and_loader(
    make_kernel: MakeKernel, tmp_path: Path
) -> None:
    prefix = tmp_path / "build" / "abi-1" / "local"
    kernel = make_kernel()
    (prefix / "include").mkdir()
    (prefix / "lib" / "pkgconfig").mkdir(parents=True)
    (prefix / "include" / "answer.h").write_text("int answer();\n")
    source = tmp_path / "answer.cpp"
    source.write_text("int answer() { return 42; }\n")
    library = prefix / "lib" / "libanswer.so"
    subprocess.run(["g++", "-shared", "-fPIC", source, "-o", library], check=True)
    (prefix / "lib/pkgconfig/answer.pc").write_text("Name: answer\nDescription: -\nVersion: 1\nLibs: -lanswer\n")
    body = "\n#include <answer.h>\nreturn answer();\n"
    for flags in ("-lanswer", "--pkg answer"):
        assert "exit status 42" in failed(kernel.run(f"%%cpp {flags}{body}"), "ProgramFailed")
    # The loader itself finds it (rpath), and a rebuilt library is linked anew.
    source.write_text("int answer() { return 43; }\n")
    subprocess.run(["g++", "-shared", "-fPIC", source, "-o", library], check=True)
    assert "exit status 43" in failed(kernel.run(f"%%cpp -lanswer{body}"), "ProgramFailed")


def test_a_rebuilt_static_library_is_linked_again(make_kernel: MakeKernel, tmp_path: Path) -> None:
    kernel = make_kernel()
    for value in (1, 2):
        (tmp_path / "s.cpp").write_text(f"int s() {{ return {value}; }}\n")
        subprocess.run(["g++", "-c", "s.cpp", "-o", "s.o"], cwd=tmp_path, check=True)
        subprocess.run(["ar", "rcs", "libs.a", "s.o"], cwd=tmp_path, check=True)
        outcome = kernel.run(f"%%cpp -L{tmp_path} -ls\nint s();\nint main() {{ return s(); }}\n")
        assert f"exit status {value}" in failed(outcome, "ProgramFailed")


def test_a_package_that_pkg_config_does_not_know_is_named(kernel: Kernel) -> None:
    message = failed(kernel.run("%%cpp --pkg no-such-thing\nreturn 0;"), "ToolchainError")
    assert "pkg-config does not know no-such-thing" in message and "PKG_CONFIG_PATH" in message
    assert "cannot be the name" in failed(kernel.run("%%cpp --pkg=--version\nreturn 0;"), "ToolchainError")


def test_an_error_is_shown_at_the_cells_own_line_with_the_place_marked(kernel: Kernel) -> None:
    cell = "%%cpp\n#include <cstdio>\n\nint main() {\n    int x = wrong;\n}\n"
    outcome = kernel.run(cell)
    # Line 1 is the line of the magic, as the notebook counts.
    assert failed(outcome, "CompileError").startswith("The cell does not compile. First error, in line 5: ")
    shown = plain(outcome.traceback)
    assert "cell:5:13: error: " in shown
    assert re.search(r"5 \|     int x = wrong;\n\s+\| {13}\^~~~~", shown), shown
    assert "\x1b[" in outcome.traceback
    assert "regrow-cpp-" not in outcome.traceback


def test_an_error_in_a_bare_statement_and_after_blank_lines_is_at_its_line_and_column(kernel: Kernel) -> None:
    cell = "\n\n%%cpp\nint f() { return 1; }\nint a = 1; int b = wrong;\n"
    outcome = kernel.run(cell)
    assert "in line 5: " in failed(outcome, "CompileError")
    assert re.search(r"\| {20}\^~~~~", plain(outcome.traceback)), plain(outcome.traceback)


def test_a_missing_library_is_told_from_an_error_in_the_cell(kernel: Kernel) -> None:
    outcome = kernel.run("%%cpp\nvoid missing();\nint main() { missing(); }\n")
    assert "does not link" in failed(outcome, "CompileError")
    assert "undefined reference" in outcome.traceback


def test_a_flood_of_errors_is_cut(kernel: Kernel) -> None:
    cell = "%%cpp -fmax-errors=0\nint main() {\n" + "".join(f"wrong{n};\n" for n in range(300)) + "}\n"
    shown = kernel.run(cell).traceback
    assert len(shown.splitlines()) < 250 and "more lines]" in shown


def test_warnings_are_shown_also_when_the_cell_was_compiled_before(kernel: Kernel) -> None:
    cell = "%%cpp -Wall\nint main() { int unused; }\n"
    for _ in range(2):
        assert "cell:2:18: warning: unused variable" in plain(kernel.ok(cell).stderr)


def test_output_arrives_while_the_program_runs_and_both_streams_are_kept_apart(kernel: Kernel) -> None:
    cell = (
        "%%cpp\n#include <cstdio>\n#include <unistd.h>\n"
        'for (int i = 0; i < 4; ++i) { std::printf("%d\\n", i); std::fprintf(stderr, "e"); usleep(400000); }\n'
    )
    outcome = kernel.ok(cell)
    assert (outcome.stdout, outcome.stderr) == ("0\n1\n2\n3\n", "eeee")
    assert outcome.arrivals[-1] - outcome.arrivals[0] > 0.8


def test_ten_megabytes_of_output_arrive_whole(kernel: Kernel) -> None:
    cell = '%%cpp\n#include <cstdio>\nfor (int i = 0; i < 100000; ++i) std::printf("%099d\\n", i);\n'
    outcome = kernel.ok(cell)
    assert len(outcome.stdout) == 10_000_000
    assert outcome.stdout.endswith("99999\n")


def test_text_of_every_kind_passes_in_both_directions(kernel: Kernel) -> None:
    cell = "%%cpp --args 'größe 🌱'\n#include <cstdio>\n// ünïcode\nstd::printf(\"%s ✓ \\xff|\", argv[1]);"
    assert kernel.ok(cell).stdout == "größe 🌱 ✓ \ufffd|"


def test_a_program_that_reads_finds_its_input_closed(kernel: Kernel) -> None:
    assert kernel.ok('%%cpp\n#include <cstdio>\nstd::printf("%d", std::getchar());').stdout == "-1"


def test_an_endless_program_stops_at_an_interrupt_with_all_that_it_started(kernel: Kernel) -> None:
    cell = (
        "%%cpp\n#include <cstdio>\n#include <unistd.h>\n"
        'int main() { int child = fork(); if (child) std::printf("%d\\n", child); for (;;) pause(); }\n'
    )
    started = kernel.start(cell)
    kernel.read_until(started, "\n")
    kernel.interrupt()
    outcome = kernel.finish(started, 10)
    assert failed(outcome, "Interrupted") == "The program was stopped."
    child = int(outcome.stdout)
    deadline = time.monotonic() + 5
    while _alive(child):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert kernel.ok("print('still here')").stdout == "still here\n"


def _alive(pid: int) -> bool:
    try:
        return " Z " not in Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False


def test_a_program_that_ignores_interrupts_is_killed(kernel: Kernel) -> None:
    cell = (
        "%%cpp\n#include <csignal>\n#include <cstdio>\n#include <unistd.h>\n"
        'int main() { std::signal(SIGINT, SIG_IGN); std::puts("ready"); for (;;) pause(); }\n'
    )
    started = kernel.start(cell)
    kernel.read_until(started, "ready")
    begun = time.monotonic()
    kernel.interrupt()
    failed(kernel.finish(started, 10), "Interrupted")
    assert 1.5 < time.monotonic() - begun < 6


def test_a_compilation_stops_at_an_interrupt(kernel: Kernel) -> None:
    # The compiler itself counts to two thousand million.
    cell = (
        "%%cpp -fconstexpr-ops-limit=4611686018427387904 -fconstexpr-loop-limit=2147483647\n"
        "constexpr unsigned f() { unsigned s = 0; for (unsigned i = 0; i < 2000000000; ++i) s += i; return s; }\n"
        "static_assert(f() != 1);\nint main() {}\n"
    )
    started = kernel.start(cell)
    time.sleep(1.5)
    kernel.interrupt()
    assert "compiler was stopped" in failed(kernel.finish(started, 15), "Interrupted")


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("int* p = nullptr; *(volatile int*)p = 1;", ["signal 11", "SIGSEGV", "-fsanitize=address"]),
        ("__builtin_abort();", ["signal 6", "SIGABRT"]),
        ("return 3;", ["exit status 3"]),
    ],
)
def test_a_program_that_fails_fails_the_cell_and_says_how(kernel: Kernel, body: str, words: list[str]) -> None:
    message = failed(kernel.run(f"%%cpp\nint main() {{ {body} }}\n"), "ProgramFailed")
    assert all(word in message for word in words), message


def test_an_uncaught_exception_shows_what_it_said(kernel: Kernel) -> None:
    outcome = kernel.run('%%cpp\n#include <stdexcept>\nthrow std::runtime_error("no such luck");')
    failed(outcome, "ProgramFailed")
    assert "no such luck" in outcome.stderr


def test_the_sanitizer_that_the_message_advises_names_the_cells_line(kernel: Kernel) -> None:
    cell = (
        "%%cpp -g -O0 -fsanitize=address\n#include <cstdlib>\nint main(int n, char**) {\n"
        "    int* p = new int[3];\n    p[2 + n] = 1;\n}\n"
    )
    outcome = kernel.run(cell)
    failed(outcome, "ProgramFailed")
    assert "heap-buffer-overflow" in outcome.stderr and "cell:5" in outcome.stderr


def test_the_same_cell_is_compiled_once(make_kernel: MakeKernel) -> None:
    kernel = make_kernel()
    kernel.ok(HELLO)
    (entry,) = entries(kernel)
    before = entry.stat().st_mtime_ns
    second = kernel.ok(HELLO)
    assert second.stdout == "hello\n" and second.seconds < 1
    assert entry.stat().st_mtime_ns == before
    kernel.ok(HELLO.replace("%%cpp", "%%cpp -O1"))
    assert len(entries(kernel)) == 2


def test_a_changed_header_compiles_the_cell_again(make_kernel: MakeKernel) -> None:
    kernel = make_kernel()
    header = kernel.home / "value.h"
    cell = '%%cpp\n#include <iostream>\n#include "value.h"\nstd::cout << VALUE;'
    for value in ("1", "2"):
        header.write_text(f"#define VALUE {value}\n")
        assert kernel.ok(cell).stdout == value
    # Same size and, put back, the same time: only a file that is the same counts as the same.
    stamp = header.stat().st_mtime_ns
    assert kernel.ok(cell).stdout == "2"
    header.write_text("#define VALUE 3\n")
    os.utime(header, ns=(stamp + 1, stamp + 1))
    assert kernel.ok(cell).stdout == "3"
    header.unlink()
    assert "value.h" in failed(kernel.run(cell), "CompileError")


def test_what_comes_earlier_on_the_path_wins_at_once(make_kernel: MakeKernel, tmp_path: Path) -> None:
    own, group = tmp_path / "build/abi-1/local", tmp_path / "groups/vision/build/abi-1/local"
    (group / "include/vision").mkdir(parents=True)
    kernel = make_kernel(REGROW_BUILD_PREFIXES=f"{own}:{group}")
    cell = "%%cpp\n#include <iostream>\n#include <vision/version.h>\nstd::cout << VERSION;"

    def install(prefix: Path, header: str, version: int) -> None:
        (prefix / header).parent.mkdir(parents=True, exist_ok=True)
        (prefix / header).write_text(f"#define VERSION {version}\n")

    install(group, "include/vision/version.h", 1)
    assert kernel.ok(cell).stdout == "1"
    # The own prefix had no folder `include` at all; what else comes into it changes nothing.
    install(own, "include/other/version.h", 0)
    assert kernel.ok(cell).stdout == "1"
    (entry,) = entries(kernel)
    before = entry.stat().st_mtime_ns
    assert kernel.ok(cell).stdout == "1"
    install(own, "include/visions.h", 0)
    assert kernel.ok(cell).stdout == "1"
    assert entry.stat().st_mtime_ns == before
    install(own, "include/vision/version.h", 2)
    assert kernel.ok(cell).stdout == "2"
    (own / "include/vision/version.h").unlink()
    assert kernel.ok(cell).stdout == "1"


def test_a_header_in_a_prefix_wins_over_one_of_the_system_at_once(make_kernel: MakeKernel, tmp_path: Path) -> None:
    kernel = make_kernel()
    cell = "%%cpp\n#include <elf.h>\n#ifdef EI_NIDENT\nreturn 1;\n#else\nreturn 2;\n#endif"
    assert "exit status 1" in failed(kernel.run(cell), "ProgramFailed")
    include = tmp_path / "build/abi-1/local/include"
    include.mkdir()
    (include / "elf.h").write_text("#pragma once\n")
    assert "exit status 2" in failed(kernel.run(cell), "ProgramFailed")


def test_a_header_beside_the_one_that_includes_it_wins_at_once(make_kernel: MakeKernel, tmp_path: Path) -> None:
    include = tmp_path / "build/abi-1/local/include"
    include.mkdir(parents=True)
    (include / "size.h").write_text("#define SIZE 1\n")
    kernel = make_kernel()
    (kernel.home / "parts").mkdir()
    (kernel.home / "parts/part.h").write_text('#include "size.h"\n')
    cell = '%%cpp\n#include "parts/part.h"\nreturn SIZE;'
    assert "exit status 1" in failed(kernel.run(cell), "ProgramFailed")
    for size, folder in ((2, kernel.home), (3, kernel.home / "parts")):
        (folder / "size.h").write_text(f"#define SIZE {size}\n")
        assert f"exit status {size}" in failed(kernel.run(cell), "ProgramFailed")


def test_a_library_that_comes_earlier_on_the_path_is_linked_at_once(make_kernel: MakeKernel, tmp_path: Path) -> None:
    own, group = tmp_path / "build/abi-1/local", tmp_path / "groups/vision/build/abi-1/local"
    for prefix in (own, group):
        (prefix / "lib").mkdir(parents=True)
    kernel = make_kernel(REGROW_BUILD_PREFIXES=f"{own}:{group}")
    source = tmp_path / "answer.cpp"

    def install(library: Path, value: int) -> None:
        source.write_text(f"int answer() {{ return {value}; }}\n")
        if library.suffix == ".so":
            subprocess.run(["g++", "-shared", "-fPIC", source, "-o", library], check=True)
        else:
            subprocess.run(["g++", "-c", source, "-o", tmp_path / "answer.o"], check=True)
            subprocess.run(["ar", "rcs", library, tmp_path / "answer.o"], check=True)

    cell = "%%cpp -lanswer\nint answer();\nint main() { return answer(); }"
    for value, library in ((1, group / "lib/libanswer.a"), (2, own / "lib/libanswer.a"), (3, own / "lib/libanswer.so")):
        install(library, value)
        assert f"exit status {value}" in failed(kernel.run(cell), "ProgramFailed")


def test_other_sources_on_the_line_are_compiled_too(make_kernel: MakeKernel) -> None:
    kernel = make_kernel()
    for value in (5, 6):
        (kernel.home / "helper.cpp").write_text(f"int help() {{ return {value}; }}\n")
        outcome = kernel.run("%%cpp helper.cpp\nint help();\nint main() { return help(); }")
        assert f"exit status {value}" in failed(outcome, "ProgramFailed")


def test_two_kernels_compile_the_same_cell_at_once(make_kernel: MakeKernel) -> None:
    first, second = make_kernel(), make_kernel()
    started = [(kernel, kernel.start(HELLO)) for kernel in (first, second)]
    for kernel, cell in started:
        assert kernel.finish(cell).stdout == "hello\n"
    (entry,) = entries(first)
    assert not list(entry.parent.glob(".new-*"))


def test_a_damaged_cache_entry_is_made_anew(make_kernel: MakeKernel) -> None:
    kernel = make_kernel()
    kernel.ok(HELLO)
    (entry,) = entries(kernel)
    for damage in (b"", b"[]", b'{"artifact": "../../../../bin/false", "inputs": {}, "messages": ""}', b"\xff"):
        entry.write_bytes(damage)
        assert kernel.ok(HELLO).stdout == "hello\n"


def test_a_program_removed_from_the_cache_is_made_anew(make_kernel: MakeKernel) -> None:
    kernel = make_kernel()
    kernel.ok(HELLO)
    for program in entries(kernel)[0].parent.glob("*.bin"):
        program.unlink()
    assert kernel.ok(HELLO).stdout == "hello\n"


def test_without_a_cache_the_cell_runs_and_says_why_it_is_slow(make_kernel: MakeKernel, tmp_path: Path) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.write_text("")
    kernel = make_kernel(XDG_CACHE_HOME=str(in_the_way))
    for _ in range(2):
        outcome = kernel.ok(HELLO)
        assert outcome.stdout == "hello\n"
        assert "cannot be written (Not a directory)" in outcome.stderr


def test_a_full_disk_leaves_the_cache_as_it_was(make_kernel: MakeKernel, tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8k", "tmpfs", small], capture_output=True)
    if mounted.returncode:
        pytest.skip("a small file system cannot be mounted here")
    try:
        kernel = make_kernel(XDG_CACHE_HOME=str(small))
        outcome = kernel.ok(HELLO)
        assert outcome.stdout == "hello\n"
        assert "No space left on device" in outcome.stderr
        assert [path.name for path in (small / "regrow" / "cpp").iterdir()] == []
    finally:
        subprocess.run(["umount", "-l", small], check=True)


def test_a_missing_compiler_is_said_with_what_to_do(make_kernel: MakeKernel) -> None:
    message = failed(make_kernel(CXX="no-such-compiler").run(HELLO), "ToolchainError")
    assert "no-such-compiler was not found" in message and "apt-get install g++" in message


@pytest.mark.parametrize("flag", ["-c", "-E", "-o", "-ofile", "-MMD", "-x"])
def test_flags_that_make_something_else_are_refused(kernel: Kernel, flag: str) -> None:
    assert "cannot be used in a cell" in failed(kernel.run(f"%%cpp {flag}\nreturn 0;"), "OptionError")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("%%cpp 'open", "Close the quotes"),
        ("%%cpp --std", "--std needs a value"),
        ("%%cpp --std ';rm'", "is not a C++ standard"),
        ("%%cpp missing.o", "neither a flag nor a file"),
        ("%%cpp -I", "-I needs a value"),
    ],
)
def test_a_line_that_cannot_be_understood_is_explained(kernel: Kernel, line: str, words: str) -> None:
    assert words in failed(kernel.run(f"{line}\nreturn 0;"), "OptionError")


def test_help_is_shown_without_compiling(kernel: Kernel) -> None:
    for line in ("%%cpp --help\nnot c++", "%cpp --help"):
        assert "--ext NAME" in kernel.ok(line).stdout
    assert "whole cells" in failed(kernel.run("%cpp return 0;"), "OptionError")


def test_a_failed_cell_leaves_nothing_in_the_temporary_folder(make_kernel: MakeKernel, tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    kernel = make_kernel(TMPDIR=str(scratch))
    kernel.run("%%cpp\nwrong")
    kernel.ok(HELLO)
    assert [path.name for path in scratch.iterdir() if path.name.startswith("regrow")] == []


def test_a_temporary_folder_that_is_gone_is_said_without_a_traceback(make_kernel: MakeKernel, tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    kernel = make_kernel(TMPDIR=str(scratch))
    kernel.ok("import tempfile; tempfile.gettempdir()")
    scratch.rmdir()
    assert "could not be compiled here" in failed(kernel.run(HELLO), "CompileError")


def test_without_colours_the_compilers_message_has_none(make_kernel: MakeKernel) -> None:
    outcome = make_kernel(NO_COLOR="1").run("%%cpp\nwrong")
    assert "error:" in outcome.traceback and "\x1b" not in outcome.traceback


def test_the_cache_is_bounded_and_spares_what_was_used_just_now(tmp_path: Path) -> None:
    for age, name in ((9000, "old"), (8000, "older than an hour"), (0, "new")):
        file = tmp_path / name
        file.write_bytes(b"x" * 100)
        os.utime(file, (time.time() - age, time.time() - age))
    cpp_cache._drop_oldest(tmp_path, max_bytes=250)
    assert {file.name for file in tmp_path.iterdir()} == {"older than an hour", "new"}
    cpp_cache._drop_oldest(tmp_path, max_bytes=0)
    assert {file.name for file in tmp_path.iterdir()} == {"new"}


@given(st.lists(st.text(alphabet="a b#$é", min_size=1).filter(lambda name: name.strip() == name), min_size=1))
def test_a_dependency_file_gives_back_the_names_that_it_was_made_of(names: list[str]) -> None:
    escaped = [name.replace("$", "$$").replace("#", "\\#").replace(" ", "\\ ") for name in names]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "x.d"
        file.write_text("target.o: " + " \\\n ".join(escaped) + "\n")
        assert cpp_cache.read_depfile(file) == [Path(name) for name in names]
