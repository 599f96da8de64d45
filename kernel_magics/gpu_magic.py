"""`%gpu`: who holds which GPU memory, by kernel and by variable, and giving back what is not needed."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from IPython.core.magic import Magics, line_magic, magics_class

from regrow.client import tables
from regrow.client.options import help_text, parse, refuse_words
from regrow.client.tables import size_text

from . import display, gpu_devices, gpu_variables
from .gpu_devices import Device, GpuError, Reader
from .gpu_holders import Holder, holder_of
from .gpu_variables import Account
from .usages import GPU

_MINE, _OTHERS, _ELSEWHERE = "#4c78a8", "#f58518", "#9d9da1"


@dataclass(frozen=True)
class Allocator:
    """What torch's allocator in this kernel holds, in bytes: in use by tensors, and kept for later ones."""

    in_use: int
    cached: int


@dataclass(frozen=True)
class Report:
    """All that `%gpu` shows. `holders` names the holder of each process."""

    devices: list[Device]
    holders: dict[int, Holder]
    variables: Account
    allocator: Allocator | None


@magics_class
class GpuMagics(Magics):
    """The magic, as IPython registers it."""

    @line_magic
    def gpu(self, line: str) -> None:
        """Show who holds which GPU memory. `%gpu --help` lists the options."""
        parsed = parse(GPU, line)
        if parsed.given("--help"):
            print(help_text(GPU))
            return
        refuse_words(GPU, parsed.words if parsed.words != ["free"] else [])
        try:
            if parsed.words:
                print(free(self.shell))
            else:
                found = report(self.shell)
                display.show(rich(found), plain(found))
        except GpuError as error:
            # A server without a GPU is no mistake in the notebook: the cells that follow may run.
            print(error)


def report(shell: Any, read: Reader = gpu_devices.read_devices, device: str = "cuda") -> Report:
    """Ask the driver and this kernel. Raises GpuError where there is no GPU."""
    devices = read()
    pids = {process.pid for found in devices for process in found.processes}
    return Report(
        devices=devices,
        holders={pid: holder_of(pid) for pid in pids},
        variables=variables_of(shell, device),
        allocator=allocator(),
    )


def variables_of(shell: Any, device: str) -> Account:
    """What the variables of this kernel's namespace hold."""
    return gpu_variables.account(shell.user_ns, set(shell.user_ns_hidden), device=device, closed=[shell])


