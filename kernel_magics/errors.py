"""What goes wrong in a magic, as the person at the notebook reads it: a message, never a traceback."""

from __future__ import annotations

from regrow.client.errors import ShownError


class MagicError(ShownError):
    """Base of this part's errors: what happened, to what, and what to do now.

    `details` is shown above the message, as it is (it may hold ANSI colours): a compiler's diagnostics.
    """

    def __init__(self, message: str, details: str = "") -> None:
        super().__init__(message)
        self.details = details

    def _render_traceback_(self) -> list[str]:
        """What IPython shows in place of a traceback."""
        shown = [self.details.rstrip("\n")] if self.details else []
        return [*shown, *super()._render_traceback_()]
