"""Libraries of which one or two kinds of objects need care."""

from __future__ import annotations

import sys
import threading
from typing import TYPE_CHECKING, Any

from regrow.state.errors import OnAnotherThread, Unsavable

if TYPE_CHECKING:
    from regrow.state.pickling import Context


def _by_openmp(value: Any, context: Context) -> Any:
    """What writes itself down on several threads, by way of OpenMP.

    GNU's OpenMP keeps its threads for each thread that has used it. After a fork they are gone, and who used it waits
    for them for ever; a thread that is new has none yet.
    """
    if threading.current_thread().name != PICKLING_THREAD:
        raise OnAnotherThread
    return NotImplemented


#: The name of threads that were started for pickling, after the fork.
PICKLING_THREAD = "regrow-pickling"


def _of_response(value: Any, context: Context) -> Any:
    if not value._content_consumed:
        # Reading it here would take it from the notebook: the connection is one.
        raise Unsavable("a response that was not read yet can't be kept: ask again", value)
    return NotImplemented


def _of_figure(value: Any, context: Context) -> Any:
    """With the number by which pyplot knows it, where that has it open."""
    manager = getattr(value.canvas, "manager", None)
    number = getattr(manager, "num", None)
    if number is None:
        return NotImplemented
    make, arguments, state = value.__reduce_ex__(5)[:3]
    return make, arguments, (state, number), None, None, _fill_figure


def _fill_figure(figure: Any, state: tuple[Any, Any]) -> None:
    own, number = state
    figure.__setstate__(own)
    helpers = sys.modules.get("matplotlib._pylab_helpers")
    manager = getattr(figure.canvas, "manager", None)
    if helpers is not None and manager is not None and number not in helpers.Gcf.figs:
        helpers.Gcf.figs.pop(manager.num, None)
        manager.num = number
        helpers.Gcf.figs[number] = manager


NAMES = {
    ("matplotlib.figure", "Figure"): _of_figure,
    ("lightgbm.basic", "Booster"): _by_openmp,
    ("xgboost.core", "Booster"): _by_openmp,
    ("requests.models", "Response"): _of_response,
}
