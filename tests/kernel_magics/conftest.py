"""Real kernels, with a home and a build prefix of their own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from support.real_kernel import Kernel, MakeKernel, a_kernel, build_environment


@pytest.fixture(scope="session")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    """One kernel for all tests that leave it as it was."""
    home = tmp_path_factory.mktemp("home")
    with a_kernel(home, build_environment(tmp_path_factory.mktemp("build"))) as running:
        yield running


@pytest.fixture
def make_kernel(tmp_path: Path) -> Iterator[MakeKernel]:
    """Starts kernels of the test's own, all with one home: `make_kernel(REGROW_PROJECTS="...", cwd=...)`."""
    home = tmp_path / "home"
    home.mkdir()
    with ExitStack() as stack:

        def make(cwd: Path | None = None, **env: str) -> Kernel:
            return stack.enter_context(a_kernel(home, {**build_environment(tmp_path / "build"), **env}, cwd))

        yield make
