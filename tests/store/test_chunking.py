"""Where content is cut."""

import io
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from regrow.store.chunking import BLOCK_BYTES, MAX_BYTES, MIN_BYTES, chunks_of_buffer, chunks_of_stream


class Slow(io.BytesIO):
    """A stream that gives less than asked for, as sockets do."""

    def __init__(self, data, most):
        super().__init__(data)
        self.most = most

    def readinto(self, buffer):
        return super().readinto(buffer[: self.most])


def content(size, seed=0):
    return random.Random(seed).randbytes(size)


@settings(max_examples=30, deadline=None)
@given(
    st.sampled_from([0, 1, MIN_BYTES, MAX_BYTES, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 3 * BLOCK_BYTES]),
    st.integers(1000, 20_000_000),
)
def test_a_stream_is_cut_like_a_buffer_of_the_same_content(size, most):
    data = content(size)
    whole = [bytes(chunk) for chunk in chunks_of_buffer(memoryview(data))]
    assert [bytes(chunk) for chunk in chunks_of_stream(Slow(data, most))] == whole
    assert b"".join(whole) == data


def test_content_without_a_place_to_cut_is_cut_at_the_largest_size():
    sizes = [len(chunk) for chunk in chunks_of_stream(io.BytesIO(bytes(5 * MAX_BYTES + 1)))]
    assert sizes == [MAX_BYTES] * 5 + [1]


def test_sizes_are_within_their_limits():
    sizes = [len(chunk) for chunk in chunks_of_buffer(memoryview(content(20_000_000)))]
    assert all(MIN_BYTES <= size <= MAX_BYTES for size in sizes[:-1])


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10_000_000), st.binary(min_size=1, max_size=100))
def test_an_insertion_changes_only_the_chunks_around_it(at, inserted):
    data = content(10_000_000)
    before = {bytes(chunk) for chunk in chunks_of_buffer(memoryview(data))}
    after = {bytes(chunk) for chunk in chunks_of_buffer(memoryview(data[:at] + inserted + data[at:]))}
    assert len(after - before) <= 4


def test_chunks_of_a_buffer_are_views_of_it():
    data = bytearray(content(3_000_000))
    first, *_ = chunks_of_buffer(memoryview(data))
    data[0] ^= 0xFF
    assert first[0] == data[0]
