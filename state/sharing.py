"""Which names share objects: the co-variables of a namespace.

The object graph is walked through `gc.get_referents`, after the co-variables of Kishu (Li et al., arXiv 2406.13856).
It ends at modules, at what can be imported, and at the notebook's own functions and classes, which are referred to by
name.
"""

from __future__ import annotations

import gc
import logging
import sys
import types
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from regrow.state.cells import codes_of, names_in_code

ATOMS = frozenset(
    {
        int, float, complex, bool, str, bytes, type(None), type(Ellipsis), type(NotImplemented), range,
        types.CodeType, types.BuiltinFunctionType, types.MethodDescriptorType, types.WrapperDescriptorType,
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


@dataclass
class Sharing:
    """The groups of names, and what was found on the way. `shared_memory` holds the ids of arrays that several use."""

    groups: list[list[str]]
    found: dict[str, Found]
    shared_memory: set[int]


def definitions(namespace: Mapping[str, Any]) -> dict[int, str]:
    """The notebook's own functions and classes that are there under their own name, by id."""
    return {
        id(value): name
        for name, value in namespace.items()
        if isinstance(value, _DEFINITIONS) and value.__module__ == "__main__" and value.__name__ == name
    }


def is_importable(value: Any) -> bool:
    """Whether a function or class is what its module and qualified name say, so that a name is enough to find it."""
    module = sys.modules.get(getattr(value, "__module__", None) or "")
    if module is None or module.__name__ == "__main__":
        return False
    found: Any = module
    for part in getattr(value, "__qualname__", "").split("."):
        found = getattr(found, part, None)
    return found is value


def storages_on_gpus(namespace: Mapping[str, Any]) -> dict[int, Any]:
    """The memory on GPUs of the tensors that the names of `namespace` come to, by what tells one from another."""
    walk = _Walk(namespace)
    walk.run(list(namespace))
    return walk.on_gpus


def share(names: Iterable[str], namespace: Mapping[str, Any]) -> Sharing:
    """Group `names` so that no object which can change is in two groups."""
    return _Walk(namespace).run(list(names))


class _Walk:
    def __init__(self, namespace: Mapping[str, Any]) -> None:
        self.namespace = namespace
        self.definitions = definitions(namespace)
        # Every function refers to its module's dictionary, and so to everything.
        self.cut = {id(vars(module)) for module in list(sys.modules.values()) if isinstance(module, types.ModuleType)}
        self.cut |= {id(namespace), id(sys.modules)}
        self.owner: dict[int, int] = {}
        self.parent: list[int] = []
        self.memory: dict[int, int] = {}
        self.arrays: dict[int, int] = {}
        self.on_gpus: dict[int, Any] = {}
        # An id is an object's only as long as that lives: what is made on the way is kept to the end.
        self.alive: list[Any] = []
        self.ndarray = getattr(sys.modules.get("numpy"), "ndarray", None)
        self.tensor = getattr(sys.modules.get("torch"), "Tensor", None)

    def run(self, names: list[str]) -> Sharing:
        found = {}
        for number, name in enumerate(names):
            self.parent.append(number)
            found[name] = self._walk(number, name)
        groups: dict[int, list[str]] = {}
        for number, name in enumerate(names):
            groups.setdefault(self._root(number), []).append(name)
        shared = {root for root, count in self.arrays.items() if count > 1}
        return Sharing(list(groups.values()), found, shared)

    def _root(self, number: int) -> int:
        while self.parent[number] != number:
            self.parent[number] = self.parent[self.parent[number]]
            number = self.parent[number]
        return number

    def _join(self, one: int, other: int) -> None:
        self.parent[self._root(one)] = self._root(other)

    def _walk(self, number: int, name: str) -> Found:
        found = Found()
        waiting: list[Any] = [self.namespace[name]]
        is_root = True
        owner, cut, alive = self.owner, self.cut, self.alive
        while waiting:
            value = waiting.pop()
            kind = type(value)
            # Names bound to the same text are the same text again; what is inside of something else need not be.
            is_text = is_root and kind in (str, bytes) and len(value) >= _LONG
            if kind is types.ModuleType or (kind in ATOMS and not is_text):
                continue
            identity = id(value)
            if identity in cut:
                continue
            if not is_root and isinstance(value, _DEFINITIONS) and identity in self.definitions:
                found.needs.add(self.definitions[identity])
                continue
            is_root = False
            if isinstance(value, _DEFINITIONS) and is_importable(value):
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
        if isinstance(value, types.FunctionType):
            found.has_code = True
            for code in codes_of(value):
                found.uses.update(name for name in names_in_code(code) if name in self.namespace)
            return [value.__defaults__, value.__kwdefaults__, value.__dict__, *(value.__closure__ or ())]
        if isinstance(value, type):
            found.has_code = True
            return [*value.__bases__, *vars(value).values(), type(value)]
        if kind.__module__ == "__main__" and (named := self.definitions.get(id(kind))) is not None:
            found.needs.add(named)
        is_array = self.ndarray is not None and isinstance(value, self.ndarray)
        is_tensor = self.tensor is not None and isinstance(value, self.tensor)
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
        if kind is types.MappingProxyType:
            return [dict(value)]
        return gc.get_referents(value)

    def _of_array(self, array: Any) -> list[Any]:
        root = memory_of(array)
        self.alive.append(root)
        self.arrays[id(root)] = self.arrays.get(id(root), 0) + 1
        rest = array.ravel().tolist() if array.dtype.hasobject else []
        if self.tensor is not None and isinstance(root.base, self.tensor):
            rest.append(root.base)
        return [*rest, getattr(array, "__dict__", None)]

    def _memory(self, value: Any) -> int | None:
        """What tells the memory of an array or tensor from others'."""
        if self.ndarray is not None and isinstance(value, self.ndarray):
            return id(memory_of(value))
        try:
            return int(value.untyped_storage()._cdata)
        except (RuntimeError, NotImplementedError):  # sparse tensors have none of their own
            return None


def memory_of(array: Any) -> Any:
    """The array that owns the memory which `array` is a view into; itself if it is none."""
    root = array
    while type(root.base) is type(array) or type(root.base).__name__ == "ndarray":
        root = root.base
    return root
