"""What a magic shows under its cell: at once, or a message at a time until it is done."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from regrow.client.result import Result
from regrow.client.tables import escaped
from regrow.projects.printable import printable


def show(rich: str, plain: str) -> None:
    """Display both; the front end takes what it can."""
    _display(_bundle(rich, plain))


def show_live(work: Callable[[Callable[[str], None]], Result]) -> None:
    """Show the messages that `work` gives to the function it is called with, then in their place what it returns."""
    handle: Any = None

    def put(data: dict[str, str]) -> None:
        nonlocal handle
        if handle is None:
            handle = _display(data, display_id=True)
        else:
            handle.update(data, raw=True)

    def progress(message: str) -> None:
        put(_bundle(f"<progress></progress> {escaped(message)}", f"{printable(message)} ..."))

    try:
        result = work(progress)
    except BaseException:
        if handle is not None:
            put(_bundle("", ""))
        raise
    put(_bundle(result.html, result.text))


def _bundle(rich: str, plain: str) -> dict[str, str]:
    return {"text/plain": plain, "text/html": rich}


def _display(data: dict[str, str], **options: Any) -> Any:
    from IPython.display import display

    return display(data, raw=True, **options)  # type: ignore[no-untyped-call]
