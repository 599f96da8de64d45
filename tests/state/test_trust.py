"""Whose variables may be loaded."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from regrow.state.errors import StateError
from regrow.state.trust import trust, trusted, untrust


def test_nobody_is_trusted_until_the_user_says_so(tmp_path: Path) -> None:
    assert trusted(tmp_path) == []
    trust(tmp_path, "ada")
    trust(tmp_path, "bob")
    trust(tmp_path, "ada")
    assert trusted(tmp_path) == ["ada", "bob"]
    untrust(tmp_path, "ada")
    assert trusted(tmp_path) == ["bob"]


def test_it_is_the_users_alone_to_read(tmp_path: Path) -> None:
    trust(tmp_path / "state", "ada")
    assert stat.S_IMODE((tmp_path / "state/trusted.json").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700


def test_who_is_not_trusted_can_not_be_untrusted(tmp_path: Path) -> None:
    with pytest.raises(StateError, match=r"ada is not trusted\. Trusted: nobody\."):
        untrust(tmp_path, "ada")


@pytest.mark.parametrize("content", ["", "[]", '{"owners": [1]}', '{"owners": null}', "{"])
def test_a_file_that_can_not_be_read_trusts_nobody_and_is_not_overwritten(tmp_path: Path, content: str) -> None:
    (tmp_path / "trusted.json").write_text(content)
    with pytest.raises(StateError, match="nobody is trusted"):
        trusted(tmp_path)
    with pytest.raises(StateError, match="nobody is trusted"):
        trust(tmp_path, "ada")
    assert (tmp_path / "trusted.json").read_text() == content
