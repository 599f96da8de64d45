"""Python's own objects."""

from __future__ import annotations

import contextvars
import dataclasses
import enum
import functools
import gc
import logging
import re
import sys
import types
import typing
import weakref
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from regrow.state import definitions
from regrow.state.errors import Unsavable
from regrow.state.sharing import is_importable

if TYPE_CHECKING:
    from regrow.state.pickling import Context

_NOTHING: dict[Any, Any] = {}
_KEYS, _VALUES, _ITEMS = type(_NOTHING.keys()), type(_NOTHING.values()), type(_NOTHING.items())


def _of_view(value: Any, context: Context) -> Any:
    (viewed,) = (each for each in gc.get_referents(value) if isinstance(each, dict))
    return _view, (viewed, {_KEYS: "keys", _VALUES: "values", _ITEMS: "items"}[type(value)])


def _view(viewed: dict[Any, Any], method: str) -> Any:
    return getattr(viewed, method)()


def _of_proxy_of_mapping(value: Any, context: Context) -> Any:
    (viewed,) = gc.get_referents(value)
    if isinstance(viewed, dict) and "__dict__" in viewed:  # a class's own
        owner = getattr(viewed["__dict__"], "__objclass__", None)
        return _dictionary_of_class, (owner,)
    return types.MappingProxyType, (viewed,)


def _dictionary_of_class(owner: type) -> Any:
    return vars(owner)


def _of_memoryview(value: memoryview, context: Context) -> Any:
    if not value.c_contiguous or value.ndim != 1 or type(value.obj) not in (bytes, bytearray):
        raise Unsavable("a memoryview of this kind can't be kept: make it again from what it views", value)
    start = 0
    if value.nbytes:
        whole, part = memoryview(value.obj), value
        start = _address(part) - _address(whole)
    return _memoryview, (value.obj, start, value.nbytes, value.format, value.readonly)


def _address(view: memoryview) -> int:
    import numpy  # its array interface tells where read-only memory lies, which ctypes does not

    return int(numpy.frombuffer(view, numpy.uint8).__array_interface__["data"][0])


def _memoryview(viewed: Any, start: int, length: int, form: str, readonly: bool) -> memoryview:
    view: Any = memoryview(viewed)[start : start + length].cast("B")
    view = view.cast(form)
    if readonly:
        view = view.toreadonly()
    made: memoryview = view
    return made


def _of_weak_reference(value: Any, context: Context) -> Any:
    if isinstance(value, weakref.WeakMethod):
        return _weak_method, (value(),)
    return _weak_reference, (value(), value.__callback__)


def _weak_reference(target: Any, callback: Any) -> Any:
    return weakref.ref(target if target is not None else _Gone(), callback)


def _weak_method(method: Any) -> Any:
    return weakref.WeakMethod(method if method is not None else _Gone().method)


class _Gone:
    def method(self) -> None: ...


def _of_weak_proxy(value: Any, context: Context) -> Any:
    try:
        return weakref.proxy, (value.__reduce_ex__.__self__,)
    except ReferenceError:
        return _dead_proxy, ()


def _dead_proxy() -> Any:
    return weakref.proxy(_Gone())


def _of_weak_dictionary(value: Any, context: Context) -> Any:
    return type(value), (), None, None, iter(list(value.items()))


def _of_weak_set(value: Any, context: Context) -> Any:
    return _weak_set, (type(value), list(value))


def _weak_set(kind: Any, items: list[Any]) -> Any:
    return kind(items)


def _of_error(value: BaseException, context: Context) -> Any:
    reduced = value.__reduce_ex__(5)
    if not isinstance(reduced, tuple) or len(reduced) > 3:
        return NotImplemented
    if value.__traceback__ is not None:
        context.notes.append("an exception comes back without its traceback")
    make, arguments, *state = reduced
    kind = type(value)
    if make is kind and isinstance(kind.__init__, types.FunctionType):
        # Its own `__init__` takes other arguments than it leaves in `args`, more often than not.
        make, arguments = _bare_error, (kind, arguments)
    rest = (value.__cause__, value.__context__, value.__suppress_context__)
    return _error, (make, arguments), (*(state or (None,)), *rest), None, None, _fill_error


