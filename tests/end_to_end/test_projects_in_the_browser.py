"""Projects as people see them: below a cell, and on the service's own pages after signing in to the hub."""

import re

import pytest
from playwright.async_api import async_playwright, expect

from support.browser import ARGUMENTS, CHROMIUM, new_notebook, run_cell, screenshot, sign_in, wait_for_lab
from support.hub import remove_local_servers
from support.up import up

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]


@pytest.fixture
def deployment(tmp_path):
    running = up(tmp_path, "--spawner=local").start()
    yield running
    running.ctrl_c()
    remove_local_servers(running.data_dir)


@pytest.fixture
async def page():
    async with async_playwright() as playwright:
        chromium = await playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        context = await chromium.new_context(viewport={"width": 1280, "height": 800})
        yield await context.new_page()
        await chromium.close()


async def test_a_project_is_made_published_and_forked_and_its_lineage_drawn(deployment, page, tmp_path):
    await sign_in(page, deployment.url, "admin", deployment.password)
    await page.goto(f"{deployment.url}/hub/spawn")
    if "/hub/spawn" in page.url and await page.get_by_role("button", name="Start").count():
        await page.get_by_role("button", name="Start").click()
    await wait_for_lab(page)
    await new_notebook(page)
    await run_cell(page, '%project create faces --template training --description "Whose <b>face</b> is it?"')
    await run_cell(page, "%cd -q ~/projects/faces")
    assert "admin/faces" in await run_cell(page, "%project publish --hub")
    await run_cell(page, "%fork admin/faces as colours")
    await run_cell(page, "%fork admin/colours as sepia")
    await run_cell(page, "%project lineage")
    await expect(page.locator(".jp-OutputArea svg text", has_text="admin/sepia")).to_be_visible()
    await run_cell(page, "%project history")
    await run_cell(page, "%project list")
    await screenshot(page, "projects-in-a-notebook", tmp_path)

    # The hub's own sign-in is enough.
    await page.goto(f"{deployment.url}/services/regrow/")
    await expect(page.get_by_role("link", name="admin/faces")).to_be_visible()
    await expect(page.get_by_text("Whose <b>face</b> is it?").first).to_be_visible()
    await page.get_by_role("link", name="admin/faces").click()
    await expect(page.locator("svg text", has_text="admin/sepia")).to_be_visible()
    await screenshot(page, "lineage", tmp_path)
    await page.goto(f"{deployment.url}/services/regrow/projects/nobody/nothing")
    await expect(page.get_by_text("There is no project nobody/nothing that you can see")).to_be_visible()


async def test_a_page_asks_who_one_is_and_comes_back(deployment, page):
    await page.goto(f"{deployment.url}/services/regrow/?search=faces")
    await expect(page).to_have_url(re.compile("/hub/login"))
    await page.fill("input[name=username]", "admin")
    await page.fill("input[name=password]", deployment.password)
    await page.click("#login_submit")
    await expect(page.get_by_role("heading", name="Projects")).to_be_visible()


async def test_an_answer_to_nobodys_question_signs_nobody_in(deployment, page):
    answer = await page.goto(f"{deployment.url}/services/regrow/oauth_callback?code=x&state=y")
    assert answer.status == 400
    assert "Open the page again" in await answer.text()
