"""The most memory that something held while it ran."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Self

SAMPLE_INTERVAL_S = 0.1


class PeakMemory:
    """Samples `memory` (bytes at this moment) in a thread during its `with` block; keeps `peak_bytes`."""

    def __init__(self, memory: Callable[[], int]) -> None:
        self.peak_bytes = 0
        self._memory = memory
        self._stop = threading.Event()
        self._thread = threading.Thread()

    def __enter__(self) -> Self:
        self._stop.clear()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stop.set()
        self._thread.join()

    def _sample(self) -> None:
        while True:
            self.peak_bytes = max(self.peak_bytes, self._memory())
            if self._stop.wait(SAMPLE_INTERVAL_S):
                return
