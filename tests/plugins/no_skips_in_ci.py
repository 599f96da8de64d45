"""With CI set, a skipped Docker or browser test fails: a machine that lacks an engine must not look green.

Loaded by tests/conftest.py: `pytest_plugins = ["plugins.no_skips_in_ci"]`.
"""

from __future__ import annotations

import os
from collections.abc import Generator

import pytest

NEVER_SKIPPED = {"docker", "browser"}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    marks = NEVER_SKIPPED & {mark.name for mark in item.iter_markers()}
    # An expected failure (xfail) is reported as skipped too; it did run.
    if _in_ci() and report.skipped and marks and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"A test marked {', '.join(sorted(marks))} was skipped, which fails CI. {_reason(report)}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    # A whole file that skips itself (importorskip) shows no marks, so none may.
    if _in_ci() and report.skipped:
        report.outcome = "failed"
        report.longrepr = f"{collector.nodeid} skips all its tests, which fails CI. {_reason(report)}"
    return report


def _in_ci() -> bool:
    return os.environ.get("CI", "").lower() not in ("", "0", "false")


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    """Why it was skipped: pytest keeps path, line and reason."""
    return report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
