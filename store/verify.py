"""Reading everything in a store, and saying what is not as it was written and which names that concerns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from blake3 import blake3

from regrow.store import codec
from regrow.store.errors import StoreError
from regrow.store.index import CONDEMNED
from regrow.store.pack import PACKS, DamagedPack, Entry, is_name, read_index
from regrow.store.store import Store


@dataclass
class Verified:
    """What was looked at, and what was wrong. `problems` are sentences; `affected` the names that can't be read."""

    packs: int = 0
    chunks: int = 0
    names: int = 0
    stored_bytes: int = 0
    problems: list[str] = field(default_factory=list)
    affected: list[str] = field(default_factory=list)


def verify(
    store: Store, progress: Callable[[int, int], None] = lambda done, of: None, condemning: bool = False
) -> Verified:
    """Read every pack and every name. `progress` is told how many packs of how many are done.

    Where `condemning`, damaged packs are left to `gc`, and no writer relies on them: storing the same content again
    then makes every name whole that needs it.
    """
    report = Verified()
    store.index.refresh()
    packs = sorted(path.removeprefix(f"{PACKS}/") for path in store.backend.list(PACKS))
    packs = [pack for pack in packs if is_name(pack)]
    sound: set[bytes] = set()
    for number, pack in enumerate(packs):
        progress(number, len(packs))
        before = len(report.problems)
        _verify_pack(store, pack, report, sound)
        if condemning and len(report.problems) > before:
            condemn(store, pack)
    progress(len(packs), len(packs))
    # Names are replaced and packs collected while this reads: what a name needs now is looked up now.
    store.index.refresh()
    for name in sorted(store.names()):
        _verify_name(store, name, report, sound)
    return report


def condemn(store: Store, pack: str) -> None:
    """Have no writer rely on `pack` from now on; `gc` removes it after the store's grace."""
    store.backend.write(f"{CONDEMNED}/{pack}", str(store.now()).encode())


def _verify_pack(store: Store, pack: str, report: Verified, sound: set[bytes]) -> None:
    try:
        entries = read_index(store.backend, f"{PACKS}/{pack}")
    except FileNotFoundError:
        return  # collected meanwhile
    except DamagedPack:
        report.packs += 1
        report.problems.append(f"Pack {pack} is truncated or its index is damaged.")
        # What this machine has seen of it before can still be read, and is verified like all else.
        entries = store.index.entries(pack)
    else:
        report.packs += 1
    for entry in entries:
        report.chunks += 1
        report.stored_bytes += entry.stored
        if is_sound(store, pack, entry):
            sound.add(entry.key)
        elif _is_gone(store, pack):
            return
        else:
            store.index.distrust(pack, entry.key)
            report.problems.append(f"Chunk {entry.key.hex()[:16]}… in pack {pack} is damaged.")


def is_sound(store: Store, pack: str, entry: Entry) -> bool:
    """Whether the chunk can be read from `pack` as it was written."""
    stored = memoryview(bytearray(entry.stored))
    try:
        if store.backend.read_into(f"{PACKS}/{pack}", entry.offset, stored) != entry.stored:
            return False
    except OSError:
        return False
    chunk = memoryview(bytearray(entry.size))
    return codec.decode_into(entry.codec, stored, chunk) and blake3(chunk).digest() == entry.key


def _is_gone(store: Store, pack: str) -> bool:
    try:
        store.backend.size(f"{PACKS}/{pack}")
    except FileNotFoundError:
        return True
    return False


def _verify_name(store: Store, name: str, report: Verified, sound: set[bytes]) -> None:
    try:
        recipe = store.recipe(name)
    except KeyError:
        return  # dropped meanwhile
    except StoreError as error:
        report.problems.append(str(error))
        report.affected.append(name)
        return
    report.names += 1
    # Packs that came after the list was made are those of names that came later too, or of a collection.
    lost = sum(1 for key, _ in recipe if key not in sound and not _is_there(store, key))
    if lost:
        report.problems.append(f"{name} needs {lost} of its {len(recipe)} chunks that can't be read.")
        report.affected.append(name)


def _is_there(store: Store, key: bytes) -> bool:
    return any(is_sound(store, place.pack, place.entry) for place in store.index.places(key))
