"""NumPy: views of shared memory, and maps of files."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from regrow.state.sharing import memory_of

if TYPE_CHECKING:
    from regrow.state.pickling import Context


def _of_array(array: Any, context: Context) -> Any:
    numpy = sys.modules["numpy"]
    if isinstance(array, numpy.memmap):
        return _of_memmap(array, context)
    if type(array) is not numpy.ndarray or array.dtype.hasobject:
        return NotImplemented
    root: Any = memory_of(array)
    tensor = getattr(sys.modules.get("torch"), "Tensor", None)
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


NAMES = {("numpy", "ndarray"): _of_array}
