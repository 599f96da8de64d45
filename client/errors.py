"""What goes wrong in a command, as the person who typed it reads it."""

from __future__ import annotations


class ShownError(Exception):
    """An error that notebooks show as its message: what happened, to what, and what to do now."""

    def _render_traceback_(self) -> list[str]:
        """What IPython shows in place of a traceback; the cell still fails, so "Run All" stops here."""
        return [f"{type(self).__name__}: {self}"]


class OptionError(ShownError):
    """The line of a command cannot be understood."""
