"""What a user waits for an autosave: by how much the slowest of the cells is slower that come while one goes on."""

from __future__ import annotations

import json
import statistics
import sys
import time
from pathlib import Path

from bench.state.kernels import CELL_TIMEOUT_S, Kernel, Notebook, with_session
from bench.state.stages import Stage
from regrow.state.places import status_file

MOST_S = 0.05
_TRIVIAL = "1"
_CALM_CELLS = 50


class Waiting(Stage):
    """A kernel whose session is what `cells` make."""

    def __init__(self, folder: Path, cells: list[str]) -> None:
        super().__init__(folder)
        self._cells = cells
        self._notebook: Notebook | None = None

    def longest(self) -> float:
        """Seconds by which the slowest trivial cell during an autosave of everything took longer than one without.

        The cells follow each other, one begun when the other has replied, from before the autosave until it has ended.
        """
        kernel = self.open().kernel("ours", self._make, self._prepare)
        assert self._notebook is not None
        self._notebook.forget()
        kernel.measured("forget()")
        calm = statistics.median(kernel.run(_TRIVIAL) for _ in range(_CALM_CELLS))
        since = time.time()
        kernel.measured("after_each_cell()")
        during = []
        while not self._is_saved(since):
            if time.time() > since + CELL_TIMEOUT_S:
                raise RuntimeError("the autosave does not end")
            during.append(kernel.run(_TRIVIAL))
        kernel.measured("only_when_asked()")
        # The last of these cells may have begun another one.
        kernel.measured("save()")
        return max(during) - calm

    def _is_saved(self, since: float) -> bool:
        assert self._notebook is not None
        try:
            status = json.loads(status_file(self._notebook.state, self._notebook.path).read_text())
        except FileNotFoundError:
            return False
        if status["state"] == "failed":
            raise RuntimeError(status["message"])
        return bool(status["state"] == "saved" and status["saved_at"] >= since)

    def _make(self, folder: Path) -> Notebook:
        self._notebook = with_session(folder, Path(sys.executable))
        return self._notebook

    def _prepare(self, kernel: Kernel) -> None:
        kernel.measured("only_when_asked()")
        for cell in self._cells:
            kernel.run(cell)
        kernel.measured("without_collections()")

    def forget(self) -> None:
        """What was in the folder is gone."""
        self._notebook = None
