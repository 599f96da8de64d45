"""Writing a checkpoint: what happens in the child that a kernel forks for it."""

from __future__ import annotations

import shutil
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pickle import PickleBuffer
from types import FunctionType, ModuleType
from typing import Any

from blake3 import blake3

from regrow.state import soundness
from regrow.state.checkpoints import Checkpoints
from regrow.state.errors import NoRoom
from regrow.state.manifest import DATA, DEFINITION, MODULE, Blob, Group, Manifest, Missing
from regrow.state.pickling import Context, dump
from regrow.state.reasons import reason_of
from regrow.state.request import Request, Saved
from regrow.state.sharing import definitions, share
from regrow.state.spill import Nowhere, Spill
from regrow.state.tidy import note_written
from regrow.store.recipe import Recipe
from regrow.store.writer import Writer

#: Room on the disk that a save leaves to others, in bytes.
SPARE_BYTES = 512 * 1024 * 1024
#: What is compressed to less than this share is stored compressed: weights are not, what repeats itself is.
WORTH = 0.8
#: Checkpoints of a notebook that are kept: so many, with so many times its variables' size and so many bytes more.
MOST_CHECKPOINTS = 50
MOST_TIMES = 2
MOST_BYTES = 256 * 1024 * 1024
#: A save that wrote less has no need to look for older ones that may go.
PRUNE_AFTER_BYTES = 1024 * 1024
_DISPLAYED_AS = {"builtins": "", "__main__": ""}


def save(request: Request, checkpoints: Checkpoints, working_on: Callable[[list[str]], None]) -> Saved:
    """Write a checkpoint. `working_on` is told the names of each group before it is begun; in the end, an empty list.

    Raises `StoreError` where nothing could be kept.
    """
    with checkpoints.store.writer(WORTH) as writer:
        saver = _Saver(request, checkpoints, writer, working_on)
        manifest = saver.run()
        checkpoints.keep(writer, manifest, request.notebook)
    if saver.new_bytes > PRUNE_AFTER_BYTES or len(checkpoints.entries(request.notebook)) > MOST_CHECKPOINTS:
        most = MOST_CHECKPOINTS * 3 // 4
        checkpoints.prune(request.notebook, most, MOST_TIMES, MOST_BYTES)
    note_written(checkpoints.directory, saver.new_bytes)
    return Saved(manifest, saver.new_bytes)


