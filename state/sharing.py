"""Which names share objects: the co-variables of a namespace.

The object graph is walked through `gc.get_referents`, after the co-variables of Kishu (Li et al., arXiv 2406.13856).
It ends at modules, at what can be imported, and at the notebook's own functions and classes, which are referred to by
name.
"""

from __future__ import annotations

import bisect
import contextvars
import enum
import functools
import gc
import importlib
import logging
import sys
import types
import weakref
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from regrow.state.cells import codes_of, names_in_code
from regrow.state.unsavable import why_not

ATOMS = frozenset(
    {
        int, float, complex, bool, str, bytes, type(None), type(Ellipsis), type(NotImplemented), range,
        types.CodeType, types.MethodDescriptorType, types.WrapperDescriptorType,
        types.GetSetDescriptorType, types.MemberDescriptorType, logging.Logger, logging.RootLogger, logging.Manager,
    }
)  # fmt: skip
_LONG = 64
_DEFINITIONS = (types.FunctionType, type)


@dataclass
class Found:
    """What one name's objects are: arrays by the memory that they lie in, names of definitions, names in its code."""

    needs: set[str] = field(default_factory=set)
    uses: set[str] = field(default_factory=set)
    has_code: bool = False


class SharedMemory(set[int]):
    """The ids of arrays whose memory several use; `under` has those that storages of tensors lie in, by storage."""

    def __init__(self, arrays: Iterable[int] = (), under: Mapping[int, Any] | None = None) -> None:
        super().__init__(arrays)
        self.under = under or {}


@dataclass
class Sharing:
    """The groups of names, and what was found on the way. Names that `failed`, and why, are in no group."""

    groups: list[list[str]]
    found: dict[str, Found]
    shared_memory: SharedMemory
    failed: dict[str, str] = field(default_factory=dict)


def definitions(namespace: Mapping[str, Any]) -> dict[int, str]:
    """The notebook's own functions and classes that are there under their own name, by id."""
    return {id(value): name for name, value in namespace.items() if _is_under_its_name(value, name)}


def _is_under_its_name(value: Any, name: str) -> bool:
    try:
        return bool(issubclass(type(value), _DEFINITIONS) and value.__module__ == "__main__" and value.__name__ == name)
    except Exception:  # of a metaclass's own
        return False


def is_importable(value: Any) -> bool:
    """Whether a function or class is what its module and qualified name say, so that a name is enough to find it."""
    name = getattr(value, "__module__", None) or ""
    if name == "__main__":
        return False
    found: Any = sys.modules.get(name) or _imported(name)
    for part in getattr(value, "__qualname__", "").split("."):
        found = getattr(found, part, None)
    return found is value


@cache
def _imported(name: str) -> Any:
    """The module `name`, which a class says that it is of, but nobody has imported; None where there is none."""
    try:
        return importlib.import_module(name)
    except Exception:  # a module's own code
        return None


def storages_on_gpus(namespace: Mapping[str, Any]) -> dict[int, Any]:
    """The memory on GPUs of the tensors that the names of `namespace` come to, by what tells one from another."""
    walk = _Walk(namespace)
    walk.run(list(namespace))
    return walk.on_gpus


def share(names: Iterable[str], namespace: Mapping[str, Any]) -> Sharing:
    """Group `names` so that no object which can change is in two groups."""
    return _Walk(namespace).run(list(names))


@cache
def _is_constant(kind: Any) -> bool:
    """Whether objects of `kind` never change, and libraries hand out the same one to everybody."""
    if issubclass(kind, enum.Enum):
        return is_importable(kind)
    return any((each.__module__, each.__name__) in _CONSTANTS for each in kind.__mro__)


