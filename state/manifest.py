"""What a checkpoint consists of, and how that is written down and authenticated.

A checkpoint is kept in the store under one name, as one recipe: a head (length, HMAC), the manifest as JSON, and then
every chunk that the manifest refers to, so that the store's `gc` spares them. The manifest names chunks by their
BLAKE3, so its HMAC authenticates everything.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import struct
from dataclasses import asdict, dataclass, field
from typing import Any

from regrow.state.errors import NotTrusted, StateError
from regrow.store.recipe import Recipe

FORMAT = 1
_HEAD = struct.Struct("<8sQ32s")
_MAGIC = b"regrowS\x01"

DATA, DEFINITION, MODULE = "data", "definition", "module"


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
    `size` is in bytes; `sizes` has each name's share as far as it is known.
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


@dataclass
class Missing:
    """A name that is not in a checkpoint: why, and which cell (its execution count) made it."""

    name: str
    reason: str
    cell: int | None = None


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

    @property
    def names(self) -> list[str]:
        """The names that it has."""
        return [name for group in self.groups for name in group.names]


def encode(manifest: Manifest, key: bytes) -> bytes:
    """The manifest as bytes, authenticated with `key`."""
    fields = {**asdict(manifest), "format": FORMAT}
    fields["recipes"] = [
        {"size": recipe.size, "entries": base64.b85encode(recipe.entries).decode()} for recipe in manifest.recipes
    ]
    body = json.dumps(fields, separators=(",", ":")).encode("utf-8", "surrogatepass")
    return _HEAD.pack(_MAGIC, len(body), hmac.digest(key, body, hashlib.sha256)) + body


def body_length(head: bytes) -> int:
    """How many bytes follow `head`, the first `HEAD_BYTES` of a checkpoint. Raises `StateError`."""
    if len(head) != HEAD_BYTES or head[:8] != _MAGIC:
        raise StateError("That is not a checkpoint of this version's.")
    return int(_HEAD.unpack(head)[1])


def decode(head: bytes, body: bytes, keys: list[bytes]) -> Manifest:
    """The manifest, if one of `keys` made it. Raises `NotTrusted` before anything in it is looked at."""
    mac = _HEAD.unpack(head)[2]
    if not any(hmac.compare_digest(mac, hmac.digest(key, body, hashlib.sha256)) for key in keys):
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
        fields["recipes"] = [Recipe(each["size"], base64.b85decode(each["entries"])) for each in fields["recipes"]]
        return Manifest(**fields)
    except (KeyError, TypeError, ValueError) as error:
        raise StateError("It is not a checkpoint that this version can read.") from error


def _group(fields: dict[str, Any]) -> Group:
    fields["pickle"] = fields["pickle"] and Blob(**fields["pickle"])
    fields["buffers"] = [Blob(**each) for each in fields["buffers"]]
    return Group(**fields)


HEAD_BYTES = _HEAD.size
