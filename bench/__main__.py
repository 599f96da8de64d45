"""`python -m bench [--only NAME]`: run the benchmarks, write `results.json`, show the table."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from pathlib import Path

from rich.console import Console

from bench.case import Case, PeerUnavailable, measure
from bench.machine import describe_machine
from bench.results import (
    HERE,
    README,
    RESULTS,
    Result,
    as_table,
    read_results,
    replace_bench,
    to_result,
    update_readme,
    write_results,
)

Bench = Callable[[], AbstractContextManager[list[Case]]]


def all_benches() -> dict[str, Bench]:
    """Every `bench/NAME/` that is a package."""
    names = sorted(path.parent.name for path in HERE.glob("*/__init__.py"))
    return {name: importlib.import_module(f"bench.{name}").cases for name in names}


def main(argv: list[str], benches: Mapping[str, Bench] | None = None) -> int:
    """Run the benchmarks that the arguments name; returns the exit status.

    0 when all of them ran, whether or not they met their goals; 1 when one could not run; 2 for bad usage.
    """
    parser = argparse.ArgumentParser(prog="python -m bench", description="Measure Regrow beside its peers.")
    parser.add_argument("--only", metavar="NAME", help="run just this benchmark")
    parser.add_argument("--rounds", type=int, metavar="N", help="run each side N times in place of its usual")
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="FILE", help="default: %(default)s")
    arguments = parser.parse_args(argv)
    if arguments.rounds is not None and arguments.rounds < 1:
        parser.error("--rounds is a number from 1 on")
    benches = all_benches() if benches is None else benches
    if arguments.only and arguments.only not in benches:
        parser.error(f"there is no benchmark {arguments.only!r}; there are: {', '.join(sorted(benches))}")

    # Where nobody watches there is no window to fit the table into.
    console = Console(width=None if sys.stdout.isatty() else 180)
    machine = describe_machine()
    failed = False
    for name in [arguments.only] if arguments.only else sorted(benches):
        try:
            for lines in run_bench(name, benches[name], machine, console, arguments.rounds):
                # Written before the cleaning up, which may fail.
                write_results(arguments.results, replace_bench(read_results(arguments.results), name, lines))
        except PeerUnavailable as error:
            console.print(f"{name}: nothing was measured: {error}", markup=False, soft_wrap=True)
            failed = True
    results = read_results(arguments.results)
    console.print(as_table(results))
    if arguments.results == RESULTS and results:
        update_readme(README, results)
    return 1 if failed else 0


def run_bench(
    name: str, bench: Bench, machine: str, console: Console, rounds: int | None = None
) -> Iterator[list[Result]]:
    """Set a benchmark up, measure its cases, yield their results once, and clean up."""
    console.print(f"{name}: setting up", markup=False, soft_wrap=True)
    lines = []
    with bench() as cases:
        for case in cases:
            if rounds:
                case = Case(**{**vars(case), "rounds": rounds})
            console.print(
                f"{name}: {case.name}, {case.rounds} times beside {case.peer_name}",
                markup=False,
                soft_wrap=True,
            )
            line = to_result(name, case, measure(case), machine)
            console.print(
                f"  ours {line['ours']}, peer {line['peer']} {line['unit']}, ratio {line['ratio']}",
                markup=False,
            )
            lines.append(line)
        yield lines


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
