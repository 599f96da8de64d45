"""`%%cpp --ext NAME`: the compiled cell as a Python module, also when the cell was edited and run again."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import keyword
import re
import sys
from pathlib import Path
from types import ModuleType

from . import wrapping
from .errors import MagicError

# Modules of this kernel by the file that they came from. One file is loaded once, which registers its types.
_loaded: dict[Path, ModuleType] = {}
_MODULE = re.compile(r"\bPYBIND11_MODULE\s*\(\s*([^\s,()]*)")


class ModuleError(MagicError):
    """The cell cannot be imported as a Python module."""


def check_name(name: str) -> None:
    """Raise ModuleError unless `name` can be a module of a cell's own."""
    if not name.isascii() or not name.isidentifier() or keyword.iskeyword(name):
        raise ModuleError(
            f"{name!r} cannot be the name of a module. Use letters, digits and _, not beginning with a digit."
        )
    present = sys.modules.get(name)
    taken = present is not None and present not in _loaded.values()
    if taken or name in sys.stdlib_module_names or name in sys.builtin_module_names:
        raise ModuleError(f"There is a Python module {name} already. Choose another name for --ext.")


def check_cell(cell: str, name: str) -> None:
    """Raise ModuleError unless the cell defines the module `name`."""
    text = wrapping.blank_out(cell)
    defined = _MODULE.findall(text)
    # Without pybind11, a module in plain C API has this function.
    if name in defined or f"PyInit_{name}" in text:
        return
    if defined:
        raise ModuleError(
            f"The cell defines the module {defined[0]}, and --ext says {name}. Use the same name in both."
        )
    raise ModuleError(
        f"The cell defines no module. Add to it:\n\n#include <pybind11/pybind11.h>\n"
        f"PYBIND11_MODULE({name}, m) {{\n    // m.def(...)\n}}"
    )


def load(artifact: Path, name: str) -> ModuleType:
    """Import the compiled module under `name`. Raises ModuleError when its own code fails.

    Python finds an extension module again by its file; the cache names files by what is in them, so a cell
    that was edited is a new file and new code, and objects made by the old code keep it.
    """
    module = _loaded.get(artifact)
    if module is None:
        # pybind11 keeps finished modules by their spec's full name; Python calls PyInit_ of its last part.
        full_name = f"regrow_cell_{artifact.stem}.{name}"
        loader = importlib.machinery.ExtensionFileLoader(full_name, str(artifact))
        spec = importlib.util.spec_from_file_location(full_name, artifact, loader=loader)
        assert spec is not None
        try:
            module = importlib.util.module_from_spec(spec)
            module.__name__ = name  # what the module's types say they belong to
            loader.exec_module(module)
        except Exception as error:
            raise ModuleError(f"The cell compiles, and importing {name} fails: {error}") from None
        _loaded[artifact] = module
    sys.modules[name] = module
    return module