class _Saver:
    def __init__(
        self, request: Request, checkpoints: Checkpoints, writer: Writer, working_on: Callable[[list[str]], None]
    ) -> None:
        self.request = request
        self.checkpoints = checkpoints
        self.writer = writer
        self.working_on = working_on
        # Groups that stay as they are refer to the recipes of before by number.
        self.recipes: list[Recipe] = list(request.before.recipes) if request.before else []
        self.known = {recipe: number for number, recipe in enumerate(self.recipes)}
        self.small = bytearray()
        self.groups: list[Group] = []
        self.missing: list[Missing] = []
        self.new_bytes = 0
        self.definitions = definitions(request.namespace)
        self.doubted: list[tuple[Group, Mapping[str, Any], memoryview, list[memoryview]]] = []
        self.left_to_rehearse = soundness.MOST_BYTES
        self.room = shutil.disk_usage(checkpoints.directory).free - SPARE_BYTES

    def run(self) -> Manifest:
        request = self.request
        kept_before = self._keep_unchanged()
        names = sorted(request.names - request.skip.keys() - request.pending)
        plain = [name for name in names if not _is_importable_module(request.namespace[name])]
        for name in names:
            if _is_importable_module(request.namespace[name]):
                self._module(name, request.namespace[name])
        sharing = share(plain, request.namespace)
        for name, reason in sharing.failed.items():
            self._is_missing(name, reason)
        for group in sharing.groups:
            needs = sorted(set().union(*(sharing.found[name].needs for name in group)))
            uses = sorted(set().union(*(sharing.found[name].uses for name in group)))
            has_code = any(sharing.found[name].has_code for name in group)
            self._group(Group(group, needs=needs, uses=uses, has_code=has_code), sharing.shared_memory, kept_before)
        for name, reason in request.skip.items():
            if name in request.namespace:
                self._is_missing(name, reason)
        self._rehearse()
        self.working_on([])
        return self._manifest()

    def _keep_unchanged(self) -> dict[str, Group]:
        """Take over the groups of before of which no name has to be looked at; return the others, by name."""
        request, others = self.request, {}
        if request.before is None:
            return {}
        for group in request.before.groups:
            still = [name for name in group.names if name in request.pending or name in request.namespace]
            untouched = [name for name in still if name not in request.names]
            is_whole = len(untouched) == len(still) or bool(request.pending.intersection(group.names))
            # What was excluded is in the pickle of its group.
            if untouched and is_whole and request.skip.keys().isdisjoint(group.names):
                self.groups.append(group if untouched == group.names else replace(group, names=untouched))
            for name in group.names:
                others[name] = group
        for missing in request.before.missing:
            unseen = missing.name in request.namespace and missing.name not in request.names
            if unseen and missing.name not in request.skip:
                self.missing.append(missing)
        return others

    def _recipe(self, recipe: Recipe) -> int:
        if recipe not in self.known:
            self.known[recipe] = len(self.recipes)
            self.recipes.append(recipe)
        return self.known[recipe]

    def _module(self, name: str, module: ModuleType) -> None:
        self.groups.append(Group([name], MODULE, target=module.__name__, types={name: "module"}))

    def _group(self, group: Group, shared_memory: set[int], before: Mapping[str, Group]) -> None:
        self.working_on(group.names)
        failed: BaseException
        try:
            self._pickle(group, shared_memory, before)
            return
        except _TooSlow as error:
            failed, reason = error, f"pickling it took longer than {self.request.group_timeout_s:.0f} s"
        except Exception as error:
            self.working_on(group.names)
            failed, reason = error, reason_of(error, self.request.namespace, group.names, self._can_be_kept)
        except BaseException as error:  # what a user's class raises, SystemExit too
            failed, reason = error, f"pickling it raised {type(error).__name__}"
        if len(group.names) == 1:
            self._is_missing(group.names[0], reason, again=isinstance(failed, NoRoom))
            return
        # One name that can't be kept is not to cost the others of its group.
        reasons = {name: self._why(self.request.namespace[name], name) for name in group.names}
        kept = [name for name, why in reasons.items() if not why]
        if len(kept) == len(group.names):
            kept = []
        for name, why in reasons.items():
            if name not in kept:
                self._is_missing(name, why or reason, again=isinstance(failed, NoRoom))
        if kept:
            self._group(replace(group, names=kept), shared_memory, before)

    def _why(self, value: Any, name: str) -> str:
        """Why it can't be pickled by itself; empty where it can."""
        self.working_on([name])
        try:
            with _limit(self._part_timeout_s):
                dump({name: value}, self._context(set(), [name]), Nowhere(), [])
        except _TooSlow:
            return f"pickling it takes longer than {self._part_timeout_s:.3g} s"
        except Exception as error:
            return reason_of(error, {name: value}, [name], self._can_be_kept)
        except BaseException as error:  # what a user's class raises, SystemExit too
            return f"pickling it raised {type(error).__name__}"
        return ""

    def _can_be_kept(self, value: Any) -> bool:
        try:
            with _limit(self._part_timeout_s):
                dump({"value": value}, self._context(set(), []), Nowhere(), [])
            return True
        except BaseException:
            return False

    @property
    def _part_timeout_s(self) -> float:
        """Of a group that takes too long each part is tried, and all that has an end too."""
        return min(5.0, self.request.group_timeout_s)

    def _context(self, shared_memory: set[int], names: list[str]) -> Context:
        own = {id(self.request.namespace[name]) for name in names if name in self.request.namespace}
        references = {identity: name for identity, name in self.definitions.items() if identity not in own}
        return Context(references, shared_memory, self.request.host_copies)

    def _pickle(self, group: Group, shared_memory: set[int], before: Mapping[str, Group]) -> None:
        request = self.request
        values = {name: request.namespace[name] for name in group.names}
        context = self._context(shared_memory, group.names)
        output = Spill(self.checkpoints.directory)
        buffers: list[PickleBuffer] = []
        with _limit(request.group_timeout_s):
            group.by_dill = dump(values, context, output, buffers)
        views = [buffer.raw() for buffer in buffers]
        pickled = output.view()
        group.size = pickled.nbytes + sum(view.nbytes for view in views)
        self._check_room(group)
        group.types = {name: _type_name(value) for name, value in values.items()}
        group.packages = _packages(context.types)
        group.readonly = [view.readonly for view in views]
        if all(issubclass(type(value), FunctionType | type) for value in values.values()):
            group.kind = DEFINITION
        if context.notes:
            group.notes = dict.fromkeys(group.names, "; ".join(sorted(set(context.notes))))
        group.digest = blake3(pickled).hexdigest()
        recipes = []
        for view in views:
            self.working_on(group.names)
            recipes.append(self.writer.put(view))
        if (same := before.get(group.names[0])) and self._is_same(same, group, recipes):
            group.pickle, group.buffers, group.notes = same.pickle, same.buffers, same.notes
            self.groups.append(group)
            return
        self._doubt(group, values, context, pickled, views)
        group.buffers = [Blob(self._recipe(recipe), 0, recipe.size) for recipe in recipes]
        group.pickle = self._put(pickled)
        self.new_bytes += group.size
        self.room -= group.size
        self.groups.append(group)

    def _is_same(self, same: Group, group: Group, recipes: list[Recipe]) -> bool:
        before = self.request.before
        if before is None or (same.names, same.digest) != (group.names, group.digest):
            return False
        return [before.recipes[blob.recipe] for blob in same.buffers] == recipes

    def _put(self, pickled: memoryview) -> Blob:
        """Small pickles lie beside each other in one recipe, which is put in the end."""
        if pickled.nbytes > _LARGE:
            recipe = self.writer.put(pickled)
            return Blob(self._recipe(recipe), 0, recipe.size)
        blob = Blob(-1, len(self.small), pickled.nbytes)
        self.small += pickled
        return blob

    def _check_room(self, group: Group) -> None:
        if group.size > self.room:
            raise NoRoom(
                f"it takes {_in_words(group.size)}, and the disk has only {_in_words(max(self.room, 0))} to spare"
            )

    def _doubt(
        self, group: Group, values: Mapping[str, Any], context: Context, pickled: memoryview, views: list[memoryview]
    ) -> None:
        """Have what may come back different read back, after all was pickled: that runs the notebook's code."""
        if group.size <= self.left_to_rehearse and any(soundness.is_doubtful(kind) for kind in context.types):
            self.left_to_rehearse -= group.size
            self.doubted.append((group, values, pickled, views))

    def _rehearse(self) -> None:
        for group, values, pickled, views in self.doubted:
            self.working_on(group.names)
            try:
                with _limit(self.request.group_timeout_s):
                    told = soundness.differences(values, pickled, views, group.by_dill, self.request.namespace)
            except BaseException as error:  # what a user's class raises, or takes too long
                text = f"what is written of it can't be read back: {type(error).__name__}"
                told = dict.fromkeys(values, soundness.Difference(text, is_lost=True))
            if any(difference.is_lost for difference in told.values()):
                self.groups = [each for each in self.groups if each is not group]
                for name in group.names:
                    self._is_missing(name, told[name].text)
                continue
            for name, difference in told.items():
                group.notes[name] = "; ".join(filter(None, [group.notes.get(name, ""), difference.text]))

    def _is_missing(self, name: str, reason: str, *, again: bool = False) -> None:
        self.missing.append(Missing(name, reason, self.request.made_by.get(name), again))

    def _manifest(self) -> Manifest:
        import pickle

        request = self.request
        generators = self._put(memoryview(pickle.dumps(request.generators, 5)))
        number = self._recipe(self.writer.put(self.small))
        for group in self.groups:
            if group.pickle and group.pickle.recipe == -1:
                group.pickle = replace(group.pickle, recipe=number)
        manifest = Manifest(
            notebook=str(request.notebook),
            at=request.at,
            reason=request.reason,
            python=f"{sys.version_info.major}.{sys.version_info.minor}",
            execution_count=request.execution_count,
            groups=self.groups,
            missing=self.missing,
            cells=request.cells,
            made_by=request.made_by,
            excluded=request.excluded,
            process=request.process,
            generators=replace(generators, recipe=number) if generators.recipe == -1 else generators,
            recipes=self.recipes,
        )
        manifest.forget_unused_recipes()
        return manifest


