"""What is measured inside of a kernel, on whichever side. Imported without binding a name: `__import__("measured")`.

Nothing of the benchmarks or of Regrow is imported with it: a peer's kernel has neither.
"""

from __future__ import annotations

import gc
import mmap
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

_BLOCK_BYTES = 16 * 1024 * 1024


def shell() -> Any:
    """The IPython shell of this kernel."""
    from IPython.core.getipython import get_ipython

    return get_ipython()


def session() -> Any:
    """Regrow's session of this kernel."""
    return shell().regrow_session


# From the end of each cell to what is done after it

_after_cells: list[float] = []


def watch_cells(then: Callable[[], object] = lambda: None) -> None:
    """Measure from now on, from the end of each cell's code until whoever listens, and then `then`, is done."""
    ends: list[float] = []

    def done(result: object) -> None:
        then()
        _after_cells.append(time.perf_counter() - ends[-1])

    # `post_execute` comes before `post_run_cell`, where all that is measured listens.
    shell().events.register("post_execute", lambda: ends.append(time.perf_counter()))
    shell().events.register("post_run_cell", done)


def after_cells() -> list[float]:
    """Seconds after each cell since this was asked last."""
    found = _after_cells[:]
    _after_cells.clear()
    return found


# Ours


def only_when_asked() -> None:
    """Nothing is saved by itself from now on."""
    from regrow.state import autosave

    autosave.DEBOUNCE_S = autosave.MOST_UNSAVED_S = 3600.0


def after_each_cell() -> None:
    """The next cell is followed by an autosave at once, also where cells follow each other."""
    from regrow.state import autosave

    autosave.MOST_UNSAVED_S = autosave.REST_FACTOR = 0.0
    autosave.MOST_BYTES_PER_S = 10**18


def without_collections() -> None:
    """No garbage is collected by itself from now on: one of many objects takes its time, with a session or without."""
    gc.disable()


def save() -> None:
    """Save the session; raises where that is not possible."""
    if problem := session().save("bench"):
        raise RuntimeError(problem)


def forget() -> None:
    """Nothing has been saved: what was has been removed."""
    session().record.manifest = None


def first_save() -> float:
    """Seconds for saving everything where nothing is saved yet."""
    forget()
    os.sync()
    started = time.perf_counter()
    problem = session().save("bench", everything=True)
    seconds = time.perf_counter() - started
    if problem or session().manifest.missing:
        raise RuntimeError(f"{problem} {session().manifest.missing}")
    return seconds


def load_all() -> float:
    """Seconds for putting all values in place that are not loaded yet."""
    ours = session()
    started = time.perf_counter()
    if failed := ours.load(ours.loader.pending()):
        raise RuntimeError(f"not restored: {failed}")
    return time.perf_counter() - started


def first_checkpoint() -> str:
    """The oldest checkpoint of this notebook."""
    from regrow.state.checkpoints import opened

    with opened(session().directory) as checkpoints:
        return str(checkpoints.entries(session().notebook)[0].id)


def checkout(checkpoint: str) -> float:
    """Seconds for making the kernel what it was at a checkpoint, with all its values in place."""
    from regrow.state.restoring import restore

    started = time.perf_counter()
    restore(session(), checkpoint)
    load_all()
    return time.perf_counter() - started


# dill


def dump_module(path: str) -> float:
    """Seconds for `dill.dump_module`."""
    import dill

    os.sync()
    started = time.perf_counter()
    dill.dump_module(path)
    return time.perf_counter() - started


# Kishu


def start_kishu(notebook: str) -> None:
    """What `kishu init` does in a notebook's kernel."""
    from kishu import init_kishu

    init_kishu(notebook)


def kishu_head() -> str:
    """The last commit."""
    return str(shell().user_ns["_kishu"]._kishu_branch.get_head().commit_id)


def kishu_checkout(commit: str) -> float:
    """Seconds for making the kernel what it was at a commit."""
    started = time.perf_counter()
    shell().user_ns["_kishu"].checkout(commit, skip_notebook=True)
    return time.perf_counter() - started


# The limit: the same bytes


def _buffers() -> list[memoryview]:
    """The memory of the arrays and tensors that the notebook's names are bound to."""
    import numpy as np

    found = []
    for name, value in sorted(shell().user_ns.items()):
        if name.startswith("_"):
            continue
        if type(value).__module__ == "torch":
            value = value.numpy()
        if isinstance(value, np.ndarray):
            found.append(memoryview(value.data).cast("B"))
    return found


def raw_write(path: str) -> float:
    """Seconds for writing the memory of all arrays and tensors into a file, and making that durable."""
    views = _buffers()
    os.sync()
    started = time.perf_counter()
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    for view in views:
        for start in range(0, view.nbytes, _BLOCK_BYTES):
            _write(descriptor, view[start : start + _BLOCK_BYTES])
    os.fsync(descriptor)
    os.close(descriptor)
    return time.perf_counter() - started


def _write(descriptor: int, view: memoryview) -> None:
    while view:
        view = view[os.write(descriptor, view) :]


def raw_read(path: str, sizes: list[int]) -> float:
    """Seconds for reading a file into memory that is new, in pieces of `sizes`: as many as there are arrays."""
    started = time.perf_counter()
    kept = []
    with Path(path).open("rb", buffering=0) as file:
        for size in sizes:
            memory = mmap.mmap(-1, size)
            memory.madvise(mmap.MADV_HUGEPAGE)
            view = memoryview(memory)
            while view:
                count = file.readinto(view)
                if not count:
                    raise EOFError(path)
                view = view[count:]
            kept.append(memory)
    return time.perf_counter() - started
