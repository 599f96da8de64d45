"""Functions and classes of the notebook by value: what they are made from, and what is put into them then.

Each is made empty first and filled afterwards, so that functions and classes may refer to themselves, to each other,
and to objects of theirs, and closures that share a variable share it again. After the idea of cloudpickle.
"""

from __future__ import annotations

import ctypes
import enum
import functools
import gc
import importlib
import marshal
import operator
import sys
import types
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Protocol

from regrow.state.cell_text import own_text, remember
from regrow.state.sharing import globals_used

#: Not put into a class: Python makes them with it.
_MADE_WITH_A_CLASS = frozenset({"__dict__", "__weakref__", "_abc_impl", "__abstractmethods__"})
_C_DESCRIPTORS = (
    types.MethodDescriptorType,
    types.WrapperDescriptorType,
    types.GetSetDescriptorType,
    types.MemberDescriptorType,
)
# What `abc` itself stands on.
_ABC: Any = importlib.import_module("_abc")
_HEAP_TYPE = 1 << 9
_VALUES = frozenset({int, float, complex, str, bytes, tuple})
_OF_C = (ctypes.Structure, ctypes.Union)
_FIELD_OF_C = type(type("_", (ctypes.Structure,), {"_fields_": [("field", ctypes.c_int)]}).field)  # type: ignore[attr-defined]


def namespace() -> dict[str, Any]:
    """The notebook's namespace: the globals of its functions."""
    return vars(sys.modules["__main__"])


# Functions


class Notes(Protocol):
    """What is known of the group that is pickled: the globals of functions that are not the notebook's."""

    globals: dict[int, Any]


def reduce_function(function: types.FunctionType, notes: Notes) -> Any:
    """What makes `function` again."""
    cells = function.__closure__ or ()
    values = function.__globals__
    holder = notes.globals.setdefault(id(values), _Globals(values))
    state = {
        "attributes": function.__dict__,
        "defaults": function.__defaults__,
        "keyword_defaults": function.__kwdefaults__,
        "annotations": function.__annotations__,
        "qualname": function.__qualname__,
        "module": function.__module__,
        "doc": function.__doc__,
        "globals": holder.used_by(function),
        # Not with the cells: what is in one may lead to this function again.
        "contents": [(cell, *_content(cell)) for cell in cells],
    }
    code = function.__code__
    arguments = (_code_and_text(code), holder, function.__name__, list(cells))
    return _function, arguments, state, None, None, _fill_function


def _code_and_text(code: types.CodeType) -> tuple[bytes, str, str, int]:
    return (marshal.dumps(code), code.co_filename, *own_text(code))


