"""Where the memory of tensors goes whose GPU is not there."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch as library

from regrow.state.reducers import torch


@pytest.fixture(autouse=True)
def nothing_is_told_yet() -> Iterator[None]:
    """What others left is not this test's."""
    torch.take_moved()
    yield
    torch.take_moved()


@pytest.fixture
def rehearsing() -> Iterator[None]:
    """As in the child that saves."""
    torch.rehearsing = True
    yield
    torch.rehearsing = False


@pytest.mark.skipif(library.cuda.is_available(), reason="there is a GPU here")
def test_what_was_on_a_gpu_is_in_memory_where_there_is_none_and_that_is_told_once() -> None:
    for device in ("cuda:0", "cuda:1", "cuda:0"):
        storage = torch._storage(bytearray(b"abc"), device)
        assert (storage.device.type, bytes(storage.tolist())) == ("cpu", b"abc")
    assert torch.take_moved() == [
        "tensors that were on cuda:0 are in the machine's memory: there is no such GPU here",
        "tensors that were on cuda:1 are in the machine's memory: there is no such GPU here",
    ]
    assert torch.take_moved() == []


@pytest.mark.usefixtures("rehearsing")
def test_what_is_only_read_back_to_be_looked_at_stays_away_from_gpus() -> None:
    assert torch._storage(bytearray(b"abc"), "cuda:0").device.type == "cpu"
    assert torch._generator("cuda:0", None).device.type == "cpu"
    assert torch.take_moved() == []


def test_what_was_in_memory_is_there_and_nothing_is_told() -> None:
    assert torch._storage(bytearray(b"abc"), "cpu").device.type == "cpu"
    assert torch.take_moved() == []
