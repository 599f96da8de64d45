"""`results.json`: what was measured, and the table that is made of it."""

from __future__ import annotations

import json
import statistics
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.table import Table

from bench.case import Case, Measured

Result = dict[str, Any]

HERE = Path(__file__).parent
RESULTS = HERE / "results.json"
README = HERE / "README.md"
SCHEMA = HERE / "results.schema.json"
START, END = "<!-- results: made by `make bench` -->", "<!-- end of results -->"
HEADINGS = ["case", "ours", "peer", "", "ratio", "goal", "met", "memory"]


def to_result(bench: str, case: Case, measured: Measured, machine: str) -> Result:
    """One line of `results.json`."""
    ratio = measured.ratio(case)
    peer_name = case.peer_name
    if measured.peer_missing:
        peer_name = f"{case.peer_name}: can't be had here ({measured.peer_missing})"
    return {
        "bench": bench,
        "case": case.name,
        "ours": _rounded(statistics.median(measured.ours)),
        "ours_range": [_rounded(min(measured.ours)), _rounded(max(measured.ours))],
        "peer": _rounded(statistics.median(measured.peer)) if measured.peer else None,
        "peer_range": [_rounded(min(measured.peer)), _rounded(max(measured.peer))] if measured.peer else None,
        "peer_name": peer_name,
        "unit": case.unit,
        "ratio": None if ratio is None else _rounded(ratio),
        "goal": _rounded(case.goal),
        "met": None if ratio is None else ratio >= case.goal,
        "rounds": case.rounds,
        "peak_memory_bytes": measured.peak_memory_bytes,
        "date": datetime.now(UTC).date().isoformat(),
        "machine": machine,
    }


def read_results(path: Path) -> list[Result]:
    """What was measured before; nothing where there is no such file yet."""
    if not path.exists():
        return []
    results: list[Result] = json.loads(path.read_text())
    return results


def write_results(path: Path, results: list[Result]) -> None:
    """Write `results.json` in one go, so that a run that is cut short leaves the last one."""
    new = path.with_suffix(".new")
    new.write_text(json.dumps(results, indent=2, ensure_ascii=False) + "\n")
    new.replace(path)


def replace_bench(results: list[Result], bench: str, lines: list[Result]) -> list[Result]:
    """`results` with the lines of one benchmark exchanged for new ones."""
    return sorted(
        [result for result in results if result["bench"] != bench] + lines,
        key=lambda line: str(line["bench"]),
    )


def cells(result: Result) -> list[str]:
    """A result as the cells of a table, in the order of HEADINGS."""
    peer = "can't be had" if result["peer"] is None else _spread(result["peer"], result["peer_range"])
    met = {True: "yes", False: "no", None: "-"}[result["met"]]
    return [
        f"{result['bench']}: {result['case']}",
        f"{_spread(result['ours'], result['ours_range'])} {result['unit']}",
        f"{peer} {result['unit']}" if result["peer"] is not None else peer,
        result["peer_name"],
        "-" if result["ratio"] is None else f"{result['ratio']:.2f}",
        f"{result['goal']:.2f}",
        met,
        f"{result['peak_memory_bytes'] / 2**20:.0f} MiB",
    ]


def as_table(results: list[Result]) -> Table:
    """The results for a terminal."""
    table = Table(*HEADINGS, title="Medians (smallest-largest). A ratio above 1 is better for us.")
    for result in results:
        table.add_row(*cells(result))
    return table


def update_readme(path: Path, results: list[Result]) -> None:
    """Put the results between the README's two markers. Raises ValueError where it has none."""
    text = path.read_text()
    if START not in text or END not in text:
        raise ValueError(f"{path} has no place for the results: it needs the lines {START!r} and {END!r}.")
    rows = [HEADINGS, ["---"] * len(HEADINGS), *(cells(result) for result in results)]
    table = "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows)
    measured = sorted({f"{result['date']} on {result['machine']}" for result in results})
    before, after = text.split(START)[0], text.split(END)[1]
    path.write_text(f"{before}{START}\n{table}\n\nMeasured {'; '.join(measured)}.\n{END}{after}")


def _spread(median: float, extent: list[float]) -> str:
    return f"{median:.3g} ({extent[0]:.3g}-{extent[1]:.3g})"


def _rounded(value: float) -> float:
    """Four significant digits: more would be noise."""
    return float(f"{value:.4g}")
