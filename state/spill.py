"""Where a pickle is written to: memory as long as it is small, then a file, so that saving needs little memory."""

from __future__ import annotations

import io
import mmap
import tempfile
from pathlib import Path
from typing import IO

#: A pickle of more bytes than this goes to a file.
MEMORY_BYTES = 32 * 1024 * 1024


class Spill:
    """A pickle that is written once and then looked at. Its file, in `folder`, has no name."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._output: io.BytesIO | IO[bytes] = io.BytesIO()

    def write(self, data: bytes | memoryview, /) -> int:
        """Append `data`. Raises `OSError` where the disk is full."""
        output = self._output
        if isinstance(output, io.BytesIO) and output.tell() + len(data) > MEMORY_BYTES:
            self._output = tempfile.TemporaryFile(dir=self._folder)  # noqa: SIM115 (it lives as long as the view)
            self._output.write(output.getbuffer())
        return self._output.write(data)

    def clear(self) -> None:
        """Forget what was written."""
        self._output = io.BytesIO()

    def view(self) -> memoryview:
        """All that was written. Nothing may be written after this."""
        if isinstance(self._output, io.BytesIO):
            return self._output.getbuffer()
        self._output.flush()
        return memoryview(mmap.mmap(self._output.fileno(), 0, access=mmap.ACCESS_READ))


class Nowhere(Spill):
    """Takes everything and keeps nothing: to see whether something can be pickled."""

    def __init__(self) -> None:
        super().__init__(Path())

    def write(self, data: bytes | memoryview, /) -> int:
        return len(data)
