"""Open files: those that are read are opened again where they were read to."""

from __future__ import annotations

import _io
import io
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from regrow.state.errors import Unsavable

if TYPE_CHECKING:
    from regrow.state.pickling import Context

_STREAMS = ("stdout", "stderr", "stdin", "__stdout__", "__stderr__", "__stdin__")


def _of_file(value: Any, context: Context) -> Any:
    if (stream := _stream(value)) is not NotImplemented:
        return stream
    if type(value) in (io.BytesIO, io.StringIO) or not hasattr(value, "fileno"):
        return NotImplemented
    name = getattr(value, "name", None)
    if value.closed:
        return _of_closed(value, name)
    # Asking a file that is written to where it stands would write its buffer, from this process too.
    if value.writable() or type(value) not in (io.TextIOWrapper, io.BufferedReader, io.FileIO):
        raise Unsavable(f"an open file ({_shown(name)}) can't be kept. Open it again", value)
    if not isinstance(name, str) or not _is_still(value, name) or not value.seekable():
        raise Unsavable(f"an open file ({_shown(name)}) can't be kept. Open it again", value)
    try:
        position = _position(value)
    except OSError as error:
        raise Unsavable("a file in the middle of a loop over its lines can't be kept. Open it again", value) from error
    context.notes.append(f"the file {name} is opened again where it was read to")
    arguments: dict[str, Any] = {}
    if isinstance(value, io.TextIOWrapper):
        # What it was opened with as `newline` it does not say; a mode that has none is the default.
        arguments = {"encoding": value.encoding, "errors": value.errors}
    elif isinstance(value, io.FileIO):
        arguments = {"buffering": 0}
    return _open_again, (str(Path(name).absolute()), "r" if "encoding" in arguments else "rb", position, arguments)


def _of_closed(value: Any, name: Any) -> Any:
    """What a `with open(...) as file` leaves behind: it says what it was, and that it is closed."""
    if type(value) not in _PLAIN or not isinstance(name, str | bytes | int):
        raise Unsavable("a closed file of this kind can't be kept. Open it again", value)
    arguments: dict[str, Any] = {}
    if isinstance(value, io.TextIOWrapper):
        arguments = {"encoding": value.encoding, "errors": value.errors}
    elif isinstance(value, io.FileIO):
        arguments = {"buffering": 0}
    return _closed, (name, getattr(value, "mode", "r"), arguments)


_PLAIN = (io.TextIOWrapper, io.BufferedReader, io.BufferedWriter, io.BufferedRandom, io.FileIO)


def _closed(name: Any, mode: str, arguments: dict[str, Any]) -> Any:
    opened = open(os.devnull, mode.replace("x", "w"), **arguments)  # noqa: SIM115, PTH123
    file: Any = opened
    raw: Any = opened
    while isinstance(raw, io.TextIOWrapper | io.BufferedReader | io.BufferedWriter | io.BufferedRandom):
        raw = raw.buffer if isinstance(raw, io.TextIOWrapper) else raw.raw
    raw.name = name
    if isinstance(file, io.TextIOWrapper):
        vars(file)["mode"] = mode
    file.close()
    return file


def _position(value: Any) -> int:
    """Where it stands, without moving what the kernel's file of the same descriptor stands at."""
    return int(value.tell())


def _is_still(value: Any, name: str) -> bool:
    """Whether under its name there is still the file that is open."""
    try:
        return os.path.samestat(os.fstat(value.fileno()), Path(name).stat())
    except OSError:
        return False


def _shown(name: Any) -> str:
    return str(name) if isinstance(name, str) else "without a name"


def _open_again(path: str, mode: str, position: int, arguments: dict[str, Any]) -> Any:
    file = open(path, mode, **arguments)  # noqa: SIM115, PTH123 (the notebook's own file)
    file.seek(position)
    return file


def _stream(value: Any) -> Any:
    """The kernel's own output, by its name."""
    for name in _STREAMS:
        if value is getattr(sys, name):
            return _kernels_stream, (name,)
    return NotImplemented


def _kernels_stream(name: str) -> Any:
    return getattr(sys, name)


def _of_archive(value: Any, context: Context) -> Any:
    if getattr(value, "fp", value) is None or getattr(value, "closed", False):
        return NotImplemented
    name = getattr(value, "filename", None) or getattr(value, "name", None)
    raise Unsavable(f"an open archive ({_shown(name)}) can't be kept. Open it again", value)


TYPES: dict[Any, Any] = {_io._IOBase: _of_file}
NAMES = {("zipfile", "ZipFile"): _of_archive, ("tarfile", "TarFile"): _of_archive}