def _error(make: Any, arguments: Any) -> Any:
    return make(*arguments)


def _bare_error(kind: Any, arguments: Any) -> Any:
    error = kind.__new__(kind, *arguments)
    of_python = next(each for each in kind.__mro__ if not isinstance(each.__init__, types.FunctionType))
    of_python.__init__(error, *arguments)
    return error


def _fill_error(error: Any, state: Any) -> None:
    own, cause, context, suppress = state
    if own is not None:
        error.__setstate__(own)
    error.__cause__, error.__context__, error.__suppress_context__ = cause, context, suppress


def _of_context_variable(value: Any, context: Context) -> Any:
    try:
        default = contextvars.Context().run(value.get)
    except LookupError:
        default = _NoValue
    return _context_variable, (value.name, default, value.get(_NoValue))


class _NoValue:
    """Stands for that there is none."""


def _context_variable(name: str, default: Any, value: Any) -> Any:
    made: Any = contextvars.ContextVar(name) if default is _NoValue else contextvars.ContextVar(name, default=default)
    if value is not _NoValue and value is not default:
        made.set(value)
    return made


def _of_logger(value: logging.Logger, context: Context) -> Any:
    if logging.getLogger(value.name) is not value:
        return NotImplemented
    if value.handlers and value is not logging.getLogger():
        context.notes.append("a logger comes back without its handlers")
    return _logger, (value.name if value is not logging.getLogger() else "", value.level, value.propagate)


def _logger(name: str, level: int, propagate: bool) -> logging.Logger:
    logger = logging.getLogger(name)
    if name:
        logger.setLevel(level)
        logger.propagate = propagate
    return logger


def _of_method(value: types.MethodType, context: Context) -> Any:
    function, owner = value.__func__, value.__self__
    kind = owner if isinstance(owner, type) else type(owner)
    # A class that is written by value itself may not have its methods yet.
    is_there = id(kind) in context.references or is_importable(kind)
    with suppress(Exception):  # of the owner's own code
        if is_there and getattr(owner, getattr(function, "__name__", ""), None) == value:
            return NotImplemented
    return types.MethodType, (function, owner)


def _of_module(value: types.ModuleType, context: Context) -> Any:
    if sys.modules.get(value.__name__) is value:
        return _module, (value.__name__,)
    content = {name: each for name, each in vars(value).items() if name != "__builtins__"}
    return _own_module, (value.__name__, value.__doc__), content, None, None, _fill_module


def _module(name: str) -> types.ModuleType:
    __import__(name)
    return sys.modules[name]


def _own_module(name: str, doc: str | None) -> types.ModuleType:
    return types.ModuleType(name, doc)


def _fill_module(module: types.ModuleType, content: dict[str, Any]) -> None:
    vars(module).update(content)


def _of_type_variable(value: Any, context: Context) -> Any:
    if _is_found(value):
        return NotImplemented
    if isinstance(value, typing.TypeVar):
        kinds = {"bound": value.__bound__, "covariant": value.__covariant__, "contravariant": value.__contravariant__}
        return _type_variable, (value.__name__, value.__constraints__, kinds, value.__module__)
    return _other_type_variable, (type(value), value.__name__, value.__module__)


def _is_found(value: Any) -> bool:
    module = sys.modules.get(value.__module__)
    return value.__module__ != "__main__" and getattr(module, value.__name__, None) is value


def _type_variable(name: str, constraints: Any, kinds: dict[str, Any], module: str) -> Any:
    made = typing.TypeVar(name, *constraints, **kinds)  # type: ignore[misc]
    made.__module__ = module
    return made


def _other_type_variable(kind: Any, name: str, module: str) -> Any:
    made = kind(name)
    made.__module__ = module
    return made


def _of_new_type(value: Any, context: Context) -> Any:
    return NotImplemented if _is_found(value) else (_new_type, (value.__name__, value.__supertype__, value.__module__))


