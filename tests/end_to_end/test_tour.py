"""README's tour, as written there: `regrow up`, a browser, two people."""

import asyncio
import contextlib
import re
import secrets
from pathlib import Path

import pytest
from playwright.async_api import async_playwright, expect

from support.browser import (
    ARGUMENTS,
    CHROMIUM,
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


@pytest.fixture(scope="module")
def deployment(notebook_image, tmp_path_factory):
    """What `make up` starts on a machine with an engine."""
    name = f"regrow-test-{secrets.token_hex(3)}"
    running = up(tmp_path_factory.mktemp("tour"), f"--name={name}", "--spawner=docker").start()
    yield running
    running.ctrl_c()
    remove_containers(running.data_dir, name)


@pytest.fixture(scope="module")
async def browser():
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield chromium
        await chromium.close()


@pytest.fixture
async def page(browser):
    context = await browser.new_context(viewport={"width": 1280, "height": 800})
    yield await context.new_page()
    await context.close()


def as_written(pattern):
    """The one piece of README's tour that `pattern` finds."""
    readme = Path(__file__).parents[2] / "README.md"
    (piece,) = re.findall(pattern, readme.read_text(), re.MULTILINE | re.DOTALL)
    return piece


def pause_the_next(engine, starts):
    """Pause the container that starts next, and return it."""
    with contextlib.closing(starts):
        container = engine.containers.get(next(starts)["id"])
    container.pause()
    return container


async def test_an_administrator_signs_in_takes_a_profile_and_works_in_a_container(deployment, engine, page, tmp_path):
    await page.goto(f"{deployment.url}/hub/login")
    await screenshot(page, "sign-in", tmp_path)
    await sign_in(page, deployment.url, "admin", deployment.password)
    await page.goto(f"{deployment.url}/hub/spawn")
    await expect(page.get_by_text("JupyterLab with a C++ toolchain")).to_be_visible()
    await screenshot(page, "profiles", tmp_path)
    # A server that is ready within a second is shown at once: this one has to wait, so that its progress can be seen.
    starts = engine.events(
        decode=True, filters={"event": "start", "label": f"io.regrow.data-dir={deployment.data_dir}"}
    )
    pausing = asyncio.create_task(asyncio.to_thread(pause_the_next, engine, starts))
    await start_server(page, deployment.url, "Notebook")
    container = await pausing
    await expect(page.get_by_text(re.compile("Making a container|Waiting for JupyterLab")).first).to_be_visible()
    await screenshot(page, "progress", tmp_path)
    container.unpause()
    await wait_for_lab(page)
    await new_notebook(page)
    assert "sum: 55" in await run_cell(page, as_written(r"^```\n(%%cpp\n.*?)\n```$"))
    assert (await run_cell(page, "!sudo whoami")).strip() == "root"
    no_gpu = (
        "No NVIDIA GPU is visible to this server. To get one, stop the server (File > Hub Control Panel) and "
        "start it with a profile that has a GPU. (The driver says: NVML Shared Library Not Found.)"
    )
    assert (await run_cell(page, "%gpu")).strip() == no_gpu
    torch = "import torch\nx = torch.linspace(0, 1, 5, requires_grad=True)\n(x ** 2).sum().backward()\nx.grad"
    assert "tensor([0.0" in await run_cell(page, torch)
    await screenshot(page, "notebook", tmp_path)
    await run_cell(page, as_written(r"`(!sudo apt-get [^`]*)`"), timeout_ms=240_000)
    assert (await run_cell(page, "!tree --version")).startswith("tree v")


async def test_a_second_person_signs_up_waits_for_the_administrator_and_gets_in(deployment, browser, page, tmp_path):
    password = secrets.token_urlsafe(12)
    await page.goto(f"{deployment.url}/hub/signup")
    await page.fill("input[name=username]", "alice")
    await page.fill("input[name=signup_password]", password)
    await page.fill("input[name=signup_password_confirmation]", password)
    await page.get_by_role("button", name=re.compile("Create User", re.I)).click()
    await expect(page.get_by_text(re.compile("information has been sent|authorize", re.I)).first).to_be_visible()

    admin = await (await browser.new_context(viewport={"width": 1280, "height": 800})).new_page()
    await sign_in(admin, deployment.url, "admin", deployment.password)
    await admin.goto(f"{deployment.url}/hub/home")
    await admin.get_by_role("link", name=re.compile("Authorize Users", re.I)).click()
    await admin.locator("tr", has_text="alice").get_by_role("button", name="Authorize").click()
    await sign_in(page, deployment.url, "alice", password)
    await start_server(page, deployment.url, "Notebook")
    await wait_for_lab(page)
    await admin.goto(f"{deployment.url}/hub/admin")
    await expect(admin.get_by_text("alice").first).to_be_visible()
    await screenshot(admin, "admin", tmp_path)
    await admin.context.close()


async def test_a_forged_form_is_refused_on_the_page(deployment, page, tmp_path):
    await sign_in(page, deployment.url, "admin", deployment.password)
    await page.goto(f"{deployment.url}/hub/home")
    stop = page.get_by_role("button", name="Stop My Server")
    if await stop.is_visible():
        await stop.click()
        await expect(stop).to_be_hidden(timeout=60_000)
    await page.goto(f"{deployment.url}/hub/spawn")
    forge = "document.querySelector('input[name=profile]').value = '<img src=x onerror=document.title=1>'"
    await page.evaluate(forge)
    async with page.expect_response(lambda response: response.request.method == "POST") as answered:
        await page.get_by_role("button", name="Start").click()
    assert (await answered.value).status == 400
    message = page.locator(".spawn-error-msg")
    await expect(message).to_contain_text("There is no profile '<img src=x onerror=document.title=1>' for you")
    assert await page.title() != "1"
    await screenshot(page, "refused", tmp_path)


async def test_a_hub_stopped_with_ctrl_c_leaves_servers_and_the_next_up_finds_them(deployment, page):
    await sign_in(page, deployment.url, "admin", deployment.password)
    await start_server(page, deployment.url, "Notebook")
    await page.wait_for_url("**/lab**")
    # JupyterLab would open again what was open before.
    await page.goto(f"{deployment.url}/user/admin/lab?reset")
    await wait_for_lab(page)
    await new_notebook(page)
    await run_cell(page, "kept = 'through a restart of the hub'")
    deployment.ctrl_c()
    deployment.start()
    assert deployment.output.count("password ") == 1
    await page.reload()
    await expect(page.locator(".jp-NotebookPanel .jp-Cell").first).to_be_visible(timeout=60_000)
    assert "through a restart" in await run_cell(page, "print(kept)")
