"""What a person sees in JupyterLab when their kernel died: what is back, what is not, and a button for that."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from playwright.async_api import Page, async_playwright, expect

from support.browser import ARGUMENTS, CHROMIUM, START_TIMEOUT_MS, run_cell, screenshot
from support.notebook_server import TOKEN, NotebookServer, notebook_server

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]

MAKE = """import numpy as np
samples = np.random.default_rng(0).normal(size=(2000, 50))
batches = (samples[n : n + 100] for n in range(0, 2000, 100))
weights = samples[:50].copy()"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NotebookServer]:
    """A notebook server with JupyterLab."""
    with notebook_server(tmp_path, "--ServerApp.jpserver_extensions={'jupyterlab': True}") as running:
        yield running


@pytest.fixture
async def page() -> AsyncIterator[Page]:
    """A browser's page."""
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        context = await chromium.new_context(viewport={"width": 1100, "height": 900})
        yield await context.new_page()
        await chromium.close()


async def test_a_button_runs_the_cells_of_what_could_not_be_kept(
    server: NotebookServer, page: Page, tmp_path: Path
) -> None:
    metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    notebook = {"cells": [], "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    (server.root / "n.ipynb").write_text(json.dumps(notebook))
    await page.goto(f"{server.url}/lab/tree/n.ipynb?token={TOKEN}")
    await expect(page.get_by_text(re.compile(r"\| Idle"))).to_be_visible(timeout=START_TIMEOUT_MS)
    await run_cell(page, MAKE)
    assert "Saved: 3 variables" in await run_cell(page, "%checkpoint")
    assert "samples" in await run_cell(page, "%checkpoint show")
    session = server.request("GET", "/api/sessions").json()[0]
    server.request("DELETE", f"/api/sessions/{session['id']}", expect=204)
    await page.reload()
    await expect(page.get_by_text(re.compile(r"\| Idle"))).to_be_visible(timeout=START_TIMEOUT_MS)
    shown = await run_cell(page, "weights.shape")
    assert "variables are back" in shown and "a generator can't be kept" in shown
    button = page.get_by_role("button", name="Run the cells")
    await expect(button).to_be_enabled()
    await button.click()
    await expect(page.get_by_text("batches is there again.")).to_be_visible(timeout=START_TIMEOUT_MS)
    assert "(100, 50)" in await run_cell(page, "next(batches).shape")
    await screenshot(page, "variables-made-again", tmp_path)
