"""PyTorch: the memory of tensors, by which those that share it share it again, and on GPUs is brought from there."""

from __future__ import annotations

import functools
import io
import pickle
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from regrow.state.errors import Unsavable

if TYPE_CHECKING:
    from regrow.state.pickling import Context


class _Storage:
    """Stands for the memory of tensors, so that those which share it share it again."""

    def __init__(self, untyped: Any, on_host: Any, array: Any) -> None:
        self.untyped = untyped
        self.on_host = on_host
        self.array = array

    def __reduce_ex__(self, protocol: Any) -> Any:
        size = self.untyped.nbytes()
        device = str(self.untyped.device)
        if not size:
            return _storage, (b"", device)
        if self.array is not None:
            start = self.untyped.data_ptr() - self.array.__array_interface__["data"][0]
            return _storage_of_array, (self.array, start, size)
        if self.on_host is not None:
            return _storage, (pickle.PickleBuffer(self.on_host), device)
        return _storage, (pickle.PickleBuffer(_memory_at(self.untyped)), device)


def _memory_at(untyped: Any) -> memoryview:
    import ctypes

    return memoryview((ctypes.c_char * untyped.nbytes()).from_address(untyped.data_ptr())).cast("B")


def _storage_of_array(array: Any, start: int, size: int) -> Any:
    import torch

    memory = array.ravel(order="K").view("u1")[start : start + size]
    return torch.from_numpy(memory).untyped_storage()


def _storage(memory: Any, device: str) -> Any:
    import torch

    if not len(memory):
        untyped: Any = torch.empty(0, dtype=torch.uint8).untyped_storage()
    elif isinstance(memory, bytes) or memoryview(memory).readonly:
        untyped = torch.frombuffer(bytearray(memory), dtype=torch.uint8).untyped_storage()
    else:
        untyped = torch.frombuffer(memory, dtype=torch.uint8).untyped_storage()
    return untyped if device == "cpu" else _to_device(untyped, device)


def _to_device(untyped: Any, device: str) -> Any:
    """On the device where it was; else on another GPU; else in the machine's memory. The last two are noted."""
    if rehearsing:
        return untyped
    import torch

    wanted = torch.device(device)
    if wanted.type == "cuda" and torch.cuda.is_available():
        number = wanted.index if (wanted.index or 0) < torch.cuda.device_count() else 0
        found = torch.device("cuda", number or 0)
        if found.index != (wanted.index or 0):
            _moved.add((device, str(found)))
        return untyped.to(device=found)
    _moved.add((device, "cpu"))
    return untyped


#: Whether what is loaded is only looked at, in the child that saves: CUDA does not work in a process that was forked.
rehearsing = False
# Where tensors were, and where they are now because that was not there.
_moved: set[tuple[str, str]] = set()


def take_moved() -> list[str]:
    """What is to be told of tensors that are not on the device where they were. Each is told once."""
    told = sorted(_moved)
    _moved.clear()
    places = {"cpu": "in the machine's memory"}
    return [
        f"tensors that were on {before} are {places.get(now, f'on {now}')}: there is no such GPU here"
        for before, now in told
    ]


def _of_typed_storage(value: Any, context: Context) -> Any:
    return _typed_storage, (_holder(value._untyped_storage, context), value.dtype)


def _of_storage(value: Any, context: Context) -> Any:
    return _holder(value, context).__reduce_ex__(5)


def _of_generator(value: Any, context: Context) -> Any:
    return _generator, (str(value.device), value.get_state())


def _of_module(value: Any, context: Context) -> Any:
    if not hasattr(value, "parametrizations") or isinstance(value, sys.modules["torch"].nn.ModuleDict):
        return NotImplemented
    # PyTorch has these not pickled only because their class is made at run time; ours are by value.
    return _bare, (type(value),), vars(value)


def _bare(kind: Any) -> Any:
    return kind.__new__(kind)


def _of_script_module(value: Any, context: Context) -> Any:
    tensors = [*value.named_parameters(), *value.named_buffers()]
    if any(tensor.is_cuda for _, tensor in tensors):
        raise Unsavable("a module of torch.jit on a GPU can't be kept: bring it to the CPU first", value)
    context.notes.append("a module of torch.jit comes back without its Python class")
    return _script_module, (value.save_to_buffer(), tensors)


def _script_module(code: bytes, tensors: list[tuple[str, Any]]) -> Any:
    import torch

    load: Any = torch.jit.load
    made = load(io.BytesIO(code))
    # An optimiser has them too.
    for name, tensor in tensors:
        *path, last = name.split(".")
        setattr(functools.reduce(getattr, path, made), last, tensor)
    return made


def _of_tensor(value: Any, context: Context) -> Any:
    if not value.is_leaf:
        context.notes.append("a tensor comes back without the graph that it was computed by")
    elif value.grad is not None:
        return _with_gradient, (value.__reduce_ex__(5), value.grad)
    reduced = value.__reduce_ex__(5) if value.dtype.is_floating_point and value.dtype.itemsize == 1 else None
    if reduced is not None and reduced[0].__name__ == "_rebuild_tensor_v3":
        storage, offset, size, stride, needs_gradient, _, dtype, *_ = reduced[1]
        return _small_float, (_holder(storage, context), offset, size, stride, needs_gradient, dtype)
    return NotImplemented


def _small_float(storage: Any, offset: int, size: Any, stride: Any, needs_gradient: bool, dtype: Any) -> Any:
    import torch

    tensor = torch.empty((0,), dtype=dtype, device=storage.device)
    tensor.set_(storage, offset, size, stride)
    return tensor.requires_grad_(needs_gradient) if needs_gradient else tensor


def _holder(untyped: Any, context: Context) -> _Storage:
    place = untyped._cdata
    if place not in context.storages:
        on_host = context.host_copies.get(place)
        if on_host is None and untyped.device.type != "cpu":
            raise Unsavable(f"its memory on {untyped.device} could not be read")
        context.storages[place] = _Storage(untyped, on_host, getattr(context.shared_memory, "under", {}).get(place))
    holder: _Storage = context.storages[place]
    return holder


def _typed_storage(untyped: Any, dtype: Any) -> Any:
    import torch

    make: Any = torch.storage.TypedStorage
    return make(wrap_storage=untyped, dtype=dtype, _internal=True)


def _with_gradient(reduced: tuple[Callable[..., Any], tuple[Any, ...]], gradient: Any) -> Any:
    make, arguments = reduced[:2]
    tensor = make(*arguments)
    tensor.grad = gradient
    return tensor


def _generator(device: str, state: Any) -> Any:
    import torch

    if rehearsing and device != "cpu":
        return torch.Generator()
    try:
        generator = torch.Generator(device)
    except RuntimeError:
        _moved.add((device, "cpu"))
        return torch.Generator()
    generator.set_state(state)
    return generator


NAMES = {
    ("torch", "Tensor"): _of_tensor,
    ("torch.storage", "TypedStorage"): _of_typed_storage,
    ("torch.storage", "UntypedStorage"): _of_storage,
    ("torch.jit._script", "ScriptModule"): _of_script_module,
    ("torch.nn.modules.module", "Module"): _of_module,
    ("torch", "Generator"): _of_generator,
    ("torch._C", "Generator"): _of_generator,
}
