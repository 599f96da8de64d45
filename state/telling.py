"""What a session says to the person at the notebook: below the next cell, and each thing once."""

from __future__ import annotations

from collections.abc import Callable

from regrow.state.manifest import Manifest, Missing


class Teller:
    """Says things by way of `tell`. `show_restored` says what is back, what is not, and problems."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        self.tell = tell
        self.show_restored: Callable[[str, list[Missing], list[str]], None] = self._say_restored
        self._waiting: list[str] = []
        self._restored: tuple[str, list[Missing], list[str]] | None = None
        self._told: set[tuple[str, str]] = set()

    def later(self, message: str) -> None:
        """Say `message` below the next cell."""
        self._waiting.append(message)

    def once(self, name: str, reason: str, message: str) -> None:
        """Say `message` below the next cell, unless `reason` was told of `name` before."""
        if (name, reason) not in self._told:
            self._told.add((name, reason))
            self.later(message)

    def restored(self, heading: str, lost: list[Missing], problems: list[str]) -> None:
        """Say below the next cell what is back; what is not needs no more telling."""
        self._restored = (heading, lost, problems)
        self._told = {(missing.name, missing.reason) for missing in lost}

    def saved(self, manifest: Manifest) -> None:
        """Say of each variable that is not kept, or comes back different, why."""
        for missing in manifest.missing:
            if missing.name not in manifest.excluded:
                self.once(missing.name, missing.reason, _not_saved(missing))
        for group in manifest.groups:
            for name, note in group.notes.items():
                if "different" in note:
                    self.once(name, note, f"regrow: {name} is saved, but {note}.")

    def shown(self, lost: list[Missing]) -> None:
        """That `lost` is not kept was shown in another way, and needs no more telling."""
        said = {_not_saved(missing) for missing in lost}
        self._waiting = [message for message in self._waiting if message not in said]

    def now(self) -> None:
        """Say all that waits."""
        if restored := self._restored:
            self._restored = None
            self.show_restored(*restored)
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            self.tell("\n".join(waiting))

    def _say_restored(self, heading: str, lost: list[Missing], problems: list[str]) -> None:
        lines = [heading]
        for missing in lost:
            cell = f" (cell {missing.cell})" if missing.cell else ""
            lines.append(f"  {missing.name}{cell} is not: {missing.reason}.")
        if lost:
            lines.append("Run %checkpoint rerun to run the cells that make them again.")
        self.tell("\n".join([*lines, *problems]))


def _not_saved(missing: Missing) -> str:
    return f"regrow: {missing.name} is not saved: {missing.reason}."
