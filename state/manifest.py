"""What a checkpoint consists of, and how that is written down and authenticated.

A checkpoint is kept in the store under one name, as one recipe: a head (length, HMAC), the manifest as JSON, and then
every chunk that the manifest refers to, so that the store's `gc` spares them. The manifest names chunks by their
BLAKE3, so its HMAC authenticates everything.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import struct
from dataclasses import dataclass, field, replace
from typing import Any

from regrow.state.errors import NotTrusted, StateError
from regrow.store.recipe import Recipe

FORMAT = 1
_HEAD = struct.Struct("<8sQ32s")
_MAGIC = b"regrowS\x01"

DATA, DEFINITION, MODULE = "data", "definition", "module"


_NOTHING = Recipe(0, b"")


@dataclass(frozen=True)
class Blob:
    """`length` bytes at `offset` of what `recipe`, an index into the manifest's recipes, lists."""

    recipe: int
    offset: int
    length: int


@dataclass
class Group:
    """A co-variable: names that share objects, pickled together.

    `kind` is `data`, `definition` (a function or class of the notebook) or `module` (then `target` is what to import).
    `needs` are names of definitions that its pickle refers to, `uses` those that its code may read when it runs.
    `size` is in bytes.
    """

    names: list[str]
    kind: str = DATA
    target: str = ""
    types: dict[str, str] = field(default_factory=dict)
    size: int = 0
    needs: list[str] = field(default_factory=list)
    uses: list[str] = field(default_factory=list)
    has_code: bool = False
    by_dill: bool = False
    digest: str = ""
    pickle: Blob | None = None
    buffers: list[Blob] = field(default_factory=list)
    readonly: list[bool] = field(default_factory=list)
    packages: dict[str, str] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    _encoded: str = field(default="", init=False, compare=False, repr=False)

    @property
    def encoded(self) -> str:
        """The group as JSON, made once: most groups are in one manifest after the other. Not to be changed after it."""
        if not self._encoded:
            fields = {name: value for name, value in vars(self).items() if name != "_encoded"}
            self._encoded = json.dumps(fields, separators=(",", ":"), default=vars)
        return self._encoded


@dataclass
class Missing:
    """A name that is not in a checkpoint: why, and which cell (its execution count) made it.

    `again`: the next save tries it again, what was in its way may have gone.
    """

    name: str
    reason: str
    cell: int | None = None
    again: bool = False


@dataclass
class Cell:
    """A cell that ran: what it read, and which names it bound."""

    count: int
    source: str
    reads: list[str] = field(default_factory=list)
    writes: list[str] = field(default_factory=list)


@dataclass
class Manifest:
    """A checkpoint. `at` is in seconds since 1970, `size` in bytes, `made_by` says which cell bound a name last."""

    notebook: str
    at: float
    reason: str
    python: str
    execution_count: int = 1
    groups: list[Group] = field(default_factory=list)
    missing: list[Missing] = field(default_factory=list)
    cells: list[Cell] = field(default_factory=list)
    made_by: dict[str, int] = field(default_factory=dict)
    excluded: list[str] = field(default_factory=list)
    process: dict[str, Any] = field(default_factory=dict)
    generators: Blob | None = None
    recipes: list[Recipe] = field(default_factory=list)

    @property
    def size(self) -> int:
        """How large the variables are, in bytes."""
        return sum(group.size for group in self.groups)

    def forget_unused_recipes(self) -> None:
        """Let go of the recipes that no group refers to. Numbers change only where most of them are such."""
        blobs = [blob for group in self.groups for blob in (*group.buffers, group.pickle) if blob is not None]
        used = {blob.recipe for blob in [*blobs, *([self.generators] if self.generators else [])]}
        if 2 * len(used) >= len(self.recipes):
            self.recipes = [recipe if n in used else _NOTHING for n, recipe in enumerate(self.recipes)]
            return
        numbers = {old: new for new, old in enumerate(sorted(used))}
        self.recipes = [self.recipes[old] for old in numbers]

        def renumbered(blob: Blob) -> Blob:
            return replace(blob, recipe=numbers[blob.recipe])

        self.groups = [
            replace(
                group,
                pickle=group.pickle and renumbered(group.pickle),
                buffers=[renumbered(blob) for blob in group.buffers],
            )
            for group in self.groups
        ]
        self.generators = self.generators and renumbered(self.generators)

    @property
    def names(self) -> list[str]:
        """The names that it has."""
        return [name for group in self.groups for name in group.names]


def encode(manifest: Manifest, key: bytes) -> bytes:
    """The manifest as bytes, authenticated with `key`."""
    fields = {**vars(manifest), "format": FORMAT}
    del fields["groups"]
    fields["recipes"] = [{"size": recipe.size, "entries": recipe.entries.hex()} for recipe in manifest.recipes]
    text = json.dumps(fields, separators=(",", ":"), default=vars)
    groups = ",".join(group.encoded for group in manifest.groups)
    body = f'{text[:-1]},"groups":[{groups}]}}'.encode("utf-8", "surrogatepass")
    return _HEAD.pack(_MAGIC, len(body), hmac.digest(key, body, hashlib.sha256)) + body


def body_length(head: bytes) -> int:
    """How many bytes follow `head`, the first `HEAD_BYTES` of a checkpoint. Raises `StateError`."""
    if len(head) != HEAD_BYTES or head[:8] != _MAGIC:
        raise StateError("That is not a checkpoint of this version's.")
    return int(_HEAD.unpack(head)[1])


def decode(head: bytes, body: bytes, keys: list[bytes]) -> Manifest:
    """The manifest, if one of `keys` made it. Raises `NotTrusted` before anything in it is looked at."""
    _, length, mac = _HEAD.unpack(head)
    if length != len(body) or not any(hmac.compare_digest(mac, hmac.digest(key, body, hashlib.sha256)) for key in keys):
        raise NotTrusted("it was changed since, or somebody else made it")
    return parse(body)


def parse(body: bytes) -> Manifest:
    """The manifest in `body`, whoever made it: for looking at only. Raises `StateError`."""
    try:
        fields = json.loads(body.decode("utf-8", "surrogatepass"))
        if fields.pop("format") != FORMAT:
            raise StateError("It was saved by another version of Regrow, whose format this one does not read.")
        fields["groups"] = [_group(each) for each in fields["groups"]]
        fields["missing"] = [Missing(**each) for each in fields["missing"]]
        fields["cells"] = [Cell(**each) for each in fields["cells"]]
        fields["generators"] = fields["generators"] and Blob(**fields["generators"])
        fields["recipes"] = [Recipe(each["size"], bytes.fromhex(each["entries"])) for each in fields["recipes"]]
        return Manifest(**fields)
    except (KeyError, TypeError, ValueError) as error:
        raise StateError("It is not a checkpoint that this version can read.") from error


def _group(fields: dict[str, Any]) -> Group:
    fields["pickle"] = fields["pickle"] and Blob(**fields["pickle"])
    fields["buffers"] = [Blob(**each) for each in fields["buffers"]]
    return Group(**fields)


HEAD_BYTES = _HEAD.size
