"""Objects that Python's own pickling loses something of, or should not touch: how each is written down.

A library's objects are dealt with only where that library is imported already.
"""

from __future__ import annotations

import _thread
import io
import pickle
import socket
import sys
import threading
import types
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from regrow.state.errors import Unsavable
from regrow.state.sharing import memory_of

if TYPE_CHECKING:
    from regrow.state.pickling import Context

LockType = _thread.LockType
RLockType = type(threading.RLock())

#: What can't be kept, and what its owner is told.
UNSAVABLE: dict[type, str] = {
    types.GeneratorType: "a generator can't be kept: it is in the middle of its code. Make it again",
    types.CoroutineType: "a coroutine can't be kept: it is in the middle of its code. Make it again",
    types.AsyncGeneratorType: "an async generator can't be kept: it is in the middle of its code. Make it again",
    types.FrameType: "a frame of running code can't be kept",
    types.TracebackType: "a traceback can't be kept: it holds frames of running code",
    threading.Thread: "a thread can't be kept: start it again",
    socket.socket: "a socket can't be kept: connect again",
    memoryview: "a memoryview can't be kept: make it again from what it views",
}
_BY_NAME = {
    ("sqlite3", "Connection"): "a connection to a database can't be kept: connect again",
    ("sqlite3", "Cursor"): "a cursor of a database can't be kept: make it again",
    ("subprocess", "Popen"): "a running program can't be kept: start it again",
    ("multiprocessing.process", "BaseProcess"): "a process can't be kept: start it again",
    ("mmap", "mmap"): "a memory map can't be kept: map the file again",
}


def reduce(value: Any, kind: type, context: Context) -> Any:
    """What stands for `value` in a pickle; `NotImplemented` where Python's own way will do. Raises `Unsavable`."""
    for each in kind.__mro__:
        if reason := UNSAVABLE.get(each) or _BY_NAME.get((each.__module__, each.__name__)):
            raise Unsavable(reason, value)
    if isinstance(value, io.IOBase):
        return _of_file(value, kind, context)
    if kind is LockType or kind is RLockType:
        context.notes.append("a lock comes back open")
        return (threading.RLock if kind is RLockType else threading.Lock), ()
    if kind is weakref.ReferenceType:
        context.notes.append("a weak reference comes back to what is kept beside it")
        return _weak_reference, (value(),)
    numpy, torch = sys.modules.get("numpy"), sys.modules.get("torch")
    if numpy is not None and isinstance(value, getattr(numpy, "ndarray", ())):
        return _of_array(value, kind, context, numpy, torch)
    if torch is not None and hasattr(torch, "storage"):
        return _of_torch(value, kind, context, torch)
    return NotImplemented


# Files


def _of_file(value: Any, kind: type, context: Context) -> Any:
    if kind in (io.BytesIO, io.StringIO) or not hasattr(value, "fileno"):
        return NotImplemented
    if value.closed:
        raise Unsavable("a closed file can't be kept. Open it again", value)
    name = getattr(value, "name", None)
    # Asking a file that is written to where it stands would write its buffer, from this process too.
    if value.writable() or not isinstance(name, str) or not Path(name).is_file() or not value.seekable():
        raise Unsavable(f"an open file ({name}) can't be kept. Open it again", value)
    context.notes.append(f"the file {name} is opened again where it was read to")
    arguments: dict[str, Any] = {}
    if isinstance(value, io.TextIOBase):
        arguments = {"encoding": getattr(value, "encoding", None), "errors": getattr(value, "errors", None)}
    return _open_again, (str(Path(name).absolute()), "r" if arguments else "rb", value.tell(), arguments)


def _open_again(path: str, mode: str, position: int, arguments: dict[str, Any]) -> Any:
    file = open(path, mode, **arguments)  # noqa: SIM115, PTH123 (the notebook's own file)
    file.seek(position)
    return file


def _weak_reference(target: Any) -> Any:
    return weakref.ref(target) if target is not None else weakref.ref(_Gone())


class _Gone:
    pass


# NumPy


