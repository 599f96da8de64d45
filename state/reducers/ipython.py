"""The shell, widgets and progress bars."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from regrow.state.errors import Unsavable

if TYPE_CHECKING:
    from regrow.state.pickling import Context


def _of_shell(value: Any, context: Context) -> Any:
    return _shell, ()


def _shell() -> Any:
    from IPython.core.getipython import get_ipython

    return get_ipython()


def _of_kernel(value: Any, context: Context) -> Any:
    raise Unsavable("the kernel itself can't be kept: get_ipython().kernel is the one that runs", value)


def _of_has_traits(value: Any, context: Context) -> Any:
    """With the observers that were put on it, which traitlets' own pickles are without."""
    if type(value).__getstate__ is not sys.modules["traitlets"].HasTraits.__getstate__:
        return NotImplemented
    state = dict(vars(value))
    state["_trait_values"] = dict(state.get("_trait_values", {}))
    state["_trait_notifiers"] = {}
    state["_trait_validators"] = {}
    state["_cross_validation_lock"] = False
    return _new, (type(value),), (state, _observers(value)), None, None, _fill_has_traits


def _observers(value: Any) -> list[tuple[Any, Any, Any]]:
    """Those that its class has not put there."""
    found = []
    for name, kinds in value._trait_notifiers.items():
        for kind, observers in kinds.items():
            for observer in observers:
                is_its_own = getattr(observer, "__self__", None) is value or _is_of_traitlets(observer)
                if not is_its_own:
                    found.append((observer, name, kind))
    return found


def _is_of_traitlets(observer: Any) -> bool:
    return type(observer).__name__ in ("ObserveHandler", "DefaultHandler", "_CallbackWrapper") or isinstance(
        observer, str
    )


def _new(kind: Any) -> Any:
    return kind.__new__(kind)


def _fill_has_traits(value: Any, state: tuple[dict[str, Any], list[tuple[Any, Any, Any]]]) -> None:
    own, observers = state
    value.__setstate__(own)
    for observer, name, kind in observers:
        value.observe(observer, name, kind)


def _of_widget(value: Any, context: Context) -> Any:
    if value.comm is None:
        raise Unsavable("a widget that was closed can't be kept: make it again", value)
    reduced = _of_has_traits(value, context)
    if reduced is NotImplemented:
        return NotImplemented
    make, arguments, (state, observers), *_ = reduced
    identity = value.model_id
    state["_trait_values"].pop("comm", None)
    context.notes.append("a widget comes back with its values: display it again")
    return make, arguments, (state, observers, identity), None, None, _fill_widget


#: Whether what is loaded is only looked at, in the child that saves: no front end is to hear of it.
rehearsing = False


def _fill_widget(value: Any, state: Any) -> None:
    own, observers, identity = state
    own = {**own, "_model_id": identity}
    _fill_has_traits(value, (own, observers))
    if not rehearsing:
        value.open()


NAMES = {
    ("IPython.core.interactiveshell", "InteractiveShell"): _of_shell,
    ("ipykernel.kernelbase", "Kernel"): _of_kernel,
    ("ipywidgets.widgets.widget", "Widget"): _of_widget,
    ("traitlets.traitlets", "HasTraits"): _of_has_traits,
}