def allocator() -> Allocator | None:
    """The state of torch's allocator; None unless the user imported torch and used a GPU."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return None
    devices = range(torch.cuda.device_count())
    in_use = sum(torch.cuda.memory_allocated(number) for number in devices)
    return Allocator(in_use, sum(torch.cuda.memory_reserved(number) for number in devices) - in_use)


def free(shell: Any, read: Reader = gpu_devices.read_devices, collect: Callable[[], int] = gc.collect) -> str:
    """Give back what is cached or unreachable, and say how much. Raises GpuError where there is no GPU."""
    before = sum(device.used for device in read())
    held = allocator()
    collect()
    unreachable = (held.in_use - now.in_use) if held and (now := allocator()) else 0
    torch = sys.modules.get("torch")
    if held and torch is not None:
        torch.cuda.empty_cache()
    cupy = sys.modules.get("cupy")
    if cupy is not None:
        cupy.get_default_memory_pool().free_all_blocks()
        cupy.get_default_pinned_memory_pool().free_all_blocks()
    back = before - sum(device.used for device in read())
    lines = [f"{size_text(max(0, back))} came back; {size_text(max(0, unreachable))} of it was unreachable."]
    lines += _hints(variables_of(shell, "cuda"), allocator())
    return "\n".join(lines)


def _hints(found: Account, held: Allocator | None) -> list[str]:
    """What keeps memory although no variable seems to, and how to let go of it."""
    lines = []
    nameless = held.in_use - found.total if held else 0
    if nameless > 0:
        lines.append(f"{size_text(nameless)} is held by no variable: graphs of gradients, workspaces.")
    if found.only_out:
        lines.append(
            f"{size_text(found.only_out)} is held only by results of earlier cells (Out, _): "
            "`%reset -f out` lets go of them, then `%gpu free`."
        )
    if nameless > 0 and getattr(sys, "last_traceback", None) is not None:
        lines.append(
            "The last error keeps the variables of the functions that it passed through: "
            "`import sys; sys.last_traceback = sys.last_value = sys.last_exc = None` lets go of them."
        )
    return lines


def _memory(used: int | None) -> str:
    return "not told" if used is None else size_text(used)


def _holder_rows(found: Report) -> list[tuple[str, str, str]]:
    return [
        (f"GPU {device.index}", found.holders[process.pid].label, _memory(process.used))
        for device in found.devices
        for process in device.processes
    ]


def _variable_rows(found: Account) -> list[tuple[str, str, str, str]]:
    rows = []
    for variable in found.variables:
        names = ", ".join(variable.shared_with)
        shared = f"{size_text(variable.shared)} with {names}" if names else ""
        rows.append((variable.name, variable.kind, size_text(variable.total), shared))
    return rows


def _summary(found: Report) -> list[str]:
    lines = []
    account = found.variables
    if account.variables or account.only_out:
        lines.append(f"Variables of this kernel hold {size_text(account.total)}, each storage counted once.")
    if found.allocator:
        held = found.allocator
        lines.append(f"torch keeps {size_text(held.cached)} cached for later; `%gpu free` gives it back.")
    return lines + _hints(account, found.allocator)


def _device_line(device: Device) -> str:
    return f"GPU {device.index}, {device.name}: {size_text(device.used)} of {size_text(device.total)} in use"


def plain(found: Report) -> str:
    """The report as plain text."""
    parts = ["\n".join(_device_line(device) for device in found.devices)]
    if rows := _holder_rows(found):
        parts.append(tables.text_table(("GPU", "held by", "memory"), rows, (2,)))
    if variables := _variable_rows(found.variables):
        parts.append(tables.text_table(("variable", "what", "memory", "shared"), variables, (2,)))
    parts.append("\n".join(_summary(found)))
    return "\n\n".join(filter(None, parts))


def rich(found: Report) -> str:
    """The report as HTML, with a bar for each GPU."""
    parts = []
    for device in found.devices:
        parts.append(f"<p><b>{tables.escaped(_device_line(device))}</b></p>{_bar(device, found.holders)}")
    if rows := _holder_rows(found):
        parts.append(tables.html_table(("GPU", "held by", "memory"), rows, (2,)))
    if variables := _variable_rows(found.variables):
        parts.append(tables.html_table(("variable", "what", "memory", "shared"), variables, (2,)))
    parts += [f"<p>{tables.escaped(line)}</p>" for line in _summary(found)]
    return "".join(parts)


def _bar(device: Device, holders: dict[int, Holder]) -> str:
    """This kernel's part, other processes', and what the driver or other servers hold beside them."""
    mine = sum(process.used or 0 for process in device.processes if holders[process.pid].mine)
    others = sum(process.used or 0 for process in device.processes) - mine
    rest = max(0, device.used - mine - others)
    parts = "".join(
        f'<div title="{tables.escaped(label)}: {size_text(size)}" '
        f'style="background:{color};width:{100 * size / max(1, device.total):.1f}%"></div>'
        for label, size, color in (
            ("this kernel", mine, _MINE),
            ("others", others, _OTHERS),
            ("driver and unknown", rest, _ELSEWHERE),
        )
    )
    return f'<div style="display:flex;height:1em;max-width:40em;border:1px solid #999">{parts}</div>'


def load_ipython_extension(shell: Any) -> None:
    """Called by IPython at the first use of `%gpu`."""
    shell.register_magics(GpuMagics)
