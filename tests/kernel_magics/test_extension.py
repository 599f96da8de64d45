"""How kernels get the magics, and what that costs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from support.real_kernel import Kernel, MakeKernel


def test_every_kernel_of_the_environment_has_the_magics_without_their_modules(kernel: Kernel) -> None:
    listed = kernel.ok("%lsmagic").result
    assert "%%cpp" in listed and "%build" in listed and "%gpu" in listed


def test_a_users_own_extensions_stay_and_ours_too(make_kernel: MakeKernel, tmp_path: Path) -> None:
    profile = tmp_path / "home" / ".ipython" / "profile_default"
    profile.mkdir(parents=True)
    (profile / "ipython_kernel_config.py").write_text('c.InteractiveShellApp.extensions = ["autoreload"]\n')
    loaded = make_kernel().ok("sorted(get_ipython().extension_manager.loaded)").result
    assert "autoreload" in loaded and "regrow.kernel_magics" in loaded


def test_the_extension_comes_and_goes_again(make_kernel: MakeKernel) -> None:
    kernel = make_kernel()
    assert kernel.ok("%unload_ext regrow.kernel_magics\n%load_ext regrow.kernel_magics\n%gpu --help").stdout
    assert kernel.ok("%reload_ext regrow.kernel_magics\n%gpu --help").stdout


def test_loading_imports_nothing_that_a_kernel_lacks() -> None:
    code = (
        "import sys, ipykernel.kernelapp, IPython; before = set(sys.modules)\n"
        "import regrow.kernel_magics\nprint(*sorted(set(sys.modules) - before))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    # In editable installs alone, finders of setuptools may come along.
    assert set(ran.stdout.split()) <= {"regrow", "regrow.kernel_magics", "resource"}
