"""What can go wrong with saved sessions, said for the person who sees it."""

from __future__ import annotations


class StateError(Exception):
    """Base of all errors of `regrow.state`."""


class NotSaved(StateError):
    """There is no such checkpoint."""


class NotTrusted(StateError):
    """A checkpoint that was not made with this user's key, or was changed since."""


class Unsavable(StateError):
    """An object that can't be kept, with the reason for its owner. `value` is that object, where it is known."""

    def __init__(self, reason: str, value: object = None) -> None:
        super().__init__(reason)
        self.value = value


class OnAnotherThread(Exception):
    """What is pickled can only be on a thread that was started after the fork."""


class NoRoom(Unsavable):
    """There is no room for it now."""
