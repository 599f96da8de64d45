"""The benchmark of saved variables, on a few megabytes: everything is measured, and nothing is left."""

import json
from functools import partial
from pathlib import Path

import pytest

from bench import state
from bench.__main__ import main
from bench.peers import WORK
from bench.state.scale import Scale

SMALL = Scale(
    array_bytes=2 * 1024**2,
    arrays=2,
    variables=20,
    variable_bytes=100_000,
    rows=5000,
    table_rows=2000,
    notebooks=1,
)
#: What is fetched from registries, once.
KEPT = {"kishu", "state-notebooks", "state-sources"}


def test_saved_variables_are_measured_beside_dill_and_kishu_and_nothing_is_left(tmp_path: Path) -> None:
    before = set(WORK.iterdir()) if WORK.exists() else set()
    path = tmp_path / "results.json"
    assert main(["--rounds", "1", "--results", str(path)], {"state": partial(state.cases, SMALL)}) == 0
    results = {(line["case"], line["peer_name"]): line for line in json.loads(path.read_text())}
    assert len(results) == 15
    missing = {name: line for name, line in results.items() if line["peer"] is None}
    assert not missing
    assert all(line["ours"] > 0 for line in results.values() if "slowest" not in line["case"])
    assert {each.name for each in set(WORK.iterdir()) - before} <= KEPT


@pytest.mark.parametrize(
    ("scale", "words"), [(Scale(), ("4 GiB", "10,000,000 small objects")), (SMALL, ("8 MiB", "20,000 small objects"))]
)
def test_a_scale_says_what_it_is(scale: Scale, words: tuple[str, str]) -> None:
    assert (scale.large, scale.objects) == words
