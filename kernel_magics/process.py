"""Run a program under a cell: output as it comes, nothing to read, and an interrupt that stops all of it."""

from __future__ import annotations

import codecs
import contextlib
import os
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

Sink = Callable[[str], object]

READ_SIZE = 1 << 16
# How long a program may take to end after an interrupt before it is killed, in seconds.
GRACE = 2.0
# A program that has ended may have left a child that holds its output open: read on for so long, in seconds.
LINGER = 0.2


@dataclass(frozen=True)
class Ended:
    """How a program ended: `status` as in `subprocess` (negative: a signal's number)."""

    status: int
    interrupted: bool


def run(
    command: Sequence[str | Path],
    *,
    out: Sink,
    err: Sink,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    grace: float = GRACE,
) -> Ended:
    """Run `command` to its end, handing each piece of its output to `out` or `err` when it arrives.

    An interrupt of the kernel becomes a SIGINT to the program and all that it started; what is still there
    `grace` seconds later, or at a second interrupt, is killed. Raises OSError if it cannot be started.
    """
    with _interrupts() as (wakeup, interrupts):
        # A session of its own: signals reach its children, and the kernel's own signals do not.
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=env,
            cwd=cwd,
            start_new_session=True,
        )
        try:
            return _follow(process, out, err, wakeup, interrupts, grace)
        except BaseException:
            _signal_group(process, signal.SIGKILL)
            process.wait()
            raise
        finally:
            for pipe in (process.stdout, process.stderr):
                if pipe is not None:
                    pipe.close()


def _follow(
    process: subprocess.Popen[bytes],
    out: Sink,
    err: Sink,
    wakeup: int,
    interrupts: list[float],
    grace: float,
) -> Ended:
    assert process.stdout is not None and process.stderr is not None
    deadline: float | None = None
    ended_at: float | None = None
    signalled = 0
    with selectors.DefaultSelector() as selector:
        for pipe, sink in ((process.stdout, out), (process.stderr, err)):
            decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
            selector.register(pipe, selectors.EVENT_READ, (sink, decoder))
        if wakeup >= 0:
            selector.register(wakeup, selectors.EVENT_READ, None)
        pipes = 2
        while pipes or process.poll() is None:
            # Without a pipe left to wait on, the program's end is a matter of a moment.
            events = selector.select(0.05 if pipes else 0.002)
            for key, _ in events:
                if key.data is None:
                    os.read(key.fd, 64)
                    continue
                sink, decoder = key.data
                data = os.read(key.fd, READ_SIZE)
                text = decoder.decode(data, final=not data)
                if text:
                    sink(text)
                if not data:
                    selector.unregister(key.fileobj)
                    pipes -= 1
            now = time.monotonic()
            if len(interrupts) > signalled:
                kill = signalled > 0
                signalled = len(interrupts)
                deadline = now if kill else now + grace
                _signal_group(process, signal.SIGKILL if kill else signal.SIGINT)
            if deadline is not None and now >= deadline:
                _signal_group(process, signal.SIGKILL)
                deadline = now + grace
            if process.poll() is not None:
                ended_at = ended_at or now
                if not events and now - ended_at > LINGER:
                    break
        status = process.wait()
        if signalled:
            # The program is gone; what it started and left behind goes too.
            _signal_group(process, signal.SIGKILL)
    return Ended(status, bool(signalled))


def _signal_group(process: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, number)


@contextlib.contextmanager
def _interrupts() -> Iterator[tuple[int, list[float]]]:
    """A descriptor that becomes readable at an interrupt, and the list of interrupts so far.

    Python's own KeyboardInterrupt could strike between the program's start and the moment that we know its
    number. Only the main thread can take signals; elsewhere (a subshell) nothing interrupts a cell.
    """
    seen: list[float] = []
    if threading.current_thread() is not threading.main_thread():
        yield -1, seen
        return
    readable, writable = os.pipe()
    os.set_blocking(writable, False)

    def note(number: int, frame: FrameType | None) -> None:
        seen.append(time.monotonic())
        with contextlib.suppress(BlockingIOError):
            os.write(writable, b"i")

    before = signal.signal(signal.SIGINT, note)
    try:
        yield readable, seen
    finally:
        signal.signal(signal.SIGINT, before)
        os.close(readable)
        os.close(writable)
