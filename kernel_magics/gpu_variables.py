"""Which variables of a namespace hold how much device memory: each storage counted once, sharing told."""

from __future__ import annotations

import gc
import sys
import types
from collections import deque
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

# Objects looked at for one name, at most: a name can lead to half of the kernel.
MAX_OBJECTS = 300_000
# Never looked into: they lead to other namespaces and hold no memory of the variable's.
_CLOSED = (type, types.ModuleType, types.FunctionType, types.CodeType, types.FrameType)

# A storage by its library and address, and its size in bytes.
Storages = dict[tuple[str, int], int]


@dataclass
class Variable:
    """What one name holds: bytes in all, those that other names hold too, and the names of these."""

    name: str
    kind: str
    total: int
    shared: int
    shared_with: tuple[str, ...]
    storages: Storages = field(repr=False, default_factory=dict)


@dataclass(frozen=True)
class Account:
    """Variables, largest first, and bytes: `total` counts a storage once, `only_out` what only Out holds."""

    variables: list[Variable]
    total: int
    only_out: int


def account(
    namespace: Mapping[str, Any],
    hidden: Collection[str],
    *,
    device: str = "cuda",
    closed: Iterable[object] = (),
) -> Account:
    """Add up what the names of `namespace` hold on devices of the type `device` (cuda, cpu, meta).

    `hidden` are IPython's own names. `closed` are objects not to be looked into. No code of the user's runs.
    """
    fenced = {id(namespace), *(id(item) for item in closed)}
    variables = []
    out: Storages = {}
    for name, value in list(namespace.items()):
        if _is_out(name):
            out |= storages_of(value, device, fenced)
        elif name not in hidden:
            held = storages_of(value, device, fenced)
            if held:
                variables.append(Variable(name, describe(value, held), sum(held.values()), 0, (), held))
    for variable in variables:
        others = [other for other in variables if other is not variable]
        common = {key for other in others for key in variable.storages.keys() & other.storages.keys()}
        variable.shared = sum(variable.storages[key] for key in common)
        variable.shared_with = tuple(other.name for other in others if variable.storages.keys() & other.storages.keys())
    named: Storages = {}
    for variable in variables:
        named |= variable.storages
    only_out = sum(size for key, size in out.items() if key not in named)
    variables.sort(key=lambda variable: (-variable.total, variable.name))
    return Account(variables, sum(named.values()) + only_out, only_out)


def storages_of(value: object, device: str, fenced: Collection[int] = ()) -> Storages:
    """The device memory that can be reached from a value, by storage."""
    torch = sys.modules.get("torch")
    cupy = sys.modules.get("cupy")
    found: Storages = {}
    seen = set(fenced)
    pending: deque[object] = deque([value])
    while pending and len(seen) < MAX_OBJECTS + len(fenced):
        item = pending.popleft()
        if id(item) in seen or issubclass(type(item), _CLOSED):
            continue
        seen.add(id(item))
        if torch is not None and issubclass(type(item), torch.Tensor):
            found |= _tensor_storages(item, device)
        elif cupy is not None and device == "cuda" and issubclass(type(item), cupy.ndarray):
            memory = item.data.mem  # type: ignore[attr-defined]
            found["cupy", int(memory.ptr)] = int(memory.size)
            continue
        if gc.is_tracked(item):
            # Not getattr or iteration: those can run the user's code, or make a lazy object load.
            pending.extend(gc.get_referents(item))
    return found


def _tensor_storages(tensor: Any, device: str) -> Storages:
    torch = sys.modules["torch"]
    # Subclasses of Tensor run code of their own at any attribute otherwise.
    with torch._C.DisableTorchFunctionSubclass():
        found = _tensor_storages(tensor.grad, device) if tensor.is_leaf and tensor.grad is not None else {}
        if tensor.device.type != device:
            return found
        if tensor.is_sparse:
            parts = [tensor._indices(), tensor._values()]
        elif tensor.layout in _compressed_layouts():
            parts = [tensor.values()]
        else:
            parts = [tensor]
        for part in parts:
            try:
                storage = part.untyped_storage()
                found["torch", storage._cdata] = storage.nbytes()
            except (RuntimeError, NotImplementedError):
                # A wrapper around other tensors has no storage; its own size is the best that is known.
                found["tensor", id(part)] = part.numel() * part.element_size()
    return found


def _compressed_layouts() -> tuple[Any, ...]:
    torch = sys.modules["torch"]
    return (torch.sparse_csr, torch.sparse_csc, torch.sparse_bsr, torch.sparse_bsc)


def _is_out(name: str) -> bool:
    """IPython keeps earlier cells' results as Out, _, __, ___ and _1, _2, ..."""
    return name in ("Out", "_oh", "_", "__", "___") or (name[:1] == "_" and name[1:].isdigit())


def describe(value: Any, held: Storages) -> str:
    """A few words on what a variable is."""
    torch = sys.modules.get("torch")
    if torch is not None and issubclass(type(value), torch.Tensor):
        shape = " x ".join(map(str, value.shape)) or "one number"
        return f"{type(value).__name__}, {shape}, {str(value.dtype).removeprefix('torch.')}"
    count = len(held)
    return f"{type(value).__name__}, {count} storage{'' if count == 1 else 's'}"
