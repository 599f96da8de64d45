"""`%gpu`: the driver's real answer here, who holds what with real kernels, and what variables hold.

Where there is no GPU, the accounting runs on torch's CPU and meta devices, which have the same storages.
"""

from __future__ import annotations

import contextlib
import gc
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from regrow.kernel_magics import gpu_devices, gpu_magic, gpu_variables
from regrow.kernel_magics.gpu_devices import Device, GpuError, Process
from regrow.kernel_magics.gpu_holders import holder_of

from support.real_kernel import Kernel, MakeKernel

GIB = 1 << 30


def has_gpu() -> bool:
    try:
        gpu_devices.read_devices()
    except GpuError:
        return False
    return True


def held(namespace: dict[str, Any], device: str = "cpu") -> dict[str, tuple[int, int, tuple[str, ...]]]:
    found = gpu_variables.account(namespace, set(), device=device)
    return {v.name: (v.total, v.shared, v.shared_with) for v in found.variables}


@pytest.mark.skipif(has_gpu(), reason="this machine has a GPU")
def test_without_a_driver_the_message_says_what_to_do_and_the_cell_does_not_fail(kernel: Kernel) -> None:
    for line in ("%gpu", "%gpu free"):
        said = kernel.ok(line).stdout
        assert said.startswith("No NVIDIA GPU is visible to this server.") and "profile" in said
        assert "The driver says:" in said
    assert kernel.ok("import sys; 'torch' in sys.modules").result == "False"


def test_help_and_unknown_words_are_answered(kernel: Kernel) -> None:
    assert "[free]" in kernel.ok("%gpu --help").stdout
    assert "%gpu does not know 'fre'" in kernel.run("%gpu fre").evalue


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_views_and_the_tensor_that_they_show_are_one_storage(device: str) -> None:
    base = torch.empty(1000, device=device)
    view, other = base[10:20], torch.empty(5, device=device)
    found = gpu_variables.account({"base": base, "view": view, "other": other}, set(), device=device)
    assert found.total == 4020
    assert held({"base": base, "view": view, "other": other}, device) == {
        "base": (4000, 4000, ("view",)),
        "view": (4000, 4000, ("base",)),
        "other": (20, 0, ()),
    }


def test_only_the_device_that_is_asked_for_counts() -> None:
    assert held({"a": torch.empty(10), "b": torch.empty(10, device="meta")}, "meta") == {"b": (40, 0, ())}
    assert held({"a": torch.empty(10)}, "cuda") == {}


def test_a_module_holds_its_parameters_buffers_and_gradients_and_its_optimiser_shares_them() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(10, 10), torch.nn.BatchNorm1d(10))
    optimiser = torch.optim.Adam(model.parameters())
    parameters = (100 + 10 + 10 + 10) * 4
    buffers = (10 + 10) * 4 + 8
    assert held({"model": model, "optimiser": optimiser})["model"] == (
        parameters + buffers, parameters, ("optimiser",)
    )  # fmt: skip
    model(torch.ones(2, 10)).sum().backward()
    optimiser.step()
    names = held({"model": model, "optimiser": optimiser})
    assert names["model"][0] == 2 * parameters + buffers
    # Adam keeps two averages for each parameter, and a step count for each of four tensors.
    assert names["optimiser"][0] == 4 * parameters + 4 * 4


def test_containers_and_objects_are_looked_into_and_never_run() -> None:
    class Trap:
        __slots__ = ("tensor",)

        def __getattribute__(self, name: str) -> Any:
            raise AssertionError("looked at through its own code")

        def __iter__(self) -> Iterator[None]:
            raise AssertionError("iterated")

    trap = Trap()
    Trap.tensor.__set__(trap, torch.empty(10))  # type: ignore[attr-defined]
    cycle: dict[str, Any] = {"deep": [{"deeper": (torch.empty(20),)}]}
    cycle["self"] = cycle
    assert held({"trap": trap, "cycle": cycle, "module": torch, "function": held, "kind": Trap}) == {
        "trap": (40, 0, ()),
        "cycle": (80, 0, ()),
    }


def test_sparse_tensors_count_their_parts() -> None:
    sparse = torch.eye(4).to_sparse()
    assert held({"s": sparse})["s"][0] == 2 * 4 * 8 + 4 * 4
    assert held({"s": torch.eye(4).to_sparse_csr()})["s"][0] >= 16


def test_results_of_earlier_cells_are_told_when_nothing_else_holds_them() -> None:
    kept, lost = torch.empty(10), torch.empty(100)
    found = gpu_variables.account({"a": kept, "Out": {1: kept, 2: lost}, "_2": lost, "_": lost}, set(), device="cpu")
    assert (found.total, found.only_out) == (440, 400)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=8))