class _Globals:
    """The globals of a function, by reference where they are a module's; else those that functions use."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.values = values
        self.reference = self._reference()

    def _reference(self) -> Any:
        if self.values is namespace():
            return namespace, ()
        module = sys.modules.get(str(self.values.get("__name__")))
        if module is not None and vars(module) is self.values:
            return _globals_of, (module.__name__,)
        for owner in gc.get_referrers(self.values):
            if isinstance(owner, types.ModuleType) and vars(owner) is self.values:
                return vars, (owner,)
        return None

    def used_by(self, function: types.FunctionType) -> dict[str, Any]:
        return globals_used(function) if self.reference is None else {}

    def __reduce__(self) -> Any:
        if self.reference is not None:
            return self.reference
        return dict, (), None, None, iter([("__name__", self.values.get("__name__", ""))])


def reduce_cell(cell: types.CellType, notes: Notes) -> Any:
    """A cell is made empty: functions which have it fill it."""
    return types.CellType, ()


def _globals_of(module: str) -> dict[str, Any]:
    __import__(module)
    return vars(sys.modules[module])


def _content(cell: types.CellType) -> tuple[Any, ...]:
    try:
        return (cell.cell_contents,)
    except ValueError:  # nothing is bound yet
        return ()


def _function(made_from: Any, values: Any, name: str, cells: list[Any]) -> types.FunctionType:
    code = make_code(*made_from)
    return types.FunctionType(code, values, name, None, tuple(cells))


def make_code(code: bytes, filename: str, source: str, first: int = 1) -> types.CodeType:
    """Code, whose `source` tracebacks and `inspect` find under `filename`, from the line `first` on."""
    remember(filename, source, first)
    made: types.CodeType = marshal.loads(code)
    return made


def _fill_function(function: types.FunctionType, state: dict[str, Any]) -> None:
    function.__dict__.update(state["attributes"])
    function.__defaults__ = state["defaults"]
    function.__kwdefaults__ = state["keyword_defaults"]
    function.__annotations__ = state["annotations"]
    function.__qualname__ = state["qualname"]
    function.__module__ = state["module"]
    function.__doc__ = state["doc"]
    for name, value in state["globals"].items():
        function.__globals__.setdefault(name, value)
    for cell, *content in state["contents"]:
        if content:
            cell.cell_contents = content[0]


# Classes


def reduce_class(cls: type) -> Any:
    """What makes `cls` again; None where there is nothing to make it from."""
    if (found := _by_other_name(cls)) is not None:
        return found
    space = vars(cls)
    slots = _slots(cls)
    if not cls.__flags__ & _HEAP_TYPE or (not issubclass(cls, _OF_C) and _is_of_c(cls, slots)):
        return None
    first = {name: space[name] for name in ("__doc__", "__module__", "__slots__", "__orig_bases__") if name in space}
    first["__qualname__"] = cls.__qualname__
    rest = {
        name: value
        for name, value in space.items()
        if name not in _MADE_WITH_A_CLASS and name not in first and name not in slots and type(value) is not _FIELD_OF_C
    }
    arguments = (type(cls), cls.__name__, cls.__bases__, first)
    if issubclass(cls, _OF_C):
        # Its memory is laid out when it is made.
        return _class_of_c, (*arguments[:3], {**first, **rest})
    return _class, arguments, (rest, _registered(cls)), None, None, _fill_class


def _is_of_c(cls: type, slots: set[str]) -> bool:
    """Whether `cls` was made by an extension, and does what no class that is made from Python does."""
    return any(
        isinstance(value, _C_DESCRIPTORS) and value.__objclass__ is cls
        for name, value in vars(cls).items()
        if name not in slots and name not in _MADE_WITH_A_CLASS
    )


def _slots(cls: type) -> set[str]:
    names = vars(cls).get("__slots__", ())
    own = cls.__name__.lstrip("_")
    names = (names,) if isinstance(names, str) else names
    return {f"_{own}{name}" if name.startswith("__") and not name.endswith("__") else name for name in names}


def _by_other_name(cls: type) -> Any:
    """Classes that are somewhere else than their name says."""
    for name in ("NoneType", "EllipsisType", "NotImplementedType"):
        if cls is getattr(types, name):
            return NotImplemented
    for name, value in vars(types).items():
        if value is cls:
            return getattr, (types, name)
    if issubclass(cls, ctypes.Array):
        return operator.mul, (cls._type_, cls._length_)
    for each in (ctypes.Structure, ctypes.Union, ctypes.Array, ctypes.c_int):
        if cls is type(each):
            return type, (each,)
    views: tuple[Any, ...] = ({}.keys(), {}.values(), {}.items())
    for method, view in zip(("keys", "values", "items"), views, strict=True):
        if cls is type(view):
            return _type_of_view, (method,)
    return None


def _type_of_view(method: str) -> type:
    return type(getattr({}, method)())


def _registered(cls: type) -> list[type]:
    """The virtual subclasses of an abstract class."""
    if "_abc_impl" not in vars(cls):
        return []
    return [found for reference in _ABC._get_dump(cls)[0] if (found := reference()) is not None]


def _class(metaclass: type, name: str, bases: tuple[type, ...], space: dict[str, Any]) -> type:
    with _quiet(bases):
        # What a metaclass does when a class is made it has done once: its outcome is in what the class is filled with.
        made: type = type.__new__(metaclass, name, bases, dict(space))
    return made


def _class_of_c(metaclass: Any, name: str, bases: tuple[type, ...], space: dict[str, Any]) -> Any:
    return metaclass(name, bases, space)


@contextmanager
def _quiet(bases: Iterable[type]) -> Iterator[None]:
    """Let nobody be told meanwhile of a subclass that is made: they have been, and may be registering it twice."""
    changed: list[tuple[type, Any]] = []
    for base in bases:
        with suppress(TypeError):  # one that can't be changed
            before = vars(base).get("__init_subclass__")
            type.__setattr__(base, "__init_subclass__", classmethod(lambda cls, **kwargs: None))
            changed.append((base, before))
    try:
        yield
    finally:
        for base, before in changed:
            if before is None:
                type.__delattr__(base, "__init_subclass__")
            else:
                type.__setattr__(base, "__init_subclass__", before)


def _fill_class(cls: type, state: tuple[dict[str, Any], list[type]]) -> None:
    space, registered = state
    for name, value in space.items():
        with suppress(AttributeError, TypeError):  # what this Python does not let anybody set
            type.__setattr__(cls, name, value)
    if any("_abc_impl" in vars(base) for base in cls.__mro__[1:]):
        _ABC._abc_init(cls)
        for subclass in registered:
            _ABC._abc_register(cls, subclass)


# What is in classes


def reduce_member(member: enum.Enum) -> Any:
    """A member of an enumeration that is written by value itself: not looked up in it, it may not be there yet."""
    cls = type(member)
    kind: Any = getattr(cls, "_member_type_", object)
    arguments = (kind(member._value_),) if kind in _VALUES else ()
    return _member, (cls, kind, arguments), member.__dict__, None, None, _fill_member


def _member(cls: Any, kind: Any, arguments: tuple[Any, ...]) -> Any:
    return kind.__new__(cls, *arguments)


def _fill_member(member: Any, state: dict[str, Any]) -> None:
    member.__dict__.update(state)


def reduce_property(value: property, notes: Notes) -> Any:
    """Python itself can't pickle properties."""
    if type(value) is not property:
        return NotImplemented
    return property, (value.fget, value.fset, value.fdel, value.__doc__)


