"""Names that stand for what is kept: loaded quickly, and never lost because loading failed."""

from __future__ import annotations

import gc
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from regrow.state import saving
from regrow.state.checkpoints import Checkpoints
from regrow.state.loading import AT_HAND_BYTES, AT_HAND_NAMES, Loader, NotLoaded
from regrow.state.request import Request


@contextmanager
def restored(folder: Path, values: dict[str, Any], tell: Callable[[str], None] = print) -> Iterator[Any]:
    """A loader of `values`, which were saved, and the namespace in which they stand."""
    names, notebook = set(values), folder / "a.ipynb"
    request = Request(
        notebook, values, names, set(), None, "test", time.time(), 1, [], dict.fromkeys(names, 3), [], {}, {}
    )
    with Checkpoints(folder / "state") as checkpoints:
        manifest = saving.save(request, checkpoints, lambda group: None).manifest
        assert manifest.missing == []
    namespace: dict[str, Any] = {}
    loader = Loader(Checkpoints(folder / "state"), manifest, namespace, tell)
    loader.place()
    yield loader, namespace
    loader.close()


def test_ten_thousand_names_are_loaded_in_a_second(tmp_path: Path) -> None:
    values = {f"x{n}": [n, "x" * 1000] for n in range(10_000)}
    with restored(tmp_path, values) as (loader, namespace):
        started = time.process_time()
        slowest = 0.0
        while names := loader.at_hand():
            assert len(names) <= AT_HAND_NAMES
            begun = time.process_time()
            assert loader.load(names) == []
            slowest = max(slowest, time.process_time() - begun)
        # Some 0.5 s where the machine does nothing else; reading all of it for each name took minutes.
        assert time.process_time() - started < 3
        assert slowest < 0.5
        assert namespace == values
        assert loader.pending() == set()


def test_what_is_at_hand_is_small_and_imports_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "later.py").write_text("__version__ = '1'\nclass Thing:\n    pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    import later  # type: ignore[import-not-found]

    values = {"large": b"x" * (AT_HAND_BYTES + 1), "thing": later.Thing(), "module": later, "a": 1, "b": 2}
    with restored(tmp_path, values) as (loader, namespace):
        monkeypatch.delitem(sys.modules, "later")
        assert set(loader.at_hand()) <= {"a", "b"}
        assert sorted(loader.at_hand()) in (["a", "b"], ["a"], ["b"])
        namespace["a"] = "bound by a cell"
        loader.load(["b"])
        assert loader.at_hand() == []
        import later

        assert sorted(loader.at_hand()) == ["module", "thing"]
        assert loader.pending() == {"large", "module", "thing"}


def test_what_could_not_be_loaded_is_kept_until_it_can_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = tmp_path / "installed_later.py"
    source.write_text("class Thing:\n    def __init__(self, n):\n        self.n = n\n")
    monkeypatch.syspath_prepend(tmp_path)
    import installed_later  # type: ignore[import-not-found]

    thing = installed_later.Thing(5)
    with restored(tmp_path, {"a": thing, "b": [thing], "c": thing, "x": 1}) as (loader, namespace):
        monkeypatch.delitem(sys.modules, "installed_later")
        away = source.rename(tmp_path / "away")
        namespace["c"] = "bound by a cell"
        failed = loader.load(["a"])
        assert sorted((each.name, each.cell) for each in failed) == [("a", 3), ("b", 3)]
        assert "No module named 'installed_later'" in failed[0].reason
        assert namespace.keys() == {"c", "x"}
        assert (loader.kept(), loader.pending()) == ({"a", "b"}, {"x"})
        # Once more, in vain; what is bound again meanwhile is the notebook's own.
        assert sorted(each.name for each in loader.load(["b"])) == ["a", "b"]
        namespace["b"] = "bound again"
        assert loader.kept() == {"a"}
        del namespace["b"]
        assert loader.kept() == {"a"}
        away.rename(source)
        assert loader.load(["a", "b"]) == []
        assert namespace["a"].n == 5
        assert namespace.keys() == {"a", "c", "x"}
        assert namespace["c"] == "bound by a cell"
        assert loader.kept() == set()


def test_a_loader_that_is_closed_has_nothing_and_is_closed_again_for_nothing(tmp_path: Path) -> None:
    with restored(tmp_path, {"x": 1}) as (loader, namespace):
        loader.close()
        loader.close()
        assert (loader.pending(), loader.at_hand(), loader.load(["x"])) == (set(), [], [])
        assert isinstance(namespace["x"], NotLoaded)


def test_another_thread_may_ask_what_is_pending_while_cells_load_and_bind(tmp_path: Path) -> None:
    with restored(tmp_path, {f"x{n}": n for n in range(3_000)}) as (loader, namespace):
        errors: list[Exception] = []
        ended = threading.Event()

        def ask() -> None:
            try:
                while not ended.is_set():
                    loader.pending()
                    loader.kept()
            except Exception as error:
                errors.append(error)

        threads = [threading.Thread(target=ask) for _ in range(2)]
        before, thresholds = sys.getswitchinterval(), gc.get_threshold()
        sys.setswitchinterval(1e-5)
        # Collections call what libraries have registered, and let threads run in the middle of what looks like one step.
        gc.callbacks.append(lambda *_: None)
        gc.set_threshold(50)
        try:
            for thread in threads:
                thread.start()
            for n in range(0, 3_000, 2):
                namespace[f"x{n}"] = "bound by a cell"
                loader.load([f"x{n + 1}"])
        finally:
            ended.set()
            sys.setswitchinterval(before)
            gc.set_threshold(*thresholds)
            gc.callbacks.pop()
            for thread in threads:
                thread.join()
        assert errors == []
        assert loader.pending() == set()