#: There is one of each that is empty, and those of atoms never change.
_IMMUTABLE = frozenset({tuple, frozenset, types.MappingProxyType})
_HEAP_TYPE = 1 << 9
# Also what leads to everything, and is left out by those that have it when they are pickled.
_CONSTANTS = frozenset(
    {
        *(("numpy", name) for name in ("dtype", "ufunc", "generic", "_NoValueType")),
        ("sympy.core.basic", "Basic"),
        ("pydantic_core._pydantic_core", "PydanticUndefinedType"),
        ("_plotly_utils.basevalidators", "BaseValidator"),
        ("traitlets.traitlets", "BaseDescriptor"),
        ("comm.base_comm", "BaseComm"),
        ("matplotlib.cbook", "CallbackRegistry"),
        ("matplotlib.backend_bases", "FigureCanvasBase"),
        ("matplotlib.backend_bases", "RendererBase"),
        *(("torch", name) for name in ("dtype", "layout", "device", "memory_format", "qscheme")),
        *(("datetime", "timezone"), ("zoneinfo", "ZoneInfo"), ("pandas._libs.missing", "NAType")),
        *(("dataclasses", name) for name in ("_MISSING_TYPE", "_FIELD_BASE", "_KW_ONLY_TYPE")),
        ("dataclasses", "_HAS_DEFAULT_FACTORY_CLASS"),
    }
)
_WEAK = frozenset({weakref.WeakSet, weakref.WeakKeyDictionary, weakref.WeakValueDictionary})
_CACHED_FUNCTION = type(functools.lru_cache(len))
_PROXIES = frozenset({weakref.ProxyType, weakref.CallableProxyType})


def globals_used(function: types.FunctionType) -> dict[str, Any]:
    """Of the globals of `function` those that its code may look up."""
    values = function.__globals__
    return {name: values[name] for name in names_in_code(function.__code__) if name in values}


def _behind(proxy: Any) -> tuple[Any, type]:
    """What a weak proxy stands for, and its type; None where that is gone."""
    try:
        value = proxy.__reduce_ex__.__self__
    except ReferenceError:
        return None, type(None)
    return value, type(value)


def _of_the_kernel() -> Iterator[int]:
    """The ids of what leads to everything in a kernel, and is of nobody's variables."""
    for name in ("stdout", "stderr", "stdin", "__stdout__", "__stderr__", "__stdin__"):
        yield id(getattr(sys, name))
    settings = getattr(sys.modules.get("matplotlib"), "rcParams", None)
    if settings is not None:  # every figure has some of their lists
        yield from (id(value) for value in dict.values(settings) if isinstance(value, list))
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    if shell is not None:
        yield from (id(shell), id(getattr(shell, "kernel", None)))


def _circles(needs: Mapping[int, Iterable[int]]) -> Iterator[list[int]]:
    """The sets of more than one node in which each leads to all others (Tarjan's algorithm, without recursion)."""
    index: dict[int, int] = {}
    low: dict[int, int] = {}
    path: list[int] = []
    on_path: set[int] = set()
    for start in needs:
        if start in index:
            continue
        waiting = [(start, iter(needs.get(start, ())))]
        index[start] = low[start] = len(index)
        path.append(start)
        on_path.add(start)
        while waiting:
            node, following = waiting[-1]
            other = next(following, None)
            if other is None:
                waiting.pop()
                if waiting:
                    low[waiting[-1][0]] = min(low[waiting[-1][0]], low[node])
                if low[node] == index[node]:
                    circle = path[path.index(node) :]
                    del path[-len(circle) :]
                    on_path -= set(circle)
                    if len(circle) > 1:
                        yield circle
            elif other not in index:
                index[other] = low[other] = len(index)
                path.append(other)
                on_path.add(other)
                waiting.append((other, iter(needs.get(other, ()))))
            elif other in on_path:
                low[node] = min(low[node], index[other])


