from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from regrow.server_extension import abi


def root_with(folder: Path, os_release: str, cuda: str = "") -> Path:
    (folder / "etc").mkdir()
    (folder / "etc/os-release").write_text(os_release)
    if cuda:
        (folder / "usr/local/cuda").mkdir(parents=True)
        (folder / "usr/local/cuda/version.json").write_text(cuda)
    return folder


def test_this_machine_has_a_key_that_can_name_a_folder() -> None:
    key = abi.abi_key()
    assert re.fullmatch(r"[a-z0-9._+]+(-[a-z0-9._+]+){3,4}", key), key


@pytest.mark.parametrize(
    ("os_release", "name"),
    [
        ('ID=debian\nVERSION_ID="12"\n', "debian12"),
        ('NAME="Ubuntu"\nID=ubuntu\nVERSION_ID="24.04"\n', "ubuntu24.04"),
        ("ID=debian\nVERSION_CODENAME=forky\n", "debianforky"),
        ('ID="../x y"\n', "..xy"),
        ("", "linux"),
    ],
)
def test_distribution(tmp_path: Path, os_release: str, name: str) -> None:
    path = tmp_path / "os-release"
    path.write_text(os_release)
    assert abi.distribution(path) == name


def test_no_os_release(tmp_path: Path) -> None:
    assert abi.distribution(tmp_path / "none") == "linux"


@pytest.mark.parametrize(
    ("text", "suffix"),
    [
        ('{"cuda": {"name": "CUDA SDK", "version": "13.0.2"}}', "-cuda13.0"),
        ('{"cuda": {}}', ""),
        ("[]", ""),
        ("not json", ""),
    ],
)
def test_cuda_is_part_of_the_key_where_there_is_a_toolkit(tmp_path: Path, text: str, suffix: str) -> None:
    root = root_with(tmp_path, "ID=debian\nVERSION_ID=12\n", cuda=text)
    assert abi.abi_key(root) == f"debian12-{'-'.join(abi.abi_key().split('-')[1:4])}{suffix}"


def test_the_compiler_that_is_first_on_the_path_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gcc = tmp_path / "gcc"
    gcc.write_text("#!/bin/sh\necho 15.2.0\n")
    gcc.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert abi.compiler() == "gcc15"
    gcc.unlink()
    (tmp_path / "x86_64-linux-gnu-gcc-14").write_text("")
    (tmp_path / "x86_64-linux-gnu-gcc-14").chmod(0o755)
    gcc.symlink_to("x86_64-linux-gnu-gcc-14")
    assert abi.compiler() == "gcc14"
    gcc.unlink()
    assert abi.compiler() == "nocc"


def test_as_a_program_it_prints_the_key() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "regrow.server_extension.abi"], capture_output=True, text=True, check=True
    )
    assert done.stdout == abi.abi_key() + "\n"
