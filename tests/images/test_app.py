from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from regrow.images.progress import BuildProgress


def regrow_images(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("regrow")), "images", *arguments]
    return subprocess.run(command, env={**os.environ, **environment}, capture_output=True, text=True)


@pytest.mark.parametrize("arguments", [["build", "tpu"], ["build", "cpu", "cuda"], ["list", "all"], ["remove"]])
def test_bad_usage_is_status_2(arguments: list[str]) -> None:
    assert regrow_images(*arguments).returncode == 2


@pytest.mark.parametrize("arguments", [["list"], ["build", "cpu"]])
def test_an_engine_that_is_not_there_is_status_1(arguments: list[str]) -> None:
    done = regrow_images(*arguments, DOCKER_HOST="unix:///nowhere/docker.sock")
    assert done.returncode == 1
    assert "No Docker engine answers" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.docker
def test_list(notebook_image: str) -> None:
    done = regrow_images("list")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["NAME", "VERSION", "ABI", "UID", "SIZE", "CREATED"]
    ours = next(line.split() for line in lines if line.startswith(notebook_image))
    assert ours[3:6:2] == ["1000", "GB"]


def test_progress_without_a_terminal_is_one_line_for_a_step() -> None:
    output = io.StringIO()
    with BuildProgress(Console(file=output, width=60)) as progress:
        for line in ("Step 1/2 : FROM x", " ---> 1", "noise", f"Step 2/2 : RUN [bold]{'x' * 80}"):
            progress(line)
    lines = output.getvalue().splitlines()
    assert lines[0] == "Step 1/2 : FROM x"
    assert lines[1].startswith("Step 2/2 : RUN [bold]xxx")
    assert [len(line) <= 60 for line in lines] == [True, True]


def test_progress_on_a_terminal_counts_the_steps() -> None:
    output = io.StringIO()
    console = Console(file=output, width=100, force_terminal=True)
    with BuildProgress(console) as progress:
        progress("Step 2/8 : RUN make")
        console.print()
    assert "step 2 of 8" in output.getvalue()
    assert "RUN make" in output.getvalue()
