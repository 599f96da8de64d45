"""Running one cell over a kernel's websocket, as `HubAPI.run_cell` does.

Frames: https://jupyter-server.readthedocs.io/en/latest/developers/websocket-protocols.html
Messages: https://jupyter-client.readthedocs.io/en/stable/messaging.html
"""

from __future__ import annotations

import json
import re
import secrets
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import websockets

KERNEL_PROTOCOL = websockets.Subprotocol("v1.kernel.websocket.jupyter.org")
LARGEST_MESSAGE_BYTES = 256 * 1024 * 1024
ANSI_COLOUR = re.compile(r"\x1b\[[0-9;]*m")


class KernelError(Exception):
    """The kernel could not run the cell to its end."""


@dataclass
class CellResult:
    """What became of a cell.

    `stdout` and `stderr` are what it printed, `value` is its last expression as text, `displays` are the MIME
    bundles that it showed, as they were in the end, `error` is the exception that it raised (such as `KeyError: 'x'`)
    or None, `traceback` where from, and `seconds` is the time from the request to the kernel's reply.
    """

    stdout: str = ""
    stderr: str = ""
    value: str | None = None
    displays: list[dict[str, Any]] = field(default_factory=list)
    error: str | None = None
    traceback: str = ""
    seconds: float = 0.0


async def execute(socket: websockets.ClientConnection, code: str, session: str) -> CellResult:
    """Run a cell and collect what it does until the kernel is idle. Raises KernelError if the kernel dies."""
    msg_id = secrets.token_hex(16)
    header = {
        "msg_id": msg_id,
        "msg_type": "execute_request",
        "session": session,
        "username": "regrow",
        "date": datetime.now(UTC).isoformat(),
        "version": "5.4",
    }
    request = {"code": code, "silent": False, "store_history": True, "allow_stdin": False}
    started = time.perf_counter()
    await socket.send(encode_message("shell", header, {}, {}, request))
    result = CellResult()
    displayed: dict[str, int] = {}
    replied = idle = False
    while not (replied and idle):
        frame = await socket.recv()
        if isinstance(frame, str):
            raise KernelError(f"the server does not speak {KERNEL_PROTOCOL}. Its jupyter-server is too old.")
        kind, parent_id, content = decode_message(frame)
        if kind == "status" and content["execution_state"] in ("restarting", "dead"):
            raise KernelError("its kernel died, perhaps for want of memory. The server's log has the details.")
        if parent_id != msg_id:
            continue
        if kind == "execute_reply":
            replied = True
            result.seconds = time.perf_counter() - started
        elif kind == "status":
            idle = content["execution_state"] == "idle"
        else:
            _collect(result, displayed, kind, content)
    return result


def _collect(result: CellResult, displayed: dict[str, int], kind: str, content: dict[str, Any]) -> None:
    """Add a message to `result`; `displayed` says which of its displays has which id, for later updates."""
    if kind == "stream" and content["name"] == "stdout":
        result.stdout += content["text"]
    elif kind == "stream":
        result.stderr += content["text"]
    elif kind == "error":
        result.error = f"{content['ename']}: {content['evalue']}"
        result.traceback = ANSI_COLOUR.sub("", "\n".join(content["traceback"]))
    elif kind in ("execute_result", "display_data"):
        if display_id := content.get("transient", {}).get("display_id"):
            displayed[display_id] = len(result.displays)
        result.displays.append(content["data"])
        if kind == "execute_result":
            result.value = content["data"].get("text/plain")
    elif kind == "update_display_data":
        display_id = content["transient"]["display_id"]
        if display_id in displayed:  # else it is another cell's
            result.displays[displayed[display_id]] = content["data"]


def encode_message(channel: str, *parts: dict[str, Any]) -> bytes:
    """A message as one frame: the number of offsets, the offset of each piece and of the end, the pieces."""
    pieces = [channel.encode(), *(json.dumps(part).encode() for part in parts)]
    offsets = [8 * (len(pieces) + 2)]
    for piece in pieces:
        offsets.append(offsets[-1] + len(piece))
    return b"".join(number.to_bytes(8, "little") for number in [len(offsets), *offsets]) + b"".join(pieces)


def decode_message(frame: bytes) -> tuple[str, str | None, dict[str, Any]]:
    """The type, the parent's id and the content of the message in a frame."""
    count = int.from_bytes(frame[:8], "little")
    offsets = [int.from_bytes(frame[8 * i : 8 * i + 8], "little") for i in range(1, count + 1)]
    header, parent, _, content = (json.loads(frame[offsets[i] : offsets[i + 1]]) for i in range(1, 5))
    return header["msg_type"], parent.get("msg_id"), content
