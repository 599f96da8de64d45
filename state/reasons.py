"""Why something can't be kept, in words for its owner: what kind of object is in the way, and where it is."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from regrow.state.errors import Unsavable

_CANNOT = re.compile(r"cannot pickle '?([\w.]+)'?( object)?")
_DEEPEST = 6
_MOST_LOOKED_AT = 1000
_MOST_S = 2.0
_SAYS = {
    "_thread.lock": "a lock",
    "_thread.RLock": "a lock",
    "generator": "a generator",
    "module": "a module",
    "_io.TextIOWrapper": "an open file",
    "frame": "a frame of running code",
}


def reason_of(
    error: Exception, namespace: Mapping[str, Any], names: Iterable[str], can_be_kept: Callable[[Any], bool]
) -> str:
    """What `error`, of pickling `names`, means, and which part of which of them it is about."""
    if isinstance(error, Unsavable) and any(namespace.get(name) is error.value for name in names):
        return str(error)
    try:
        where = _where(namespace, names, can_be_kept)
    except Exception:  # of the notebook's own code, which looking at its objects runs
        where = ""
    return f"{_said(error)}{where}"


def _said(error: Exception) -> str:
    if isinstance(error, Unsavable):
        return str(error)
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    text = (str(error).strip() or type(error).__name__).splitlines()[0]
    if text.startswith("no default __reduce__"):
        return "its library has no way to write it down"
    if found := _CANNOT.search(text):
        return f"{_SAYS.get(found[1], f'an object of type {found[1]}')} can't be pickled"
    return f"pickling it raised {type(error).__name__}: {text[:200]}"


def _where(namespace: Mapping[str, Any], names: Iterable[str], can_be_kept: Callable[[Any], bool]) -> str:
    deadline = time.monotonic() + _MOST_S
    for name in names:
        path, value = name, namespace.get(name)
        for _ in range(_DEEPEST):
            part = next((part for part in _parts(value, deadline) if not can_be_kept(part[1])), None)
            if part is None or time.monotonic() > deadline:
                break
            path, value = path + part[0], part[1]
        if path != name:
            return f" ({path})"
    return ""


def _parts(value: Any, deadline: float) -> Iterator[tuple[str, Any]]:
    """What is in `value`, each with how one gets at it."""
    parts: Iterable[tuple[str, Any]] = ()
    if isinstance(value, dict):
        parts = ((f"[{key!r}]"[:60], item) for key, item in value.items())
    elif isinstance(value, list | tuple):
        parts = ((f"[{number}]", item) for number, item in enumerate(value))
    elif isinstance(getattr(value, "__dict__", None), dict):
        parts = ((f".{name}", item) for name, item in vars(value).items())
    for number, part in enumerate(parts):
        if number >= _MOST_LOOKED_AT or time.monotonic() > deadline:
            return
        yield part
