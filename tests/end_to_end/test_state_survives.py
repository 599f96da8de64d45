"""Variables survive whatever stops their kernel, in containers as in local processes."""

import asyncio
import time

import pytest

from regrow.hub_config.hub_api import HubAPIError

from support.server_notebooks import DEADLINE_S, MAKE, Notebook


async def opened(api, user, path="projects/work/a.ipynb"):
    await api.start_server(user, {})
    notebook = Notebook(api, user, path)
    await notebook.make()
    await notebook.open()
    return notebook


async def test_a_kernel_that_is_shut_down_comes_back_with_its_variables(hub, new_user):
    async with hub.api() as api, new_user(api) as user:
        notebook = await opened(api, user)
        await notebook.run(MAKE % "of the first kernel")
        first = notebook.kernel
        # At once: the autosave waits for a second.
        await notebook.request("DELETE", f"api/kernels/{first}")
        await notebook.open()
        assert notebook.kernel != first
        await notebook.check("of the first kernel")
        status = await notebook.status()
        assert [missing["name"] for missing in status["restored"]["not_restored"]] == ["lost"]
        assert "generator" in status["restored"]["not_restored"][0]["reason"]


async def test_a_server_that_is_stopped_comes_back_with_the_variables_of_all_its_notebooks(hub, new_user):
    async with hub.api() as api, new_user(api) as user:
        one = await opened(api, user)
        two = Notebook(api, user, "other folder/Übung.ipynb")
        await two.make()
        await two.open()
        await one.run(MAKE % "one")
        await two.run(MAKE % "two")
        await api.stop_server(user)
        await api.start_server(user, {})
        for notebook, secret in ((one, "one"), (two, "two")):
            await notebook.open()
            await notebook.check(secret)


async def test_a_stop_in_the_middle_of_a_cell_keeps_what_it_had_done(hub, new_user):
    async with hub.api() as api, new_user(api) as user:
        notebook = await opened(api, user)
        code = "import time\nfor step in range(10**6):\n    if step == 3: secret = 'of the third step'\n    time.sleep(0.1)"
        cell = asyncio.create_task(api.run_cell(user, code, kernel_id=notebook.kernel))
        await asyncio.sleep(3)
        await api.stop_server(user)
        await asyncio.gather(cell, return_exceptions=True)
        await api.start_server(user, {})
        await notebook.open()
        assert await notebook.run("secret") == "'of the third step'"
        assert int(await notebook.run("step")) > 3


async def test_a_kernel_that_is_killed_goes_on_from_the_last_autosave(hub, new_user):
    async with hub.api() as api, new_user(api) as user:
        notebook = await opened(api, user)
        before = time.time()
        await notebook.run(MAKE % "saved")
        await notebook.autosaved(before)
        with pytest.raises(HubAPIError):
            await notebook.run("secret = 'too late'\nimport os, signal\nos.kill(os.getpid(), signal.SIGKILL)", 30)
        end = time.monotonic() + DEADLINE_S
        while True:
            try:
                await notebook.check("saved")
                break
            except HubAPIError:  # it is being started again
                assert time.monotonic() < end
                await asyncio.sleep(0.5)


async def test_a_kernel_that_somebody_restarts_is_clean(hub, new_user):
    async with hub.api() as api, new_user(api) as user:
        notebook = await opened(api, user)
        await notebook.run(MAKE % "before")
        await notebook.request("POST", f"api/kernels/{notebook.kernel}/restart")
        assert await notebook.run("'secret' in globals()") == "False"


async def test_a_notebook_that_is_moved_takes_its_variables_along(hub, new_user):
    async with hub.api() as api, new_user(api) as user:
        notebook = await opened(api, user)
        before = time.time()
        await notebook.run(MAKE % "moved")
        await notebook.autosaved(before)
        await notebook.request("PATCH", "api/contents/projects/work", {"path": "projects/play"})
        await notebook.moved("projects/play/a.ipynb")
        await notebook.run("later = 1")
        await notebook.request("DELETE", f"api/kernels/{notebook.kernel}")

        # Nothing of it is under the name from before, and a copy of the file has no state.
        other = Notebook(api, user, "projects/work/a.ipynb")
        await other.make()
        await other.open()
        assert await other.run("'secret' in globals()") == "False"
        await notebook.open()
        await notebook.check("moved")
        assert await notebook.run("later") == "1"


async def test_a_notebook_that_was_closed_and_is_moved_takes_its_variables_along(hub, new_user):
    async with hub.api() as api, new_user(api) as user:
        notebook = await opened(api, user)
        await notebook.run(MAKE % "moved")
        await notebook.request("DELETE", f"api/kernels/{notebook.kernel}")
        await notebook.request("PATCH", f"api/contents/{notebook.path}", {"path": "projects/b.ipynb"})
        await notebook.moved("projects/b.ipynb")
        await notebook.open()
        await notebook.check("moved")
