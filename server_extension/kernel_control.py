"""Asking a kernel something on its control channel, which it answers while a cell runs.

Messages: https://jupyter-client.readthedocs.io/en/stable/messaging.html. Ours are in docs/state.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

from jupyter_core.utils import ensure_async

SAVE = "regrow_save_request"
MOVED = "regrow_moved_request"
#: Neither is an activity of the user's.
MESSAGE_TYPES = [SAVE, "regrow_save_reply", MOVED, "regrow_moved_reply"]

#: For how long a kernel may say nothing at all when somebody waits for it.
ANSWER_TIMEOUT_S = 10.0
_LOOK_S = 0.5
_PROBE = "kernel_info_request"

_Reply = tuple[str, dict[str, Any]]
"""The id of the message that it replies to, and its content."""


class NoAnswer(Exception):
    """The kernel gives no answer to this; the message says why."""


class NotKnown(NoAnswer):
    """The kernel does not know the message: it keeps no state, or not in our way."""


class Kernel(Protocol):
    """What is used of jupyter-client's managers of one kernel."""

    session: Any

    @property
    def kernel_spec(self) -> Any: ...
    def connect_control(self) -> Any: ...
    def is_alive(self) -> Any: ...
    def interrupt_kernel(self) -> Any: ...


def speaks_python(kernel: Kernel) -> bool:
    """Whether the kernel may have our extension."""
    return getattr(kernel.kernel_spec, "language", "").lower() == "python"


async def ask(
    kernel: Kernel,
    message_type: str,
    content: Mapping[str, Any],
    *,
    timeout_s: float,
    answer_timeout_s: float = ANSWER_TIMEOUT_S,
) -> dict[str, Any]:
    """The content of the kernel's reply. Raises `NoAnswer` after `timeout_s`, or as soon as none will come.

    A kernel answers on this channel in order, so every kernel's answer to `kernel_info_request` tells two things:
    before ours that it hears us at all, which it must within `answer_timeout_s`; after ours, when there was no reply
    to ours, that it does not know ours.
    """
    if not await ensure_async(kernel.is_alive()):
        raise NoAnswer("It has ended.")
    loop = asyncio.get_running_loop()
    end = loop.time() + timeout_s
    deadline = min(end, loop.time() + answer_timeout_s)
    with _channel(kernel) as (send, replies):
        before, asked, after = send(_PROBE, {}), send(message_type, content), send(_PROBE, {})
        while True:
            try:
                async with asyncio.timeout_at(min(deadline, loop.time() + _LOOK_S)):
                    parent, reply = await replies.get()
            except TimeoutError:
                if loop.time() >= deadline:
                    raise NoAnswer("It did not answer in time.") from None
                if not await ensure_async(kernel.is_alive()):
                    raise NoAnswer("It ended meanwhile.") from None
                continue
            if parent == before:
                deadline = end
            elif parent == asked:
                return reply
            elif parent == after:
                raise NotKnown("It has no notebook, or no extension of Regrow's, or an old one.")


@contextmanager
def _channel(kernel: Kernel) -> Iterator[tuple[Callable[[str, Mapping[str, Any]], str], asyncio.Queue[_Reply]]]:
    """A function that sends a message and returns its id, and what comes back."""
    replies: asyncio.Queue[_Reply] = asyncio.Queue()
    session = kernel.session

    def received(frames: list[Any]) -> None:
        _, parts = session.feed_identities(frames)
        message = session.deserialize(parts)
        replies.put_nowait((message["parent_header"].get("msg_id", ""), message["content"]))

    def send(message_type: str, content: Mapping[str, Any]) -> str:
        return str(session.send(stream, message_type, dict(content))["header"]["msg_id"])

    stream = kernel.connect_control()
    try:
        stream.on_recv(received)
        yield send, replies
    finally:
        stream.close()
