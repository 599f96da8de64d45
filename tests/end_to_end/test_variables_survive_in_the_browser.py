"""The idle timeout as its users see it: they train, leave, and go on from the same variables when they return."""

import asyncio
import secrets

import pytest
from playwright.async_api import async_playwright, expect

from support.browser import (
    ARGUMENTS,
    CHROMIUM,
    START_TIMEOUT_MS,
    new_notebook,
    run_cell,
    screenshot,
    sign_in,
    start_server,
    wait_for_lab,
)
from support.hub import remove_containers
from support.up import up

pytestmark = [pytest.mark.docker, pytest.mark.browser, pytest.mark.timeout(600)]

IDLE_TIMEOUT_S = 30
MODEL = """import torch
torch.manual_seed(0)
inputs = torch.randn(256, 4)
targets = inputs @ torch.tensor([[1.0], [-2.0], [3.0], [0.5]])
model = torch.nn.Sequential(torch.nn.Linear(4, 16), torch.nn.Tanh(), torch.nn.Linear(16, 1))
optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
losses = []
batches = iter(range(10**9))"""
TRAIN = """def train(steps):
    for _ in range(steps):
        loss = torch.nn.functional.mse_loss(model(inputs), targets)
        optimizer.zero_grad(); loss.backward(); optimizer.step()
        losses.append(loss.item())
train(100)
print(len(losses), round(losses[-1], 4))
stream = (n for n in batches)"""
GO_ON = """train(100)
print(len(losses), losses[100] < losses[99], optimizer.state_dict()["state"][0]["step"].item())"""


@pytest.fixture
def deployment(notebook_image, tmp_path):
    """A hub that stops servers which nobody has used for a while."""
    name = f"regrow-test-{secrets.token_hex(3)}"
    arguments = [f"--name={name}", "--spawner=docker", f"--Regrow.idle_timeout_s={IDLE_TIMEOUT_S}"]
    running = up(tmp_path, *arguments).start()
    yield running
    running.ctrl_c()
    remove_containers(running.data_dir, name)


@pytest.fixture
async def page():
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        context = await chromium.new_context(viewport={"width": 1280, "height": 800})
        yield await context.new_page()
        await chromium.close()


async def culled(engine, data_dir):
    """Until the server's container has been stopped."""
    async with asyncio.timeout(240):
        while engine.containers.list(filters={"label": f"io.regrow.data-dir={data_dir}", "status": "running"}):
            await asyncio.sleep(0.5)


async def save_as(page, name):
    """Save a notebook that has no name of its own: JupyterLab asks for one, and its variables follow it."""
    await page.keyboard.press("Control+s")
    dialog = page.locator(".jp-Dialog")
    await dialog.locator("input").first.fill(name)
    await dialog.get_by_role("button", name="Rename").click()
    await page.wait_for_url(f"**/{name}")
    await expect(page.locator(".lm-TabBar-tab.jp-mod-dirty")).to_have_count(0, timeout=START_TIMEOUT_MS)


async def test_one_trains_leaves_is_culled_returns_and_goes_on(deployment, engine, page, tmp_path):
    await sign_in(page, deployment.url, "admin", deployment.password)
    await start_server(page, deployment.url, "Notebook")
    await wait_for_lab(page)
    await new_notebook(page)
    await run_cell(page, MODEL)
    assert (await run_cell(page, TRAIN)).startswith("100 ")
    await save_as(page, "training.ipynb")
    notebook = page.url
    await page.goto("about:blank")
    await culled(engine, deployment.data_dir)

    await start_server(page, deployment.url, "Notebook")
    await page.wait_for_url("**/lab**", timeout=START_TIMEOUT_MS)
    if page.url != notebook:
        await page.goto(notebook)
    await expect(page.locator(".jp-NotebookPanel:visible .jp-CodeCell")).to_have_count(3, timeout=START_TIMEOUT_MS)
    shown = await run_cell(page, GO_ON)
    assert "200 True 200.0" in shown
    assert "stream" in shown and "a generator can't be kept" in shown
    await screenshot(page, "variables-are-back", tmp_path)