class _Walk:
    def __init__(self, namespace: Mapping[str, Any]) -> None:
        self.namespace = namespace
        self.definitions = definitions(namespace)
        # Every function refers to its module's dictionary, and so to everything.
        self.cut = {id(getattr(module, "__dict__", None)) for module in list(sys.modules.values())}
        self.cut |= {id(namespace), id(sys.modules), *_of_the_kernel()}
        self.owner: dict[int, int] = {}
        self.parent: list[int] = []
        self.memory: dict[int, int] = {}
        self.arrays: dict[int, int] = {}
        self.on_gpus: dict[int, Any] = {}
        # Whole arrays by id; where storages of tensors lie, and how long they are.
        self.roots: dict[int, Any] = {}
        self.storages: dict[int, tuple[int, int]] = {}
        # An id is an object's only as long as that lives: what is made on the way is kept to the end.
        self.alive: list[Any] = []
        self.ndarray = getattr(sys.modules.get("numpy"), "ndarray", None)
        self.tensor = getattr(sys.modules.get("torch"), "Tensor", None)

    def run(self, names: list[str]) -> Sharing:
        found: dict[str, Found] = {}
        failed: dict[str, str] = {}
        for number, name in enumerate(names):
            self.parent.append(number)
            try:
                found[name] = self._walk(number, name)
            except Exception as error:  # of the object's own code
                failed[name] = f"looking at it raised {_said(error)}"
                # What it has come to was not looked at to the end.
                self.owner = {identity: owner for identity, owner in self.owner.items() if owner != number}
        self._join_circles(names, found)
        under = self._arrays_under_storages()
        groups: dict[int, list[str]] = {}
        for number, name in enumerate(names):
            if name in found:
                groups.setdefault(self._root(number), []).append(name)
        shared = {root for root, count in self.arrays.items() if count > 1} | {id(array) for array in under.values()}
        return Sharing(list(groups.values()), found, SharedMemory(shared, under), failed)

    def _root(self, number: int) -> int:
        while self.parent[number] != number:
            self.parent[number] = self.parent[self.parent[number]]
            number = self.parent[number]
        return number

    def _join(self, one: int, other: int) -> None:
        self.parent[self._root(one)] = self._root(other)

    def _arrays_under_storages(self) -> dict[int, Any]:
        """The arrays that tensors were made of, by storage: who has one has the other."""
        found: dict[int, Any] = {}
        if not self.storages or not self.roots:
            return found
        roots = sorted(self.roots.values(), key=_start)
        starts = [_start(root) for root in roots]
        for storage, (start, size) in self.storages.items():
            at = bisect.bisect_right(starts, start) - 1
            root = roots[at] if at >= 0 else None
            if (
                root is not None
                and size
                and start + size <= _start(root) + root.nbytes
                and not self._is_of_tensor(root)
            ):
                found[storage] = root
                self._join(self.memory[id(root)], self.memory[storage])
        return found

    def _is_of_tensor(self, array: Any) -> bool:
        return self.tensor is not None and issubclass(type(array.base), self.tensor)

    def _join_circles(self, names: list[str], found: Mapping[str, Found]) -> None:
        """Definitions that need each other are one group: none could be made before the others."""
        number_of = {name: number for number, name in enumerate(names)}
        needs: dict[int, set[int]] = {}
        for name, each in found.items():
            own = self._root(number_of[name])
            needed = {self._root(number_of[other]) for other in each.needs if other in number_of}
            needs.setdefault(own, set()).update(needed - {own})
        for circle in _circles(needs):
            for other in circle[1:]:
                self._join(circle[0], other)

    def _walk(self, number: int, name: str) -> Found:
        found = Found()
        waiting: list[Any] = [self.namespace[name]]
        is_root = True
        owner, cut, alive = self.owner, self.cut, self.alive
        while waiting:
            value = waiting.pop()
            kind: Any = type(value)
            # Names bound to the same text are the same text again; what is inside of something else need not be.
            is_text = is_root and kind in (str, bytes) and len(value) >= _LONG
            # What is looked up in sets: a metaclass may say that its classes can't be.
            key = kind
            try:
                if (kind in ATOMS and not is_text) or _is_constant(kind) or why_not(kind):
                    continue
            except Exception:
                key = object
            if key in _PROXIES:
                value, kind = _behind(value)
                if value is None:
                    continue
            if not is_root and key in _IMMUTABLE and all(type(item) in ATOMS for item in value):
                continue
            if kind is types.ModuleType and sys.modules.get(value.__name__) is value:
                continue
            identity = id(value)
            if identity in cut:
                continue
            is_definition = issubclass(kind, _DEFINITIONS)
            if not is_root and is_definition and identity in self.definitions:
                found.needs.add(self.definitions[identity])
                continue
            is_root = False
            if kind is type and not value.__flags__ & _HEAP_TYPE:
                continue
            if is_definition and is_importable(value):
                continue
            if (before := owner.get(identity)) is not None:
                if before != number:
                    self._join(before, number)
                continue
            owner[identity] = number
            alive.append(value)
            waiting += self._referents(value, kind, found, number)
        return found

    def _referents(self, value: Any, kind: type, found: Found, number: int) -> list[Any]:
        # Not isinstance: an object may say that it is of another class, or raise where it is asked.
        if issubclass(kind, types.FunctionType):
            found.has_code = True
            for code in codes_of(value):
                found.uses.update(name for name in names_in_code(code) if name in self.namespace)
            parts = [value.__defaults__, value.__kwdefaults__, value.__dict__, *(value.__closure__ or ())]
            if id(value.__globals__) in self.cut:
                return parts
            return [*parts, *globals_used(value).values()]
        if issubclass(kind, type):
            found.has_code = True
            return [*value.__bases__, *vars(value).values(), type(value)]
        if kind.__module__ == "__main__" and (named := self.definitions.get(id(kind))) is not None:
            found.needs.add(named)
        is_array = self.ndarray is not None and issubclass(kind, self.ndarray)
        is_tensor = self.tensor is not None and issubclass(kind, self.tensor)
        if (is_array or is_tensor) and (memory := self._memory(value)) is not None:
            before = self.memory.setdefault(memory, number)
            if before != number:
                self._join(before, number)
        if is_array:
            return self._of_array(value)
        if is_tensor:
            if value.is_cuda and (memory := self._memory(value)) is not None:
                self.on_gpus[memory] = value.untyped_storage()
            return [value.grad if value.is_leaf else None, getattr(value, "__dict__", None)]
        if issubclass(kind, BaseException):
            # Not the traceback: its frames lead to everything.
            return [value.args, value.__dict__, value.__cause__, value.__context__]
        if issubclass(kind, weakref.ReferenceType):
            return [value(), value.__callback__]
        if kind is types.BuiltinFunctionType or kind is types.MethodWrapperType:
            return [value.__self__]
        if any(kind is each for each in _WEAK):
            return list(value) if kind is weakref.WeakSet else [item for pair in list(value.items()) for item in pair]
        if kind is _CACHED_FUNCTION:
            return [value.__wrapped__, value.__dict__]
        if kind is contextvars.ContextVar:
            return [value.get(None)]
        return gc.get_referents(value)

    def _of_array(self, array: Any) -> list[Any]:
        root = memory_of(array)
        self.alive.append(root)
        self.arrays[id(root)] = self.arrays.get(id(root), 0) + 1
        rest = array.ravel().tolist() if array.dtype.hasobject else []
        if self.tensor is not None and issubclass(type(root.base), self.tensor):
            rest.append(root.base)
        return [*rest, getattr(array, "__dict__", None)]

    def _memory(self, value: Any) -> int | None:
        """What tells the memory of an array or tensor from others'."""
        if self.ndarray is not None and issubclass(type(value), self.ndarray):
            root = memory_of(value)
            self.alive.append(root)
            self.roots[id(root)] = root
            return id(root)
        try:
            storage = value.untyped_storage()
            if storage.device.type == "cpu":
                self.storages[storage._cdata] = (storage.data_ptr(), storage.nbytes())
            return int(storage._cdata)
        except (RuntimeError, NotImplementedError):  # sparse tensors have none of their own
            return None


def _said(error: Exception) -> str:
    try:
        text = str(error).strip().splitlines()[:1]
    except Exception:  # of its own class
        text = []
    return ": ".join([type(error).__name__, *text])[:200]


def _start(array: Any) -> int:
    return int(array.__array_interface__["data"][0])


def memory_of(array: Any) -> Any:
    """The array that owns the memory which `array` is a view into; itself if it is none."""
    root = array
    while True:
        base = root.base
        if type(base).__name__ == "DummyArray":  # NumPy's own, of `as_strided`
            base = base.base
        if type(base) is not type(array) and type(base).__name__ != "ndarray":
            return root
        root = base