def reduce_wrapped_method(value: staticmethod[Any, Any] | classmethod[Any, Any, Any], notes: Notes) -> Any:
    """A static method or class method."""
    return type(value), (value.__func__,)


def reduce_cached_property(value: functools.cached_property[Any], notes: Notes) -> Any:
    """Without the lock that some Pythons' have."""
    if type(value) is not functools.cached_property:
        return NotImplemented
    return _cached_property, (value.func, value.attrname)


def _cached_property(function: Any, name: str | None) -> Any:
    made = functools.cached_property(function)
    made.attrname = name
    return made


def reduce_cached_function(function: Any) -> Any:
    """A function with a cache, with that empty."""
    parameters = function.cache_parameters()
    attributes = {name: value for name, value in vars(function).items() if name != "__wrapped__"}
    return (
        _cached_function,
        (function.__wrapped__, parameters["maxsize"], parameters["typed"]),
        attributes,
        None,
        None,
        _fill_attributes,
    )


def _cached_function(function: Any, maxsize: int | None, typed: bool) -> Any:
    return functools.lru_cache(maxsize, typed)(function)


def _fill_attributes(value: Any, attributes: dict[str, Any]) -> None:
    for name, attribute in attributes.items():
        if name != "cache_parameters":
            setattr(value, name, attribute)


# Code


def reduce_code(code: types.CodeType, notes: Notes) -> Any:
    """Code by itself."""
    return make_code, _code_and_text(code)
