"""Objects that Python's own pickling loses something of, or should not touch: how each is written down.

A library's objects are dealt with only where that library is imported already: they are known by module and name.
All of this happens in a forked child: nothing here may start a thread, wait for one, or write to a file of the
notebook's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from regrow.state.errors import Unsavable
from regrow.state.reducers import builtin, files, ipython, libraries, numpy, polars, threads, torch
from regrow.state.unsavable import why_not

if TYPE_CHECKING:
    from regrow.state.pickling import Context

PICKLING_THREAD = libraries.PICKLING_THREAD
Way = Callable[[Any, "Context"], Any]

_TYPES: dict[type, Way] = {}
_NAMES: dict[tuple[str, str], Way] = {}
for _part in (builtin, files, ipython, libraries, numpy, polars, threads, torch):
    _TYPES |= getattr(_part, "TYPES", {})
    _NAMES |= getattr(_part, "NAMES", {})

_ways: dict[type, Way | None] = {}


def reduce(value: Any, kind: type, context: Context) -> Any:
    """What stands for `value` in a pickle; `NotImplemented` where Python's own way will do. Raises `Unsavable`."""
    try:
        way = _ways[kind]
    except KeyError:
        way = _ways[kind] = _way(kind)
    return NotImplemented if way is None else way(value, context)


def _way(kind: type) -> Way | None:
    own = _own(kind)
    if own is None and (reason := why_not(kind)):
        return _refuse(reason)
    if own is None and builtin.is_dynamic(kind):
        return builtin.of_dynamic
    return own


def _own(kind: type) -> Way | None:
    for each in kind.__mro__:
        if way := _TYPES.get(each) or _NAMES.get((each.__module__, each.__name__)):
            return way
    return None


def _refuse(reason: str) -> Way:
    def refuse(value: Any, context: Context) -> Any:
        raise Unsavable(reason, value)

    return refuse
