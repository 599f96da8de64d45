"""What a kind of variable is: a cell that makes it, a cell that checks it after restoring, and what is to happen."""

from __future__ import annotations

from dataclasses import dataclass, field
from textwrap import dedent

RESTORED, NOTED, LOST = "restored", "restored, with a note", "not saved"


@dataclass(frozen=True)
class Kind:
    """`make` and `check` are cells. `says` is what its owner is told, of `names`; `~` in it is the user's home.

    Where `needs_gpu`, it is only run where PyTorch has one.
    """

    title: str
    make: str
    check: str
    outcome: str = RESTORED
    says: str = ""
    names: tuple[str, ...] = ()
    needs_gpu: bool = False


@dataclass(frozen=True)
class Library:
    """Kinds that are described together. Those whose `kernel` is the same are run in one."""

    title: str
    kernel: str
    kinds: list[Kind] = field(default_factory=list)

    def restored(self, title: str, make: str, check: str, *, needs_gpu: bool = False) -> None:
        """It comes back as it was."""
        self.kinds.append(Kind(title, dedent(make), dedent(check), needs_gpu=needs_gpu))

    def noted(self, title: str, names: str, make: str, check: str, says: str, *, needs_gpu: bool = False) -> None:
        """It comes back, and of `names` a checkpoint `says` what is not as it was."""
        made, checked = dedent(make), dedent(check)
        self.kinds.append(Kind(title, made, checked, NOTED, says, tuple(names.split()), needs_gpu))

    def lost(self, title: str, names: str, make: str, says: str, check: str = "") -> None:
        """`names` are left out, and `says` is why. Others of the same cell, which `check` looks at, are kept."""
        self.kinds.append(Kind(title, dedent(make), dedent(check), LOST, says, tuple(names.split())))
