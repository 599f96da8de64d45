"""What a checkpoint consists of is written down so that it is read as it was, or refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regrow.state.errors import NotTrusted, StateError
from regrow.state.manifest import HEAD_BYTES, Blob, Cell, Group, Manifest, Missing, body_length, decode, encode
from regrow.store.recipe import Recipe

KEY = b"k" * 32

texts = st.text(max_size=20)
names = st.lists(texts, min_size=1, max_size=3, unique=True)
recipes = st.lists(
    st.lists(st.tuples(st.binary(min_size=32, max_size=32), st.integers(0, 2**20)), max_size=3).map(Recipe.of),
    min_size=1,
    max_size=6,
)


@st.composite
def manifests(draw: st.DrawFn) -> Manifest:
    """Any manifest whose blobs are in its recipes."""
    kept = draw(recipes)
    blobs = st.builds(Blob, st.integers(0, len(kept) - 1), st.integers(0, 2**40), st.integers(0, 2**40))
    groups = st.builds(
        Group, names, notes=st.dictionaries(texts, texts, max_size=2), pickle=blobs, buffers=st.lists(blobs, max_size=2)
    )
    return Manifest(
        notebook=draw(texts),
        at=draw(st.floats(0, 1e10)),
        reason=draw(texts),
        python="3.11",
        groups=draw(st.lists(groups, max_size=4)),
        missing=draw(st.lists(st.builds(Missing, texts, texts, st.none() | st.integers(1, 99)), max_size=2)),
        cells=draw(st.lists(st.builds(Cell, st.integers(1, 99), texts, st.lists(texts), st.lists(texts)), max_size=2)),
        generators=draw(st.none() | blobs),
        recipes=kept,
    )


def read(data: bytes, key: bytes = KEY) -> Manifest:
    head = data[:HEAD_BYTES]
    return decode(head, data[HEAD_BYTES : HEAD_BYTES + body_length(head)], [key])


@given(manifests())
def test_what_is_written_is_read(manifest: Manifest) -> None:
    assert read(encode(manifest, KEY)) == manifest
    # Its groups are written once, and used again.
    assert read(encode(manifest, KEY)) == manifest


@given(manifests(), st.data())
def test_any_byte_that_was_changed_is_noticed(manifest: Manifest, data: st.DataObject) -> None:
    written = bytearray(encode(manifest, KEY))
    at = data.draw(st.integers(0, len(written) - 1))
    written[at] ^= data.draw(st.integers(1, 255))
    with pytest.raises((NotTrusted, StateError)):
        read(bytes(written))


def test_another_users_key_is_not_ones_own() -> None:
    with pytest.raises(NotTrusted, match="somebody else made it"):
        read(encode(Manifest("n", 0, "test", "3.11"), KEY), b"x" * 32)


@given(manifests())
def test_forgetting_what_is_not_used_changes_no_content(manifest: Manifest) -> None:
    def content(of: Manifest) -> list[object]:
        def place(blob: Blob | None) -> object:
            return blob and (of.recipes[blob.recipe], replace(blob, recipe=0))

        groups = [(group.names, place(group.pickle), [place(blob) for blob in group.buffers]) for group in of.groups]
        return [*groups, place(of.generators)]

    before = content(manifest)
    manifest.forget_unused_recipes()
    assert content(manifest) == before
    used = {blob.recipe for group in manifest.groups for blob in (*group.buffers, group.pickle) if blob}
    used |= {manifest.generators.recipe} if manifest.generators else set()
    assert len(manifest.recipes) <= max(2 * len(used), 0) or not manifest.recipes
