"""Whatever stops a kernel, it is asked to save first, once, and not for longer than there is time."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time

import pytest

from support.notebook_server import until

BUSY = "import time\nwhile True: time.sleep(0.1)"
STUBBORN = """
import time
while True:
    try:
        time.sleep(0.1)
    except KeyboardInterrupt:
        pass
"""


def seconds(started: float) -> float:
    return time.monotonic() - started


def test_a_kernel_that_its_user_shuts_down_saves_first(server, asked):
    with server() as running:
        session = running.open("a.ipynb", "stand-in")
        running.request("DELETE", f"/api/kernels/{session['kernel']['id']}", expect=204)
        assert [event["event"] for event in asked.events()] == ["started", "save", "saved"]
        assert asked.events("save")[0]["reason"] == "shutdown"
        session = running.open("b.ipynb", "stand-in")
        running.request("DELETE", f"/api/sessions/{session['id']}", expect=204)
        assert asked.reasons() == ["shutdown", "shutdown"]


def test_a_kernel_that_two_shut_down_at_once_saves_once(server, asked):
    with server() as running:
        session = running.open("a.ipynb", "stand-in")
        kernel = session["kernel"]["id"]
        asyncio.run(running.run(kernel, "SAVE_S = 2"))
        curl = [
            "curl",
            "-s",
            "-X",
            "DELETE",
            "-H",
            "Authorization: token secret",
            f"{running.url}/api/kernels/{kernel}",
        ]
        both = [subprocess.Popen(curl) for _ in range(2)]
        assert [process.wait(60) for process in both] == [0, 0]
        assert asked.reasons() == ["shutdown"]


def test_an_idle_kernel_that_is_culled_saves_first(server, asked):
    with server(REGROW_KERNEL_IDLE_TIMEOUT_S="2") as running:
        running.open("a.ipynb", "stand-in")
        until(lambda: running.request("GET", "/api/kernels").json() == [], "it is culled")
        assert [event["event"] for event in asked.events()] == ["started", "save", "saved"]
        assert asked.reasons() == ["cull"]


def test_a_kernel_that_is_used_again_while_it_saves_is_not_culled(server, asked):
    async def use(running, kernel):
        await running.run(kernel, "SAVE_S = 5")
        await asyncio.to_thread(asked.wait, "save")
        assert (await running.run(kernel, "6 * 7")).value == "42"
        await asyncio.to_thread(asked.wait, "saved")
        assert (await running.run(kernel, "6 * 7")).value == "42"

    with server(REGROW_KERNEL_IDLE_TIMEOUT_S="3") as running:
        session = running.open("a.ipynb", "stand-in")
        asyncio.run(use(running, session["kernel"]["id"]))
        assert "is in use again: it is not culled" in running.said


def test_nothing_is_culled_unless_the_administrator_says_so_and_users_have_the_last_word(server, asked):
    with server() as running:
        kernel = running.open("a.ipynb", "stand-in")["kernel"]["id"]
        time.sleep(4)
        running.request("GET", f"/api/kernels/{kernel}")
    with server("--MappingKernelManager.cull_idle_timeout=3600", REGROW_KERNEL_IDLE_TIMEOUT_S="1") as running:
        kernel = running.open("a.ipynb", "stand-in")["kernel"]["id"]
        time.sleep(4)
        running.request("GET", f"/api/kernels/{kernel}")
    assert "cull" not in asked.reasons()


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT, "POST"])
def test_all_kernels_save_at_once_when_the_server_stops(server, asked, stop):
    with server() as running:
        for name in "abc":
            kernel = running.open(f"{name}.ipynb", "stand-in")["kernel"]["id"]
            asyncio.run(running.run(kernel, "SAVE_S = 4"))
        if stop == "POST":
            running.request("POST", "/api/shutdown")
        else:
            running.process.send_signal(stop)
        assert running.process.wait(60) == 0
        assert asked.reasons() == ["stop", "stop", "stop"]
        assert [event["event"] for event in asked.events()[3:]] == ["save"] * 3 + ["saved"] * 3


def test_a_second_signal_does_not_cut_off_what_is_being_saved(server, asked):
    with server() as running:
        kernel = running.open("a.ipynb", "stand-in")["kernel"]["id"]
        asyncio.run(running.run(kernel, "SAVE_S = 4"))
        running.process.send_signal(signal.SIGINT)
        asked.wait("save")
        for again in (signal.SIGTERM, signal.SIGINT):
            time.sleep(0.5)
            running.process.send_signal(again)
        running.process.wait(60)
        assert asked.reasons() == ["stop"]
        assert len(asked.events("saved")) == 1


def test_a_kernel_that_hangs_does_not_hold_a_stop_for_longer_than_there_is_time(server, asked):
    with server(REGROW_STOP_GRACE_S="10") as running:
        hung = running.open("hung.ipynb", "stand-in")
        slow = running.open("slow.ipynb", "stand-in")
        running.open("well.ipynb", "stand-in")
        asked.wait("started", 3)
        asyncio.run(running.run(slow["kernel"]["id"], "SAVE_S = 600"))
        pid = next(event["pid"] for event in asked.events("started") if event["notebook"].endswith("hung.ipynb"))
        os.kill(pid, signal.SIGSTOP)
        assert running.state(hung["kernel"]["id"]) in ("idle", "starting")
        started = time.monotonic()
        running.process.terminate()
        assert running.process.wait(60) == 0
        assert 7 < seconds(started) < 40, "eight seconds to save, five to end the kernels"
        assert sorted(asked.reasons()) == ["stop", "stop"]
        assert len(asked.events("saved")) == 1
        assert running.said.count("did not save before it stopped") == 2
        assert "The last autosave serves" in running.said


def test_somebody_who_shuts_a_hung_kernel_down_does_not_wait_for_it_to_the_end(server, asked):
    with server(REGROW_STOP_GRACE_S="300") as running:
        kernel = running.open("hung.ipynb", "stand-in")["kernel"]["id"]
        os.kill(asked.wait("started")[0]["pid"], signal.SIGSTOP)
        started = time.monotonic()
        running.request("DELETE", f"/api/kernels/{kernel}", expect=204)
        assert seconds(started) < 60


def test_a_busy_kernel_is_interrupted_before_it_saves(server, asked):
    with server() as running:
        session = running.open("a.ipynb", "stand-in")
        asyncio.run(start(running, session["kernel"]["id"], f"try:\n  exec({BUSY!r})\nfinally:\n  RAN = 'to its end'"))
        running.process.terminate()
        assert running.process.wait(60) == 0
        assert [save["ran"] for save in asked.events("save")] == ["to its end"]


def test_a_cell_that_does_not_end_when_interrupted_is_saved_in_its_middle(server, asked):
    with server() as running:
        session = running.open("a.ipynb", "stand-in")
        asyncio.run(start(running, session["kernel"]["id"], f"RAN = 'half'\n{STUBBORN}"))
        running.process.terminate()
        assert running.process.wait(60) == 0
        assert [save["ran"] for save in asked.events("save")] == ["half"]


@pytest.mark.parametrize("kernel", ["bare", "other-language"])
def test_kernels_without_our_extension_stop_as_ever(server, asked, kernel):
    with server(REGROW_STOP_GRACE_S="300") as running:
        shut, left = running.open("a.ipynb", kernel), running.open("b.ipynb", kernel)
        for session in (shut, left):
            assert asyncio.run(running.run(session["kernel"]["id"], "6 * 7")).value == "42"
        started = time.monotonic()
        running.request("DELETE", f"/api/kernels/{shut['kernel']['id']}", expect=204)
        running.process.terminate()
        assert running.process.wait(60) == 0
        assert seconds(started) < 60
        assert asked.reasons() == []
        assert "did not save" not in running.said


def test_what_a_kernel_could_not_save_is_in_the_servers_log(server, asked):
    with server() as running:
        kernel = running.open("a.ipynb", "stand-in")["kernel"]["id"]
        asyncio.run(running.run(kernel, "SAVED = False"))
        running.process.terminate()
        assert running.process.wait(60) == 0
        assert f"The kernel {kernel} did not save before it stopped. 3 variables." in running.said


def test_a_kernel_that_ends_while_it_saves_is_not_waited_for(server, asked):
    with server(REGROW_STOP_GRACE_S="300") as running:
        kernel = running.open("a.ipynb", "stand-in")["kernel"]["id"]
        asyncio.run(running.run(kernel, "SAVE_S = 600"))
        running.process.terminate()
        os.kill(asked.wait("save")[0]["pid"], signal.SIGKILL)
        assert running.process.wait(60) == 0


def test_a_restart_that_somebody_asks_for_saves_and_makes_a_clean_kernel(server, asked):
    with server() as running:
        kernel = running.open("a.ipynb", "stand-in")["kernel"]["id"]
        asked.wait("started")
        running.request("POST", f"/api/kernels/{kernel}/restart")
        assert asked.reasons() == ["restart"]
        assert [event["restore"] for event in asked.wait("started", 2)] == [None, "no"]

        # What has crashed is to have its variables back, also after such a restart.
        os.kill(asked.events("started")[-1]["pid"], signal.SIGKILL)
        assert asked.wait("started", 3)[2]["restore"] != "no"
        assert {event["notebook"] for event in asked.events("started")} == {str(running.root / "a.ipynb")}
        assert asked.reasons() == ["restart"]


def test_a_kernel_that_saves_for_long_is_restarted_soon(server, asked):
    with server("--RegrowExtension.restart_timeout_s=2", REGROW_STOP_GRACE_S="300") as running:
        kernel = running.open("a.ipynb", "stand-in")["kernel"]["id"]
        asyncio.run(running.run(kernel, "SAVE_S = 600"))
        started = time.monotonic()
        running.request("POST", f"/api/kernels/{kernel}/restart")
        assert seconds(started) < 60
        assert asyncio.run(running.run(kernel, "6 * 7")).value == "42"


def test_being_asked_to_save_is_not_using_a_kernel(server, asked):
    with server() as running:
        running.new_notebook("a.ipynb")
        kernel = running.open("a.ipynb", "stand-in")["kernel"]["id"]
        asyncio.run(running.run(kernel, "1"))
        before = running.request("GET", f"/api/kernels/{kernel}").json()["last_activity"]
        running.request("POST", "/regrow/api/state", params={"path": "a.ipynb"})
        time.sleep(0.5)
        after = running.request("GET", f"/api/kernels/{kernel}").json()
        assert (after["last_activity"], after["execution_state"]) == (before, "idle")


OWN_MANAGER = """
from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager
class Own(AsyncMappingKernelManager):
    async def shutdown_kernel(self, kernel_id, now=False, restart=False):
        self.log.warning("Own's shutdown")
        await super().shutdown_kernel(kernel_id, now=now, restart=restart)
"""


def test_a_manager_of_ones_own_stays_in_charge(server, asked, tmp_path):
    (tmp_path / "own_manager.py").write_text(OWN_MANAGER)
    own = "--ServerApp.kernel_manager_class=own_manager.Own"
    with server(own, PYTHONPATH=str(tmp_path)) as running:
        kernel = running.open("a.ipynb", "stand-in")["kernel"]["id"]
        running.request("DELETE", f"/api/kernels/{kernel}", expect=204)
        assert asked.reasons() == ["shutdown"]
        assert "Own's shutdown" in running.said


async def start(running, kernel, code):
    """Start a cell and come back when it runs."""
    task = asyncio.create_task(running.run(kernel, code))
    while running.state(kernel) != "busy":
        await asyncio.sleep(0.1)
    await asyncio.sleep(0.5)
    task.cancel()