_LARGE = 256 * 1024


class _TooSlow(BaseException):
    """Not an `Exception`: a class that is pickled is not to catch it."""


@contextmanager
def _limit(seconds: float) -> Iterator[None]:
    """Raise `_TooSlow` in what takes longer, as long as that runs Python; what does not is ended by the kernel."""

    def give_up(number: int, frame: object) -> None:
        raise _TooSlow

    before = signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _is_importable_module(value: Any) -> bool:
    return issubclass(type(value), ModuleType) and sys.modules.get(value.__name__) is value


def _type_name(value: Any) -> str:
    kind = type(value)
    module = kind.__module__.partition(".")[0]
    return kind.__qualname__ if module in _DISPLAYED_AS else f"{module}.{kind.__qualname__}"


def _packages(types: set[type]) -> dict[str, str]:
    """The versions of the packages that `types` are of."""
    found = {}
    for package in {kind.__module__.partition(".")[0] for kind in types}:
        with suppress(Exception):  # a module's own __getattr__
            version = getattr(sys.modules.get(package), "__version__", None)
            if isinstance(version, str):
                found[package] = version
    return found


def _in_words(size: int) -> str:
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if size < 1024 or unit == "GiB":
            return f"{size:.3g} {unit}" if unit != "bytes" else f"{size} bytes"
        size /= 1024  # type: ignore[assignment]
    raise AssertionError


__all__ = ["DATA", "Request", "Saved", "save"]
