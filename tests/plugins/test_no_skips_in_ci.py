"""The plugin that turns skips into failures, in a pytest of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = """
import pytest

@pytest.mark.docker
def test_docker():
    pytest.skip("no engine")

@pytest.mark.browser
@pytest.mark.skipif(True, reason="no Chromium")
def test_browser():
    pass

@pytest.mark.docker
@pytest.mark.xfail(reason="known", strict=True)
def test_known():
    raise AssertionError

def test_other():
    pytest.skip("no GPU")
"""
WHOLE_FILE = """
import pytest
pytest.importorskip("a_package_that_does_not_exist")
"""


def outcome(folder: Path, tests: str, ci: str) -> str:
    (folder / "pytest.ini").write_text("[pytest]\nmarkers = docker\n  browser\n")
    (folder / "test_it.py").write_text(tests)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "plugins.no_skips_in_ci", "-p", "no:cacheprovider"],
        cwd=folder,
        env={**os.environ, "CI": ci, "PYTHONPATH": str(Path(__file__).parents[1])},
        capture_output=True,
        text=True,
        timeout=120,
    )
    return done.stdout + done.stderr


def test_a_skipped_docker_or_browser_test_fails_in_ci(tmp_path: Path) -> None:
    output = outcome(tmp_path, TESTS, ci="true")
    # A mark skips in the setup of a test, and a failure there is called an error.
    assert "1 failed, 1 skipped, 1 xfailed, 1 error" in output
    assert "A test marked docker was skipped, which fails CI. Skipped: no engine" in output
    assert "A test marked browser was skipped, which fails CI. Skipped: no Chromium" in output


def test_a_whole_file_that_skips_itself_fails_in_ci(tmp_path: Path) -> None:
    output = outcome(tmp_path, WHOLE_FILE, ci="true")
    assert "test_it.py skips all its tests, which fails CI" in output
    assert "1 error" in output


@pytest.mark.parametrize("ci", ["", "false"])
def test_skips_are_skips_elsewhere(tmp_path: Path, ci: str) -> None:
    assert "3 skipped, 1 xfailed" in outcome(tmp_path, TESTS, ci)


def test_our_own_tests_are_run_with_it(pytestconfig: pytest.Config) -> None:
    assert pytestconfig.pluginmanager.has_plugin("plugins.no_skips_in_ci")
