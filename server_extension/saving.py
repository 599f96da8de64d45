"""Having kernels save their variables before they stop: within a time, and all at once when the server stops."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from logging import Logger
from typing import Any

from jupyter_core.utils import ensure_async

from .kernel_control import ANSWER_TIMEOUT_S, SAVE, Kernel, NoAnswer, NotKnown, ask, speaks_python

#: For how long an interrupted cell may take to end. The kernel can also save in the middle of one.
INTERRUPT_S = 2.0
_LOOK_S = 0.05
# The reply has a way to go.
_MARGIN_S = 0.5

# Somebody waits for these, so a kernel that hangs is not waited for to the end.
_SOMEBODY_WAITS = {"shutdown", "restart"}


class KernelSaves:
    """Asks the kernels of one server to save. `timeouts_s` says for how long at most, by reason."""

    def __init__(self, log: Logger, timeouts_s: Callable[[str], float]) -> None:
        self._log = log
        self._timeouts_s = timeouts_s
        self._in_progress: dict[Kernel, asyncio.Task[None]] = {}
        self._stopped = False

    async def before(self, reason: str, kernel: Kernel) -> None:
        """Have `kernel` save because it is about to stop for `reason`: `shutdown`, `cull`, `restart` or `stop`.

        Returns when it has saved, can't, or has had its time. A second reason joins a save that is in progress.
        """
        if self._stopped or not speaks_python(kernel):
            return
        await self._join(reason, kernel)

    async def before_the_stop(self, kernels: Iterable[Kernel]) -> None:
        """Have all `kernels` save at the same time; from then on none is asked any more."""
        self._stopped = True
        await asyncio.gather(*(self._join("stop", kernel) for kernel in kernels if speaks_python(kernel)))

    async def _join(self, reason: str, kernel: Kernel) -> None:
        task = self._in_progress.get(kernel)
        if task is None:
            task = self._in_progress[kernel] = asyncio.create_task(self._save(reason, kernel))
            task.add_done_callback(lambda _: self._in_progress.pop(kernel))
        await asyncio.shield(task)

    async def _save(self, reason: str, kernel: Kernel) -> None:
        timeout_s = self._timeouts_s(reason)
        name = f"The kernel {getattr(kernel, 'kernel_id', '')}"
        try:
            async with asyncio.timeout(timeout_s):
                started = asyncio.get_running_loop().time()
                await _interrupt(kernel)
                left_s = timeout_s - (asyncio.get_running_loop().time() - started)
                answer_s = ANSWER_TIMEOUT_S if reason in _SOMEBODY_WAITS else left_s
                reply = await save(kernel, reason, left_s, answer_s)
        except NotKnown:
            self._log.debug("%s has nothing to save.", name)
        except (NoAnswer, TimeoutError) as error:
            why = str(error) or "It took too long."
            self._log.warning("%s did not save before it stopped. %s The last autosave serves.", name, why)
        except Exception:
            # Whatever it is, it must not keep a server or a kernel from stopping.
            self._log.exception("%s did not save before it stopped.", name)
        else:
            if reply.get("saved") or not reply.get("message"):
                self._log.info("%s was asked to save (%s). %s", name, reason, reply.get("message", ""))
            else:
                self._log.warning("%s did not save before it stopped. %s", name, reply["message"])


async def save(kernel: Kernel, reason: str, timeout_s: float, answer_timeout_s: float) -> dict[str, Any]:
    """What `kernel` says to a request to save, as docs/state.md has it. Raises `NoAnswer`."""
    content = {"reason": reason, "timeout_s": max(0.0, timeout_s - _MARGIN_S)}
    return await ask(kernel, SAVE, content, timeout_s=timeout_s, answer_timeout_s=answer_timeout_s)


async def _interrupt(kernel: Kernel) -> None:
    """Interrupt a cell that runs, and wait a little until it has ended."""
    if not _busy(kernel):
        return
    await ensure_async(kernel.interrupt_kernel())
    for _ in range(int(INTERRUPT_S / _LOOK_S)):
        if not _busy(kernel):
            return
        await asyncio.sleep(_LOOK_S)


def _busy(kernel: Kernel) -> bool:
    # jupyter-server notes it on the manager.
    return getattr(kernel, "execution_state", "") == "busy"
