"""Bringing variables back: each name stands for what is kept until a cell needs it."""

from __future__ import annotations

import contextlib
import importlib
import mmap
import pickle
import sys
from collections.abc import Callable, Iterable, Iterator, MutableMapping
from types import FunctionType
from typing import Any

from regrow.state.checkpoints import Checkpoints
from regrow.state.manifest import MODULE, Blob, Group, Manifest, Missing
from regrow.state.pickling import load
from regrow.store import StoreError

_LARGE = 1024 * 1024
#: Smaller variables are loaded before a cell asks for them, so many or so many bytes at once.
AT_HAND_BYTES = 1024 * 1024
AT_HAND_NAMES = 50
#: Pickles that lie beside each other are read together, but for larger ones of these.
_SEGMENTS_BYTES = 64 * 1024 * 1024
#: Loading more than this is told before it begins.
TOLD_BYTES = 256 * 1024 * 1024


class NotLoaded:
    """Stands in the namespace for a variable that no cell has used yet. Cells never see it: it is replaced before."""

    def __init__(self, name: str, type_name: str, size: int) -> None:
        self._text = f"<{name}: {type_name}, {size:,} bytes, is loaded when a cell uses it>"

    def __repr__(self) -> str:
        return self._text


class Loader:
    """The variables of a checkpoint, in a kernel. `tell` says something to the person at the notebook."""

    def __init__(
        self,
        checkpoints: Checkpoints,
        manifest: Manifest,
        namespace: MutableMapping[str, Any],
        tell: Callable[[str], None],
    ) -> None:
        self._checkpoints = checkpoints
        self._manifest = manifest
        self._namespace = namespace
        self._tell = tell
        self._groups = {name: group for group in manifest.groups for name in group.names}
        self._standing: dict[str, NotLoaded] = {}
        self._failed: set[str] = set()
        self._candidates: Iterator[str] = iter(())
        self._is_closed = False
        self._definitions: dict[str, Any] = {}
        self._loading: set[int] = set()
        self._segments: dict[int, bytes] = {}

    def place(self, names: Iterable[str] | None = None) -> None:
        """Let each of `names` (default: all) stand for what is kept of it."""
        for name in self._groups if names is None else names:
            group = self._groups[name]
            standing = NotLoaded(name, group.types.get(name, ""), group.size)
            # In this order: `pending` may be called in between.
            self._namespace[name] = standing
            self._standing[name] = standing

    def pending(self) -> set[str]:
        """The names that still stand for what is kept. May be called from any thread."""
        # Copied whole: while `list` goes over the items, the garbage collector may let another thread run.
        for name, standing in self._standing.copy().items():
            if self._namespace.get(name) is not standing:
                self._standing.pop(name, None)
        return set(self._standing)

    def kept(self) -> set[str]:
        """The names that could not be loaded and are not bound again: what is kept of them may be loaded later."""
        return {name for name in self._failed.copy() if self._is_kept(name)}

    def close(self) -> None:
        """Close what it loads from. Nothing is pending then."""
        self._standing.clear()
        self._failed.clear()
        self._segments.clear()
        if not self._is_closed:
            self._is_closed = True
            self._checkpoints.close()

    def _is_pending(self, name: str) -> bool:
        standing = self._standing.get(name)
        return standing is not None and self._namespace.get(name) is standing

    def _is_kept(self, name: str) -> bool:
        if name in self._failed and name in self._namespace:
            self._failed.discard(name)
        return name in self._failed

    def uses(self, name: str) -> list[str]:
        """The names that the code of `name` may read, and the definitions that it needs; for those not loaded yet."""
        group = self._groups.get(name) if name in self._standing else None
        return [*group.uses, *group.needs] if group else []

    def at_hand(self) -> list[str]:
        """Some names whose loading takes no time and imports nothing; empty where there are none."""
        found = self._sweep()
        if not found:
            # What was loaded meanwhile may have imported what others need.
            self._candidates = iter(list(self._standing))
            found = self._sweep()
        return found

    def _sweep(self) -> list[str]:
        found: list[str] = []
        size = 0
        for name in self._candidates:
            group = self._groups[name]
            needed = {group.target.partition(".")[0]} if group.kind == MODULE else group.packages.keys()
            if group.size <= AT_HAND_BYTES and needed <= sys.modules.keys() and self._is_pending(name):
                found.append(name)
                size += group.size
                if len(found) >= AT_HAND_NAMES or size >= AT_HAND_BYTES:
                    break
        return found

    def load(self, names: Iterable[str]) -> list[Missing]:
        """Put the values of those of `names` in place that are pending, or could not be loaded before.

        Returns what can't be had, and is gone.
        """
        wanted = {name for name in names if self._is_pending(name) or self._is_kept(name)}
        groups = {id(self._groups[name]): self._groups[name] for name in wanted}
        large = sum(group.size for group in groups.values())
        if large > TOLD_BYTES:
            self._tell(f"Loading {', '.join(sorted(wanted)[:5])} ({large / 1e9:.1f} GB) ...")
        failed: list[Missing] = []
        for group in groups.values():
            failed += self._load_group(group)
        if not self._standing:
            self._segments.clear()
        return failed

    def _load_group(self, group: Group) -> list[Missing]:
        """Load a whole group; names of it that were bound anew meanwhile stay as they are."""
        if not any(self._is_pending(name) or self._is_kept(name) for name in group.names):
            return []  # one before has needed a definition of it
        try:
            self._bind(group, self._values_of(group))
        except Exception as error:
            reason = self._reason(group, error)
            lost = [name for name in group.names if self._is_pending(name) or self._is_kept(name)]
            self._failed.update(lost)
            for name in lost:
                self._standing.pop(name, None)
                with contextlib.suppress(KeyError):
                    del self._namespace[name]
            made_by = self._manifest.made_by
            return [Missing(name, reason, made_by.get(name)) for name in lost]
        return []

    def _bind(self, group: Group, values: dict[str, Any]) -> None:
        for name in group.names:
            if self._is_pending(name) or self._is_kept(name):
                self._namespace[name] = values[name]
            self._standing.pop(name, None)
            self._failed.discard(name)

    def _values_of(self, group: Group) -> dict[str, Any]:
        if group.kind == MODULE:
            return {name: importlib.import_module(group.target) for name in group.names}
        here = f"{sys.version_info.major}.{sys.version_info.minor}"
        if group.has_code and self._manifest.python != here:
            # Its bytecode means something else here, and may crash the interpreter.
            raise pickle.UnpicklingError(f"it has code of Python {self._manifest.python}, and this is Python {here}")
        if id(group) in self._loading:
            raise pickle.UnpicklingError("definitions of the notebook refer to each other in a circle")
        self._loading.add(id(group))
        try:
            assert group.pickle is not None
            pickled = self._read(group.pickle)
            buffers = [
                self._buffer(blob.recipe, blob.length, readonly)
                for blob, readonly in zip(group.buffers, group.readonly, strict=True)
            ]
            values: dict[str, Any] = load(pickled, buffers, group.by_dill, self._definition)
        finally:
            self._loading.discard(id(group))
        # Whatever refers to a definition later is to get the same one, also where its name was bound anew.
        self._definitions |= {
            name: value for name, value in values.items() if issubclass(type(value), type | FunctionType)
        }
        return values

    def _definition(self, name: str) -> Any:
        group = self._groups.get(name)
        if group is None:
            raise pickle.UnpicklingError(f"it needs {name}, which could not be kept")
        if name in self._definitions:
            return self._definitions[name]
        values = self._values_of(group)
        self._bind(group, values)
        return values[name]

    def _read(self, blob: Blob) -> memoryview:
        recipe = self._manifest.recipes[blob.recipe]
        if blob.length == recipe.size:
            return memoryview(self._checkpoints.store.read(recipe))
        # Other groups have their share of it.
        if recipe.size > _SEGMENTS_BYTES:
            return memoryview(self._checkpoints.blob(self._manifest, blob))
        if blob.recipe not in self._segments:
            if sum(map(len, self._segments.values())) + recipe.size > _SEGMENTS_BYTES:
                self._segments.clear()
            self._segments[blob.recipe] = self._checkpoints.store.read(recipe)
        return memoryview(self._segments[blob.recipe])[blob.offset :][: blob.length]

    def _buffer(self, number: int, length: int, readonly: bool) -> memoryview:
        memory: Any = mmap.mmap(-1, length) if length > _LARGE else bytearray(length)
        if length > 4 * _LARGE:
            memory.madvise(mmap.MADV_HUGEPAGE)
        view = memoryview(memory)
        self._checkpoints.store.read_into(self._manifest.recipes[number], view)
        return view.toreadonly() if readonly else view

    def _reason(self, group: Group, error: Exception) -> str:
        if isinstance(error, StoreError):
            return f"what was kept of it can't be read: {error}"
        text = f"{type(error).__name__}: {error}" if not isinstance(error, pickle.UnpicklingError) else str(error)
        changed = []
        for package, version in sorted(group.packages.items()):
            here = getattr(sys.modules.get(package), "__version__", None)
            if here is None:
                changed.append(f"{package} {version} is not here")
            elif here != version:
                changed.append(f"{package} was {version}, and is {here}")
        return f"{text}{' (' + ', '.join(changed) + ')' if changed else ''}"
