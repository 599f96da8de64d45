"""`%%cpp --ext`: cells as Python modules, in real kernels."""

from __future__ import annotations

import pytest
from test_cpp import failed

from support.real_kernel import Kernel


def counter(value: int, name: str = "counter") -> str:
    """A cell whose class and function both answer `value`."""
    return (
        f"%%cpp -O0 --ext {name}\n#include <pybind11/pybind11.h>\n"
        f"struct Thing {{ int value() const {{ static int kept = {value}; return kept; }} }};\n"
        f"inline int shared = {value};\n"
        f"PYBIND11_MODULE({name}, m) {{\n"
        '    pybind11::class_<Thing>(m, "Thing").def(pybind11::init<>()).def("value", &Thing::value);\n'
        '    m.def("shared", [] { return shared; });\n}\n'
    )


def test_a_cell_is_imported_edited_and_imported_again_in_one_kernel(kernel: Kernel) -> None:
    kernel.ok(counter(1))
    assert kernel.ok("first, thing = counter, counter.Thing(); thing.value()").result == "1"
    kernel.ok(counter(2))
    state = "(counter.Thing().value(), counter.shared(), thing.value(), first.shared(), counter is first)"
    assert kernel.ok(state).result == "(2, 2, 1, 1, False)"
    # Run as it was, it is the very same module again, from the cache.
    assert kernel.ok(counter(1)).seconds < 1
    assert kernel.ok("counter is first").result == "True"
    assert kernel.ok("import counter as again; again is counter").result == "True"
    assert kernel.ok("counter.Thing").result == "counter.Thing"


def test_a_class_that_two_modules_register_passes_between_them(kernel: Kernel) -> None:
    kernel.ok(counter(3, "left"))
    kernel.ok(counter(4, "right").replace("m.def(", 'm.def("read", [](const Thing&) { return 5; });\n    m.def(', 1))
    assert kernel.ok("right.read(left.Thing())").result == "5"


def test_a_failing_module_says_why(kernel: Kernel) -> None:
    cell = (
        "%%cpp -O0 --ext failing\n#include <pybind11/pybind11.h>\n"
        'PYBIND11_MODULE(failing, m) { throw std::runtime_error("not today"); }\n'
    )
    message = failed(kernel.run(cell), "ModuleError")
    assert "importing failing fails" in message and "not today" in message
    assert kernel.ok("'failing' in globals()").result == "False"


@pytest.mark.parametrize(
    "name", ["../evil", "a.b", "class", "1st", "naïve", "a;b", "''", "'a b'", "$(id)", "-x", "'a\\nb'"]
)
def test_a_name_that_is_no_identifier_is_refused(kernel: Kernel, name: str) -> None:
    message = failed(kernel.run(f"%%cpp --ext {name}\nint x;"), "ModuleError")
    assert "cannot be the name of a module" in message


@pytest.mark.parametrize("name", ["json", "sys", "IPython", "tabnanny"])
def test_a_name_that_python_has_already_is_refused(kernel: Kernel, name: str) -> None:
    assert "already" in failed(kernel.run(f"%%cpp --ext {name}\nint x;"), "ModuleError")


def test_a_cell_that_defines_no_module_or_another_is_refused_with_the_lines_to_add(kernel: Kernel) -> None:
    cell = "%%cpp --ext mine\n// PYBIND11_MODULE(mine, m)\nint x;"
    assert "PYBIND11_MODULE(mine, m) {" in failed(kernel.run(cell), "ModuleError")
    cell = "%%cpp --ext mine\nPYBIND11_MODULE(yours, m) {}"
    assert "defines the module yours, and --ext says mine" in failed(kernel.run(cell), "ModuleError")


def test_errors_in_a_module_are_at_the_cells_lines(kernel: Kernel) -> None:
    cell = "%%cpp --ext broken\n#include <pybind11/pybind11.h>\nPYBIND11_MODULE(broken, m) {\n  wrong;\n}\n"
    assert "in line 4:" in failed(kernel.run(cell), "CompileError")
