"""The states of global random generators: Python's, NumPy's, PyTorch's."""

from __future__ import annotations

import random
import sys
from typing import Any


def states() -> dict[str, Any]:
    """The states of the generators of what is imported. To be called before a fork: Python seeds anew in the child."""
    found: dict[str, Any] = {"random": random.getstate()}
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        found["numpy"] = numpy_random.get_state()
    torch = sys.modules.get("torch")
    if torch is not None and hasattr(torch, "get_rng_state"):
        found["torch"] = torch.get_rng_state().numpy().tobytes()
        if torch.cuda.is_available() and torch.cuda.is_initialized():
            found["torch.cuda"] = [state.numpy().tobytes() for state in torch.cuda.get_rng_state_all()]
    return found


def set_states(kept: dict[str, Any]) -> None:
    """Set what is in `kept` of libraries that are imported by now, and take that out of `kept`."""
    if "random" in kept:
        random.setstate(kept.pop("random"))
    if "numpy" in kept and "numpy" in sys.modules:
        # NumPy imports it at its first use, which may be in the middle of a cell.
        from numpy import random as numpy_random

        numpy_random.set_state(kept.pop("numpy"))
    torch = sys.modules.get("torch")
    if "torch" in kept and torch is not None and hasattr(torch, "set_rng_state"):
        torch.set_rng_state(_tensor(kept.pop("torch")))
        on_gpus = kept.pop("torch.cuda", [])
        if on_gpus and torch.cuda.is_available():
            for number, state in enumerate(on_gpus[: torch.cuda.device_count()]):
                torch.cuda.set_rng_state(_tensor(state), number)


def _tensor(state: bytes) -> Any:
    import torch

    return torch.frombuffer(bytearray(state), dtype=torch.uint8)
