"""What the driver says of the GPUs: their memory, and which processes hold how much of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .errors import MagicError


class GpuError(MagicError):
    """No GPU can be asked."""


@dataclass(frozen=True)
class Process:
    """A process on a GPU; `used` is in bytes, None where the driver does not tell."""

    pid: int
    used: int | None


@dataclass(frozen=True)
class Device:
    """A GPU; `total` and `used` are in bytes."""

    index: int
    name: str
    total: int
    used: int
    processes: tuple[Process, ...]


Reader = Callable[[], list[Device]]


def read_devices() -> list[Device]:
    """Ask the NVIDIA driver. Raises GpuError where there is none, or no GPU."""
    try:
        import pynvml
    except ModuleNotFoundError:
        raise GpuError("nvidia-ml-py is missing. Install it: `%pip install nvidia-ml-py`.") from None
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        raise no_gpu(str(error)) from None
    try:
        found = [_device(pynvml, index) for index in range(pynvml.nvmlDeviceGetCount())]
    except pynvml.NVMLError as error:
        message = f"The NVIDIA driver does not answer: {error}. Try again; then ask your administrator."
        raise GpuError(message) from None
    finally:
        pynvml.nvmlShutdown()
    if not found:
        raise no_gpu("it counts no device")
    return found


def no_gpu(reason: str) -> GpuError:
    """The message for a server without a GPU, with the driver's own words."""
    return GpuError(
        "No NVIDIA GPU is visible to this server. To get one, stop the server (File > Hub Control Panel) and "
        f"start it with a profile that has a GPU. (The driver says: {reason}.)"
    )


def _device(pynvml: Any, index: int) -> Device:
    handle = pynvml.nvmlDeviceGetHandleByIndex(index)
    memory = pynvml.nvmlDeviceGetMemoryInfo(handle)
    name = pynvml.nvmlDeviceGetName(handle)
    running: dict[int, int | None] = {}
    for ask in (pynvml.nvmlDeviceGetComputeRunningProcesses, pynvml.nvmlDeviceGetGraphicsRunningProcesses):
        try:
            running.update({process.pid: process.usedGpuMemory for process in ask(handle)})
        except pynvml.NVMLError_NotSupported:
            continue
    return Device(
        index=index,
        name=name.decode(errors="replace") if isinstance(name, bytes) else str(name),
        total=int(memory.total),
        used=int(memory.used),
        processes=tuple(Process(pid, used) for pid, used in running.items()),
    )