def _of_array(array: Any, kind: type, context: Context, numpy: Any, torch: Any) -> Any:
    if isinstance(array, numpy.memmap):
        return _of_memmap(array, context)
    if kind is not numpy.ndarray or array.dtype.hasobject:
        return NotImplemented
    root: Any = memory_of(array)
    tensor = getattr(torch, "Tensor", None)
    if root is array:
        if tensor is not None and isinstance(array.base, tensor) and not array.base.requires_grad:
            return _numpy_of_tensor, (array.base,)
        return NotImplemented
    on_tensor = tensor is not None and isinstance(root.base, tensor)
    is_plain: bool = type(root) is numpy.ndarray
    if not is_plain or not (id(root) in context.shared_memory or on_tensor):
        return NotImplemented
    if not (root.flags.c_contiguous or root.flags.f_contiguous):
        return NotImplemented
    offset = array.__array_interface__["data"][0] - root.__array_interface__["data"][0]
    return _view, (root, array.dtype, array.shape, array.strides, offset, bool(array.flags.writeable))


def _view(root: Any, dtype: Any, shape: Any, strides: Any, offset: int, writeable: bool) -> Any:
    import numpy

    memory = root.ravel(order="K").view(numpy.uint8)
    view = numpy.ndarray(shape, dtype, memory, offset, strides)
    view.flags.writeable = writeable
    return view


def _numpy_of_tensor(tensor: Any) -> Any:
    return tensor.numpy()


def _of_memmap(array: Any, context: Context) -> Any:
    path = getattr(array, "filename", None)
    if path is None or array.mode == "c" or not Path(path).is_file():
        context.notes.append("a memory map comes back as an array")
        return NotImplemented
    whole = array
    while type(whole.base) is type(array):
        whole = whole.base
    offset = array.__array_interface__["data"][0] - whole.__array_interface__["data"][0]
    context.notes.append(f"it is a map of {path}: what is in that file then is what it has")
    # "w+" would empty the file.
    mode = "r+" if array.mode == "w+" else array.mode
    if not array.flags.c_contiguous:
        return NotImplemented
    return _map_again, (str(path), array.dtype, mode, whole.offset + offset, array.shape)


def _map_again(path: str, dtype: Any, mode: Any, offset: int, shape: Any) -> Any:
    import numpy

    return numpy.memmap(path, dtype, mode, offset, shape)


# PyTorch


class _Storage:
    """Stands for the memory of tensors, so that those which share it share it again."""

    def __init__(self, untyped: Any, on_host: Any) -> None:
        self.untyped = untyped
        self.on_host = on_host

    def __reduce_ex__(self, protocol: Any) -> Any:
        size = self.untyped.nbytes()
        device = str(self.untyped.device)
        if not size:
            return _storage, (b"", device)
        if self.on_host is not None:
            return _storage, (pickle.PickleBuffer(self.on_host), device)
        return _storage, (pickle.PickleBuffer(_memory_at(self.untyped)), device)


def _memory_at(untyped: Any) -> memoryview:
    import ctypes

    return memoryview((ctypes.c_char * untyped.nbytes()).from_address(untyped.data_ptr())).cast("B")


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
    import torch

    wanted = torch.device(device)
    if wanted.type == "cuda" and torch.cuda.is_available():
        number = wanted.index if (wanted.index or 0) < torch.cuda.device_count() else 0
        found = torch.device("cuda", number or 0)
        if found.index != (wanted.index or 0):
            moved.add((device, str(found)))
        return untyped.to(device=found)
    moved.add((device, "cpu"))
    return untyped


#: Where tensors were, and where they are now because that was not there: for the session to tell, and to empty.
moved: set[tuple[str, str]] = set()


def _of_torch(value: Any, kind: type, context: Context, torch: Any) -> Any:
    if kind is torch.storage.TypedStorage:
        return _typed_storage, (_holder(value._untyped_storage, context), value.dtype)
    if kind is torch.UntypedStorage:
        return _holder(value, context).__reduce_ex__(5)
    if kind is torch.Generator:
        return _generator, (str(value.device), value.get_state())
    if isinstance(value, torch.Tensor):
        if not value.is_leaf:
            context.notes.append("a tensor comes back without the graph that it was computed by")
        elif value.grad is not None:
            return _with_gradient, (value.__reduce_ex__(5), value.grad)
    return NotImplemented


def _holder(untyped: Any, context: Context) -> _Storage:
    place = untyped._cdata
    if place not in context.storages:
        on_host = context.host_copies.get(place)
        if on_host is None and untyped.device.type != "cpu":
            raise Unsavable(f"its memory on {untyped.device} could not be read")
        context.storages[place] = _Storage(untyped, on_host)
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

    try:
        generator = torch.Generator(device)
    except RuntimeError:
        moved.add((device, "cpu"))
        return torch.Generator()
    generator.set_state(state)
    return generator
