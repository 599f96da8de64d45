"""Kernels of notebooks: with a session that is saved, killed, and brought back."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from regrow.state.places import status_file

from support.real_kernel import Kernel, a_kernel

SAVE_TIMEOUT_S = 60


class Notebook:
    """A notebook of a user whose home is `home`; any number of kernels may have it, one after the other."""

    def __init__(self, home: Path, name: str = "n.ipynb") -> None:
        self.home = home
        self.path = home / name
        self.path.parent.mkdir(parents=True, exist_ok=True)

    @property
    def directory(self) -> Path:
        """Where its checkpoints are."""
        return self.home / ".local/share/regrow/state"

    @contextmanager
    def kernel(self, **env: str) -> Iterator[Kernel]:
        """A kernel of this notebook, which is killed in the end."""
        with a_kernel(self.home, {"JPY_SESSION_NAME": str(self.path), **env}, cwd=self.path.parent) as kernel:
            yield kernel

    def status(self) -> dict[str, Any]:
        """What the kernel says of how it is saved; empty if nothing yet."""
        try:
            said: dict[str, Any] = json.loads(status_file(self.directory, self.path).read_text())
        except FileNotFoundError:
            return {}
        return said

    def wait(self, until: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """The status, once it is what `until` says."""
        deadline = time.monotonic() + SAVE_TIMEOUT_S
        while not until(status := self.status()):
            assert time.monotonic() < deadline, status
            time.sleep(0.02)
        return status

    def wait_saved(self, since: float = 0) -> dict[str, Any]:
        """The status, once what happened before `since` (seconds since 1970; default: anything) is saved."""
        return self.wait(lambda status: status.get("state") == "saved" and (status["saved_at"] or 0) >= since)


def save(kernel: Kernel) -> str:
    """Save now, outside of any cell's own code; what could not be done, in words."""
    outcome = kernel.ok("print(get_ipython().regrow_session.save('test'), end='')")
    return outcome.stdout


def kill(kernel: Kernel) -> None:
    """`kill -9`: nothing of it runs any more."""
    os.kill(kernel.manager.provisioner.pid, signal.SIGKILL)


@contextmanager
def across_kernels(notebook: Notebook, *cells: str) -> Iterator[Kernel]:
    """A kernel that goes on from where one that ran `cells` was saved and killed."""
    with notebook.kernel() as kernel:
        for cell in cells:
            kernel.ok(cell)
        assert save(kernel) == ""
        kill(kernel)
    with ExitStack() as stack:
        yield stack.enter_context(notebook.kernel())
