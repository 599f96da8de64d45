"""A checkpoint as one file, as it comes with a fork."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from regrow.state import saving
from regrow.state.bundle import Bundle, BundleDamaged, at_home, digest_of, for_others, write
from regrow.state.checkpoints import Checkpoints
from regrow.state.loading import Loader
from regrow.state.manifest import Cell, Manifest

PROJECT = Path("/home/ada/projects/faces")
LARGE = np.random.default_rng(1).random(700_000)


@pytest.fixture
def adas(tmp_path: Path) -> Iterator[Checkpoints]:
    """The checkpoints of a user who publishes."""
    with Checkpoints(tmp_path / "ada") as checkpoints:
        yield checkpoints


@pytest.fixture
def bobs(tmp_path: Path) -> Iterator[Checkpoints]:
    """Those of a user who forks."""
    with Checkpoints(tmp_path / "bob") as checkpoints:
        yield checkpoints


def saved(checkpoints: Checkpoints, namespace: dict[str, Any], before: Manifest | None = None, **more: Any) -> Manifest:
    """A checkpoint of `namespace`."""
    request = saving.Request(
        notebook=PROJECT / "n.ipynb",
        namespace=namespace,
        names=more.pop("names", set(namespace)),
        pending=more.pop("pending", set()),
        before=before,
        reason="test",
        at=1764131000.0,
        execution_count=4,
        cells=[Cell(1, "x = 1", [], ["x"]), Cell(2, "token = 'secret'", [], ["token"])],
        made_by={"x": 1},
        excluded=[],
        process={
            "path": [f"{PROJECT}/src", "/opt/own"],
            "directory": str(PROJECT),
            "environ": {"API_KEY": "secret"},
        },
        generators={},
        **more,
    )
    return saving.save(request, checkpoints, lambda names: None).manifest


def bundled(checkpoints: Checkpoints, manifest: Manifest, file: Path) -> Path:
    with file.open("wb") as output:
        write(output, manifest, checkpoints)
    return file


def loaded(bundle: Bundle, *names: str) -> tuple[dict[str, Any], list[str]]:
    """The values of `names`, and why those that could not be had could not."""
    namespace: dict[str, Any] = {}
    loader = Loader(cast(Checkpoints, bundle), bundle.manifest, namespace, lambda message: None)
    loader.place()
    failed = loader.load(names)
    return namespace, [missing.reason for missing in failed]


def test_what_was_written_is_loaded_from_where_it_lies(adas: Checkpoints, tmp_path: Path) -> None:
    file = bundled(adas, saved(adas, {"x": [1, {"a": "b"}], "large": LARGE}), tmp_path / "n.ipynb.state")
    with Bundle(file) as bundle:
        values, failed = loaded(bundle, "x", "large")
        assert (values["x"], failed) == ([1, {"a": "b"}], [])
        assert (values["large"] == LARGE).all()
        assert digest_of(file) == bundle.digest


def test_a_chunk_that_several_variables_have_is_in_it_once(adas: Checkpoints, tmp_path: Path) -> None:
    file = bundled(adas, saved(adas, {"a": LARGE, "b": LARGE.copy()}), tmp_path / "n.ipynb.state")
    assert file.stat().st_size < 1.1 * LARGE.nbytes
    with Bundle(file) as bundle:
        values, _ = loaded(bundle, "a", "b")
        assert (values["a"] == LARGE).all() and (values["b"] == LARGE).all()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(position=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_single_bit_that_was_changed_is_seen(
    whole: bytes, changed_file: Callable[[bytes], Path], position: float, bit: int
) -> None:
    changed = bytearray(whole)
    changed[int(position * len(whole))] ^= 1 << bit
    file = changed_file(bytes(changed))
    try:
        with Bundle(file) as bundle:
            values, failed = loaded(bundle, "x", "large")
    except BundleDamaged as error:
        assert str(error).startswith("n.ipynb.state ")
        return
    assert failed and all("n.ipynb.state was changed after it was written" in reason for reason in failed)
    assert values.get("x", [1]) == [1]


@pytest.fixture
def whole(adas: Checkpoints, tmp_path: Path) -> bytes:
    """The bytes of a bundle."""
    return bundled(adas, saved(adas, {"x": [1], "large": LARGE[:5000]}), tmp_path / "whole.state").read_bytes()


@pytest.fixture
def changed_file(tmp_path: Path) -> Callable[[bytes], Path]:
    """Makes a file of bytes."""
    file = tmp_path / "n.ipynb.state"

    def make(content: bytes) -> Path:
        file.write_bytes(content)
        return file

    return make


@pytest.mark.parametrize("length", [0, 7, 30, 87, 100, -1])
def test_one_that_was_cut_short_is_refused(whole: bytes, changed_file: Callable[[bytes], Path], length: int) -> None:
    with pytest.raises(BundleDamaged, match=r"n\.ipynb\.state"):
        Bundle(changed_file(whole[:length]))


def test_one_that_is_longer_is_refused(whole: bytes, changed_file: Callable[[bytes], Path]) -> None:
    with pytest.raises(BundleDamaged, match="not as long as it should be"):
        Bundle(changed_file(whole + b"x"))


def test_another_one_than_was_expected_is_refused(whole: bytes, changed_file: Callable[[bytes], Path]) -> None:
    with pytest.raises(BundleDamaged, match="not the one that came with the fork"):
        Bundle(changed_file(whole), "0" * 64)


def test_a_link_is_not_followed(whole: bytes, tmp_path: Path) -> None:
    link = tmp_path / "n.ipynb.state"
    link.symlink_to(tmp_path / "whole.state")
    with pytest.raises(OSError, match="symbolic link"):
        Bundle(link)


def test_one_that_is_closed_twice_closes_no_file_of_somebody_elses(
    whole: bytes, changed_file: Callable[[bytes], Path]
) -> None:
    bundle = Bundle(changed_file(whole))
    bundle.close()
    with (changed_file(whole)).open("rb") as other:
        bundle.close()
        assert other.read(7) == b"regrowB"
    with pytest.raises(OSError, match="Bad file descriptor"):
        bundle.read(bundle.manifest.recipes[0])


def test_others_get_no_environment_no_paths_and_only_cells_that_are_in_the_notebook(
    adas: Checkpoints, tmp_path: Path
) -> None:
    manifest = for_others(saved(adas, {"x": 1}), PROJECT, {"x = 1"})
    file = bundled(adas, manifest, tmp_path / "n.ipynb.state")
    content = file.read_bytes()
    for private in (b"secret", b"API_KEY", b"/opt/own", b"/home/ada", adas.key):
        assert private not in content
    with Bundle(file) as bundle:
        home = at_home(bundle.manifest, Path("/home/bob/projects/mine"))
    assert home.process == {"path": ["/home/bob/projects/mine/src"], "directory": "/home/bob/projects/mine"}
    assert [cell.source for cell in home.cells] == ["x = 1"]


def test_others_hear_which_names_could_not_be_kept_and_not_why(adas: Checkpoints, tmp_path: Path) -> None:
    lost = {"api": "secret-key", "rows": (n for n in range(3))}
    manifest = saved(adas, {"x": 1, "y": [2], "d": {"deep": [lost]}})
    manifest.groups[0].notes = {"x": "the file /home/ada/secret is opened again where it was read to"}
    assert "rows" in manifest.missing[0].reason
    others = for_others(manifest, PROJECT, set())
    assert [(each.name, each.reason) for each in others.missing] == [("d", "its owner's kernel could not keep it")]
    assert [group.notes for group in others.groups] == [{}, {}]
    content = bundled(adas, others, tmp_path / "n.ipynb.state").read_bytes()
    for private in (b"secret", b"rows", b"deep", b"/home/ada"):
        assert private not in content
    assert manifest.groups[0].notes


def test_paths_of_a_strangers_can_not_lead_out_of_the_project() -> None:
    manifest = Manifest("", 0, "", "3.11", process={"path": ["../../.ssh", "/etc"], "directory": "/etc"})
    assert at_home(manifest, PROJECT).process == {}


def test_the_first_own_save_takes_everything_into_the_own_store(
    adas: Checkpoints, bobs: Checkpoints, tmp_path: Path
) -> None:
    file = bundled(adas, saved(adas, {"x": [1], "large": LARGE}), tmp_path / "n.ipynb.state")
    with Bundle(file) as bundle:
        namespace: dict[str, Any] = {}
        Loader(cast(Checkpoints, bundle), bundle.manifest, namespace, lambda message: None).place()
        bundle.bring_into(bobs, bundle.manifest)
        namespace["y"] = 2
        own = saved(bobs, namespace, bundle.manifest, names={"y"}, pending={"x", "large"})
    file.unlink()
    values: dict[str, Any] = {}
    loader = Loader(bobs, own, values, lambda message: None)
    loader.place()
    assert loader.load(["x", "y", "large"]) == []
    assert (values["x"], values["y"]) == ([1], 2)
    assert (values["large"] == LARGE).all()


def test_what_is_damaged_is_named_and_does_not_cost_the_own_save_the_rest(
    adas: Checkpoints, bobs: Checkpoints, tmp_path: Path
) -> None:
    file = bundled(adas, saved(adas, {"x": [1], "large": LARGE}), tmp_path / "n.ipynb.state")
    content = bytearray(file.read_bytes())
    place = content.index(LARGE.tobytes()[:100])
    content[place] ^= 1
    file.write_bytes(content)
    with Bundle(file) as bundle:
        namespace: dict[str, Any] = {}
        Loader(cast(Checkpoints, bundle), bundle.manifest, namespace, lambda message: None).place()
        bundle.bring_into(bobs, bundle.manifest)
        own = saved(bobs, namespace, bundle.manifest, names=set(), pending={"x", "large"})
    assert own.names == ["x"]
    assert [(missing.name, missing.reason) for missing in own.missing] == [
        ("large", "what n.ipynb.state has of it is damaged")
    ]