def _new_type(name: str, supertype: Any, module: str) -> Any:
    new_type: Any = typing.NewType
    made = new_type(name, supertype)
    made.__module__ = module
    return made


def _of_member(value: enum.Enum, context: Context) -> Any:
    kind = type(value)
    if id(kind) in context.references or is_importable(kind):
        return NotImplemented
    return definitions.reduce_member(value)


def _of_cached_function(value: Any, context: Context) -> Any:
    if is_importable(value):
        return NotImplemented
    context.notes.append("a function with a cache comes back with that empty")
    return definitions.reduce_cached_function(value)


def _of_constant(value: Any, context: Context) -> Any:
    """What there is one of, which is compared by identity."""
    for name, found in vars(sys.modules[type(value).__module__]).items():
        if found is value:
            return _constant, (type(value).__module__, name)
    return NotImplemented


def _constant(module: str, name: str) -> Any:
    __import__(module)
    return getattr(sys.modules[module], name)


def _of_match(value: Any, context: Context) -> Any:
    return _match, (value.re, value.string, value.pos, value.endpos, value.start(), value.span())


def _match(pattern: Any, text: Any, start: int, end: int, found_at: int, span: tuple[int, int]) -> Any:
    for method in (pattern.search, pattern.fullmatch, pattern.match):
        found = method(text, start, end)
        if found is not None and found.span() == span:
            return found
    return pattern.match(text, found_at, span[1])


def of_dynamic(value: Any, context: Context) -> Any:
    """An object whose class has a `__getattr__`, which may need what is not there yet when it is asked for more."""
    make, arguments, *rest = value.__reduce_ex__(5)
    state, items, pairs = (*rest, None, None, None)[:3]
    if state is None:
        return NotImplemented
    return make, arguments, state, items, pairs, _fill_dynamic


def _fill_dynamic(value: Any, state: Any) -> None:
    attributes, slots = state if isinstance(state, tuple) else (state, None)
    if attributes:
        object.__getattribute__(value, "__dict__").update(attributes)
    for name, each in (slots or {}).items():
        object.__setattr__(value, name, each)


def is_dynamic(kind: type) -> bool:
    """Whether objects of `kind` are pickled in Python's own way, and answer for attributes that they have not."""
    own: Any = kind
    plain = own.__reduce_ex__ is object.__reduce_ex__ and own.__reduce__ is object.__reduce__
    return plain and hasattr(kind, "__getattr__") and not hasattr(kind, "__setstate__")


TYPES: dict[Any, Any] = {
    _KEYS: _of_view,
    _VALUES: _of_view,
    _ITEMS: _of_view,
    types.MappingProxyType: _of_proxy_of_mapping,
    memoryview: _of_memoryview,
    weakref.ReferenceType: _of_weak_reference,
    weakref.ProxyType: _of_weak_proxy,
    weakref.CallableProxyType: _of_weak_proxy,
    weakref.WeakValueDictionary: _of_weak_dictionary,
    weakref.WeakKeyDictionary: _of_weak_dictionary,
    weakref.WeakSet: _of_weak_set,
    BaseException: _of_error,
    contextvars.ContextVar: _of_context_variable,
    logging.Logger: _of_logger,
    types.MethodType: _of_method,
    types.ModuleType: _of_module,
    typing.TypeVar: _of_type_variable,
    typing.ParamSpec: _of_type_variable,
    typing.NewType: _of_new_type,
    enum.Enum: _of_member,
    property: definitions.reduce_property,
    staticmethod: definitions.reduce_wrapped_method,
    classmethod: definitions.reduce_wrapped_method,
    functools.cached_property: definitions.reduce_cached_property,
    type(functools.lru_cache(len)): _of_cached_function,
    types.CodeType: definitions.reduce_code,
    types.CellType: definitions.reduce_cell,
    re.Match: _of_match,
    type(dataclasses.MISSING): _of_constant,
    type(dataclasses._FIELD): _of_constant,  # type: ignore[attr-defined]
    type(dataclasses.KW_ONLY): _of_constant,
    type(dataclasses._HAS_DEFAULT_FACTORY): _of_constant,  # type: ignore[attr-defined]
}