def test_the_total_is_the_sum_of_the_storages_however_they_are_shared(picks: list[tuple[int, bool]]) -> None:
    bases = [torch.empty(10 ** (size + 1), dtype=torch.uint8) for size in range(4)]
    namespace = {f"v{n}": bases[pick][1:] if view else [bases[pick]] for n, (pick, view) in enumerate(picks)}
    found = gpu_variables.account(namespace, set(), device="cpu")
    assert found.total == sum(10 ** (pick + 1) for pick in {pick for pick, _ in picks})
    for variable in found.variables:
        pick = picks[int(variable.name[1:])][0]
        assert variable.total == 10 ** (pick + 1)
        assert len(variable.shared_with) == sum(other == pick for other, _ in picks) - 1


def test_processes_are_named_by_their_notebook(make_kernel: MakeKernel) -> None:
    kernel = make_kernel(JPY_SESSION_NAME="/home/x/projects/faces/<train>.ipynb")
    pid = int(kernel.ok("import os, subprocess; os.getpid()").result)
    child = int(kernel.ok("child = subprocess.Popen(['sleep', '60']); child.pid").result)
    assert holder_of(pid).label == "notebook /home/x/projects/faces/<train>.ipynb"
    assert holder_of(child).label == f"notebook /home/x/projects/faces/<train>.ipynb, by sleep (process {child})"
    assert holder_of(pid, me=pid).mine and holder_of(child, me=pid).mine
    # As the kernel itself sees it.
    ask = f"from regrow.kernel_magics.gpu_holders import holder_of; holder_of({child}).label"
    assert kernel.ok(ask).result == f"'this kernel, by sleep (process {child})'"


def test_a_kernel_without_a_notebook_and_a_program_without_a_kernel_are_named(make_kernel: MakeKernel) -> None:
    pid = int(make_kernel(JPY_SESSION_NAME="").ok("import os; os.getpid()").result)
    assert holder_of(pid, me=1).label == f"a kernel (process {pid})"
    with _program() as alone:
        assert holder_of(alone.pid, me=1).label == f"sleep (process {alone.pid}, of no notebook)"


@contextlib.contextmanager
def _program() -> Iterator[subprocess.Popen[bytes]]:
    # A shell that ends at once leaves its child to init.
    shell = ["sh", "-c", "sleep 60 >/dev/null & echo $!"]
    pid = int(subprocess.run(shell, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True).stdout)
    try:
        yield SimpleNamespace(pid=pid)  # type: ignore[misc]
    finally:
        os.kill(pid, 9)


def test_a_process_that_cannot_be_seen_is_another_servers(tmp_path: Path) -> None:
    assert holder_of(2**22 + 1).label == "another server"
    assert holder_of(5, proc=tmp_path).label == "another server"


def test_the_report_shows_devices_holders_and_variables_in_both_forms() -> None:
    shell = SimpleNamespace(user_ns={"weights": torch.empty(GIB // 4, device="meta")}, user_ns_hidden={})
    processes = (Process(os.getpid(), 2 * GIB), Process(2**22 + 1, GIB), Process(1, None))
    found = gpu_magic.report(shell, lambda: [Device(0, "<Test>", 16 * GIB, 4 * GIB, processes)], "meta")
    text, rich = gpu_magic.plain(found), gpu_magic.rich(found)
    assert "GPU 0, <Test>: 4.0 GiB of 16.0 GiB in use" in text
    assert "this kernel" in text and "another server" in text and "not told" in text
    assert "weights" in text and "1.0 GiB" in text
    assert "&lt;Test&gt;" in rich and "<Test>" not in rich
    assert "width:12.5%" in rich and "width:6.2%" in rich


def test_free_collects_what_is_unreachable_and_says_what_out_holds() -> None:
    states = iter([3 * GIB, GIB])
    collected: list[int] = []
    shell = SimpleNamespace(user_ns={"Out": {1: torch.empty(10)}}, user_ns_hidden={})

    def read() -> list[Device]:
        return [Device(0, "Test", 16 * GIB, next(states), ())]

    def collect() -> int:
        collected.append(gc.collect())
        return 0

    assert gpu_magic.free(shell, read, collect).startswith("2.0 GiB came back")
    assert collected


def test_the_driver_is_asked_for_real() -> None:
    if has_gpu():
        assert all(device.total > 0 for device in gpu_devices.read_devices())
    else:
        with pytest.raises(GpuError, match="No NVIDIA GPU is visible to this server"):
            gpu_devices.read_devices()


@pytest.mark.skipif(not has_gpu(), reason="needs a GPU")
def test_on_a_gpu_memory_is_seen_by_variable_and_comes_back(kernel: Kernel) -> None:
    kernel.ok("import torch; big = torch.empty(64 << 20, dtype=torch.uint8, device='cuda')")
    assert "big" in kernel.ok("%gpu").result
    kernel.ok("del big")
    assert "came back" in kernel.ok("%gpu free").stdout


def test_a_missing_library_is_said() -> None:
    code = (
        "import sys; sys.modules['pynvml'] = None\n"
        "from regrow.kernel_magics.gpu_devices import read_devices\n"
        "try:\n    read_devices()\nexcept Exception as error:\n    print(error)\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "%pip install nvidia-ml-py" in ran.stdout
