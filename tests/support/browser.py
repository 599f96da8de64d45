"""A real Chromium, and what a person does in it."""

from __future__ import annotations

import os
import re
from pathlib import Path

from playwright.async_api import Page, expect

CHROMIUM = "/usr/bin/chromium"
ARGUMENTS = ["--no-sandbox", "--disable-quic", "--disable-background-networking"]
START_TIMEOUT_MS = 120_000
CELL_TIMEOUT_MS = 60_000
PRESS_TIMEOUT_MS = 10_000


async def screenshot(page: Page, name: str, folder: Path) -> None:
    """A picture for the documentation: into REGROW_SCREENSHOTS (`make screenshots`), else where tests put files."""
    await page.screenshot(path=Path(os.environ.get("REGROW_SCREENSHOTS") or folder) / f"{name}.png")


async def sign_in(page: Page, url: str, name: str, password: str) -> None:
    """Sign in on the hub's login page."""
    await page.goto(f"{url}/hub/login")
    await page.fill("input[name=username]", name)
    await page.fill("input[name=password]", password)
    await page.click("#login_submit")
    await page.wait_for_url(lambda address: "/hub/login" not in address)


async def start_server(page: Page, url: str, profile: str) -> None:
    """Choose a profile by the name that is shown, and wait for JupyterLab."""
    await page.goto(f"{url}/hub/spawn")
    await page.get_by_text(profile, exact=True).click()
    await page.get_by_role("button", name="Start").click()


async def wait_for_lab(page: Page) -> None:
    """Until JupyterLab's launcher can be clicked."""
    await page.wait_for_url("**/lab**", timeout=START_TIMEOUT_MS)
    await expect(page.locator("#jupyterlab-splash")).to_have_count(0, timeout=START_TIMEOUT_MS)
    await expect(page.locator(".jp-LauncherCard").first).to_be_visible(timeout=START_TIMEOUT_MS)


async def new_notebook(page: Page) -> None:
    """Click the launcher's Python card and wait for the kernel."""
    await page.locator('.jp-LauncherCard[data-category="Notebook"]').first.click()
    await expect(page.locator(".jp-NotebookPanel .jp-Cell").first).to_be_visible()
    await expect(page.get_by_text(re.compile(r"\| Idle"))).to_be_visible(timeout=CELL_TIMEOUT_MS)


async def run_cell(page: Page, code: str, timeout_ms: float = CELL_TIMEOUT_MS) -> str:
    """Type `code` into the active cell, run it as with Shift-Enter, and return what is shown below it."""
    cells = page.locator(".jp-NotebookPanel:visible .jp-CodeCell")
    cell = cells.nth(await cells.count() - 1)
    await cell.locator(".cm-content").click()
    await page.keyboard.insert_text(code)
    await page.keyboard.press("Shift+Enter")
    prompt = cell.locator(".jp-InputArea-prompt").first
    try:
        await expect(prompt).not_to_have_text("[ ]:", timeout=PRESS_TIMEOUT_MS)
    except AssertionError:
        # JupyterLab was still busy with the page and took no notice: people press again.
        await cell.locator(".cm-content").click()
        await page.keyboard.press("Shift+Enter")
    await expect(prompt).to_have_text(re.compile(r"\[\d+\]:"), timeout=timeout_ms)
    return await cell.locator(".jp-OutputArea").first.inner_text()
