"""The variables of a kernel that are its user's, what `Out` holds among them."""

from __future__ import annotations

import re
from collections.abc import Iterator, MutableMapping
from typing import Any

_SHELLS_OWN = re.compile(r"_+|_\d+|_i+|_i\d+|_[iod]h|__\w+__|In|Out")
_OUTPUT = re.compile(r"Out\[(\d+)\]")
_NUMBERED = re.compile(r"_(\d+)")
_NOTHING = object()


class Variables(MutableMapping[str, Any]):
    """The user's variables in `shell` by name, and the results of cells as `Out[N]`."""

    def __init__(self, shell: Any) -> None:
        self._namespace: dict[str, Any] = shell.user_ns
        self._hidden: dict[str, Any] = shell.user_ns_hidden

    def snapshot(self) -> dict[str, Any]:
        """All of them at this moment."""
        values = {
            name: value
            for name, value in list(self._namespace.items())
            if isinstance(name, str)
            and not _SHELLS_OWN.fullmatch(name)
            and self._hidden.get(name, _NOTHING) is not value
        }
        values |= {f"Out[{number}]": value for number, value in list(self._outputs.items())}
        return values

    @property
    def _outputs(self) -> dict[int, Any]:
        outputs: dict[int, Any] = self._namespace.get("_oh", {})
        return outputs

    def __getitem__(self, name: str) -> Any:
        if found := _OUTPUT.fullmatch(name):
            return self._outputs[int(found[1])]
        return self._namespace[name]

    def __setitem__(self, name: str, value: Any) -> None:
        if found := _OUTPUT.fullmatch(name):
            self._outputs[int(found[1])] = value
            self._namespace[f"_{found[1]}"] = value
        else:
            self._namespace[name] = value

    def __delitem__(self, name: str) -> None:
        if found := _OUTPUT.fullmatch(name):
            del self._outputs[int(found[1])]
            self._namespace.pop(f"_{found[1]}", None)
        else:
            del self._namespace[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.snapshot())

    def __len__(self) -> int:
        return len(self.snapshot())


def full_name(name: str) -> str:
    """`Out[N]` for `_N`, IPython's short name of it; any other name as it is."""
    numbered = _NUMBERED.fullmatch(name)
    return f"Out[{numbered[1]}]" if numbered else name
