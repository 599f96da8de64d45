"""A notebook of a test's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.sessions import Notebook


@pytest.fixture
def notebook(tmp_path: Path) -> Notebook:
    """A notebook in a home of its own."""
    return Notebook(tmp_path / "home")
