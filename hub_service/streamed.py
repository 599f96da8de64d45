"""Answers that take a while: one JSON object to a line, `{"message": ...}` on the way and the outcome at the end.

The outcome is `{"result": ...}` or `{"error": MESSAGE, "status": HTTP STATUS}`. Who hangs up does not stop the work.
"""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

from fastapi.responses import StreamingResponse

from regrow.hub_service.errors import explained

MEDIA_TYPE = "application/jsonl"
Line = dict[str, Any]
Say = Callable[[Line], None]

_log = logging.getLogger(__name__)


def streamed(work: Callable[[Say], Any]) -> StreamingResponse:
    """Run `work` in a thread, and answer with what it says and returns."""
    loop = asyncio.get_running_loop()
    lines: asyncio.Queue[Line] = asyncio.Queue()

    def say(line: Line) -> None:
        loop.call_soon_threadsafe(lines.put_nowait, line)

    def run() -> None:
        try:
            say({"result": work(say)})
        except Exception as error:
            said = explained(error)
            if said.status >= 500:
                _log.exception("A request failed")
            say({"error": str(said), "status": said.status})

    async def answer() -> AsyncIterator[bytes]:
        line: Line = {}
        while not line.keys() & {"result", "error"}:
            line = await lines.get()
            yield json.dumps(line).encode() + b"\n"

    threading.Thread(target=run, daemon=True).start()
    return StreamingResponse(answer(), media_type=MEDIA_TYPE)
