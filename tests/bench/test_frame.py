"""The benchmarks' frame: a real tiny benchmark, what is written down of it, and a peer that can't be had."""

import hashlib
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import jsonschema
import pytest

from bench.__main__ import all_benches, main
from bench.case import Case, PeerUnavailable, measure
from bench.machine import describe_machine
from bench.memory import PeakMemory
from bench.peers import apt_command, pip_environment
from bench.results import RESULTS, SCHEMA, update_readme

DATA = bytes(range(256)) * 2**14


def seconds_to_hash(algorithm: str) -> float:
    started = time.perf_counter()
    hashlib.new(algorithm, DATA).hexdigest()
    return time.perf_counter() - started


@contextmanager
def tiny() -> Iterator[list[Case]]:
    yield [
        Case(
            "hash 4 MiB",
            ours=lambda: seconds_to_hash("blake2b"),
            peer=lambda: seconds_to_hash("sha3_512"),
            peer_name="hashlib's sha3_512",
            unit="s",
            goal=0.5,
        )
    ]


def missing() -> float:
    raise PeerUnavailable("the registry has no such package")


@contextmanager
def alone() -> Iterator[list[Case]]:
    yield [Case("x", ours=lambda: 2.0, peer=missing, peer_name="nothing 1.0", unit="s", goal=1, rounds=2)]


@contextmanager
def impossible() -> Iterator[list[Case]]:
    raise PeerUnavailable("no Docker engine answers")
    yield []


@contextmanager
def untidy() -> Iterator[list[Case]]:
    yield [Case("x", ours=lambda: 2.0, peer=lambda: 4.0, peer_name="peer", unit="s", goal=1, rounds=1)]
    raise OSError("a network was left")


def check_schema(results: list[dict]) -> None:
    jsonschema.validate(
        results,
        json.loads(SCHEMA.read_text()),
        format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER,
    )


def test_a_real_benchmark_is_measured_written_down_and_shown(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    path = tmp_path / "results.json"
    assert main(["--only", "tiny", "--results", str(path)], {"tiny": tiny}) == 0
    (result,) = json.loads(path.read_text())
    check_schema([result])
    assert result["ratio"] == pytest.approx(result["peer"] / result["ours"], rel=0.01)
    assert result["met"] == (result["ratio"] >= 0.5)
    assert result["ours_range"][0] <= result["ours"] <= result["ours_range"][1]
    assert result["rounds"] == 5 and result["peak_memory_bytes"] > 2**20
    shown = capsys.readouterr().out
    assert "hash 4 MiB" in shown and "Medians" in shown


def test_a_peer_that_cannot_be_had_is_a_line_that_says_so(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    assert main(["--results", str(path)], {"alone": alone}) == 0
    (result,) = json.loads(path.read_text())
    check_schema([result])
    assert result["peer"] is None and result["ratio"] is None and result["met"] is None
    assert result["ours"] == 2.0
    assert "nothing 1.0: can't be had here (the registry has no such package)" in result["peer_name"]


def test_a_benchmark_that_cannot_run_is_exit_status_1_and_keeps_the_others(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    path = tmp_path / "results.json"
    assert main(["--results", str(path)], {"impossible": impossible, "tiny": tiny}) == 1
    assert [result["bench"] for result in json.loads(path.read_text())] == ["tiny"]
    assert "impossible: nothing was measured: no Docker engine answers" in capsys.readouterr().out


def test_what_was_measured_is_kept_also_where_cleaning_up_fails(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    with pytest.raises(OSError, match="a network was left"):
        main(["--results", str(path)], {"untidy": untidy})
    assert [result["ratio"] for result in json.loads(path.read_text())] == [2.0]


def test_a_later_run_replaces_only_what_it_measured(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    benches = {"tiny": tiny, "alone": alone}
    assert main(["--results", str(path)], benches) == 0
    assert main(["--only", "alone", "--rounds", "3", "--results", str(path)], benches) == 0
    results = json.loads(path.read_text())
    assert [(result["bench"], result["rounds"]) for result in results] == [("alone", 3), ("tiny", 5)]


@pytest.mark.parametrize("argv", [["--only", "nothing"], ["--rounds", "0"], ["--fast"]])
def test_bad_usage_is_exit_status_2(argv: list[str], capsys: pytest.CaptureFixture) -> None:
    with pytest.raises(SystemExit) as ended:
        main(argv, {"tiny": tiny})
    assert ended.value.code == 2
    assert "python -m bench: error" in capsys.readouterr().err


def test_both_sides_run_in_turn_and_the_warm_up_does_not_count() -> None:
    calls: list[str] = []

    def side(name: str, values: Iterator[float]) -> float:
        calls.append(name)
        return next(values)

    ours, peer = iter([100.0, 1.0, 2.0, 3.0]), iter([100.0, 4.0, 6.0, 8.0])
    case = Case("x", lambda: side("A", ours), lambda: side("B", peer), "peer", "s", goal=2, rounds=3)
    measured = measure(case)
    assert "".join(calls) == "AB" + "AB" + "BA" + "AB"
    assert (measured.ours, measured.peer) == ([1, 2, 3], [4, 6, 8])
    assert measured.ratio(case) == 3


def test_a_ratio_above_one_is_better_also_where_more_is_better() -> None:
    case = Case("x", lambda: 10.0, lambda: 5.0, "peer", "MB/s", goal=1, rounds=1, higher_is_better=True)
    assert measure(case).ratio(case) == 2


def test_peak_memory_is_the_most_that_was_seen() -> None:
    held = iter([10, 70, 30])
    memory = PeakMemory(lambda: next(held, 0))
    with memory:
        time.sleep(0.5)
    assert memory.peak_bytes == 70


def test_the_readme_gets_the_table_between_its_markers(tmp_path: Path) -> None:
    path, results = tmp_path / "README.md", tmp_path / "results.json"
    main(["--results", str(results)], {"alone": alone})
    before = (SCHEMA.parent / "README.md").read_text()
    path.write_text(before)
    update_readme(path, json.loads(results.read_text()))
    text = path.read_text()
    assert "| alone: x | 2 (2-2) s | can't be had |" in text
    assert text.split("<!-- results")[0] == before.split("<!-- results")[0]
    update_readme(path, json.loads(results.read_text()))
    assert path.read_text() == text, "a second time changes nothing"
    path.write_text("no markers")
    with pytest.raises(ValueError, match="has no place for the results"):
        update_readme(path, [])


def test_the_results_in_the_checkout_are_valid() -> None:
    if RESULTS.exists():
        check_schema(json.loads(RESULTS.read_text()))


def test_every_folder_is_a_benchmark() -> None:
    assert "spawn" in all_benches()


def test_the_machine_is_described_without_its_name() -> None:
    import platform

    described = describe_machine()
    assert "cores" in described and "GiB" in described and "Linux" in described
    assert platform.node() not in described


def test_a_package_that_does_not_exist_is_a_peer_that_cannot_be_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")  # so that no registry is asked
    with pytest.raises(PeerUnavailable, match="No matching distribution"):
        pip_environment("test-missing", "regrow-has-no-such-peer==1")
    with pytest.raises(PeerUnavailable):
        apt_command("regrow-no-such-command", "regrow-no-such-package")
