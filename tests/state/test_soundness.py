"""Reading back what was just written, in the child that saves, which does nothing to what it is of."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any, ClassVar

import pytest

from regrow.state import soundness
from regrow.state.pickling import Context, dump
from regrow.state.reducers import torch
from regrow.state.spill import Spill

from support.sessions import Notebook, save

ended: list[str] = []


class Scratch:
    """Ends something with itself."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __del__(self) -> None:
        ended.append(self.name)


class Forgetful:
    """Is pickled in its own way, and comes back other than it was."""

    def __init__(self, part: Any = None) -> None:
        self.part = part
        self.lost = 1

    def __getstate__(self) -> dict[str, Any]:
        return {"part": self.part}


class Unreadable(Forgetful):
    """What is written of it can't be read."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        raise ValueError("never")


class Looking(Forgetful):
    """Notes whether it is only read back to be looked at."""

    rehearsals: ClassVar[list[bool]] = []

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, lost=1)
        self.rehearsals.append(torch.rehearsing)


def differences(folder: Path, **values: Any) -> dict[str, str]:
    """What is said of `values`."""
    output, buffers = Spill(folder), list[pickle.PickleBuffer]()
    by_dill = dump(values, Context({}), output, buffers)
    views = [buffer.raw() for buffer in buffers]
    told = soundness.differences(values, output.view(), views, by_dill, values)
    return {name: difference.text for name, difference in told.items()}


def test_what_comes_back_different_is_told(tmp_path: Path) -> None:
    assert soundness.is_doubtful(Forgetful)
    assert differences(tmp_path, x=Forgetful()) == {"x": "it comes back different: x.lost is missing"}
    told = differences(tmp_path, x=Unreadable())
    assert told == {"x": "what is written of it can't be read back: ValueError: never"}


def test_meanwhile_nothing_goes_to_a_gpu(tmp_path: Path) -> None:
    assert differences(tmp_path, x=Looking()) == {}
    assert (Looking.rehearsals, torch.rehearsing) == ([True], False)


def test_what_ends_something_with_itself_is_not_read_back(tmp_path: Path) -> None:
    assert not soundness.is_doubtful(type("Both", (Scratch, Forgetful), {}))
    scratch = Scratch("one")
    for each in (Forgetful(scratch), Unreadable(scratch)):
        assert differences(tmp_path, x=each) == {}
    assert ended == []


@pytest.mark.parametrize("name", ["forgetful", "unreadable", "local", "own"])
def test_a_file_that_goes_with_its_object_is_there_after_a_save(notebook: Notebook, name: str) -> None:
    make = """
import pathlib
class Scratch:
    def __init__(self, path):
        self.path = pathlib.Path(path)
        self.path.touch()
    def __del__(self):
        self.path.unlink()
class Forgetful:
    def __init__(self, *parts):
        self.parts, self.lost = parts, 1
    def __getstate__(self):
        return {'parts': self.parts}
class Unreadable(Forgetful):
    def __setstate__(self, state):
        raise ValueError
class Own(Scratch):
    def __getstate__(self):
        return {'path': self.path}
def local(path):
    class Local(Scratch):
        pass
    return Local(path)
"""
    values = {
        "forgetful": "Forgetful(Scratch('file'))",
        "unreadable": "Unreadable([Scratch('file')])",
        "local": "Unreadable([local('file')])",
        "own": "Own('file')",
    }
    with notebook.kernel() as kernel:
        kernel.ok(f"{make}\nx = {values[name]}")
        assert save(kernel) == ""
        assert kernel.ok("pathlib.Path('file').exists()").result == "True"
