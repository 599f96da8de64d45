"""A cell that changes one of many variables: from its end until that is saved."""

from __future__ import annotations

import itertools
import secrets
import sys
from pathlib import Path

from bench.case import PeerUnavailable
from bench.state.files import raw_write
from bench.state.kernels import Kernel, with_kishu, with_session
from bench.state.scale import Scale
from bench.state.stages import Stage

MOST_S = 0.05


class OneOfMany(Stage):
    """A kernel of ours and one with Kishu, each with the same variables."""

    def __init__(self, folder: Path, scale: Scale, peers: Path | PeerUnavailable) -> None:
        super().__init__(folder)
        self._scale = scale
        self._peers = peers
        self._numbers = itertools.cycle(range(scale.variables))

    def ours(self) -> float:
        """Seconds until ours has saved what one cell changed."""
        kernel = self.open().kernel("ours", lambda folder: with_session(folder, Path(sys.executable)), self._ours)
        return self._change(kernel)

    def kishu(self) -> float:
        """Seconds until Kishu has."""
        if isinstance(self._peers, PeerUnavailable):
            raise self._peers
        python = self._peers
        kernel = self.open().kernel("kishu", lambda folder: with_kishu(folder, python), self._kishu)
        return self._change(kernel)

    def most(self) -> float:
        """What it may take at most: a constant, and the raw write of what the cell changed."""
        self.open()
        return MOST_S + raw_write(self.folder / "raw", secrets.token_bytes(self._scale.variable_bytes))

    def _change(self, kernel: Kernel) -> float:
        name = f"v{next(self._numbers)}"
        kernel.run(f"{name}[0] += 1")
        (seconds,) = kernel.measured("after_cells()")
        return float(seconds)

    def _ours(self, kernel: Kernel) -> None:
        kernel.measured("only_when_asked()")
        self._fill(kernel)
        kernel.measured("first_save()")
        kernel.measured("watch_cells(__import__('measured').save)")

    def _kishu(self, kernel: Kernel) -> None:
        kernel.quietly(f"start_kishu({str(self.folder / 'kishu' / 'n.ipynb')!r})")
        self._fill(kernel)
        kernel.measured("watch_cells()")

    def _fill(self, kernel: Kernel) -> None:
        kernel.run("import numpy as np")
        lines = (
            f"v{number} = np.random.rand({self._scale.variable_bytes // 8})" for number in range(self._scale.variables)
        )
        kernel.run("\n".join(lines))
