"""`regrow smoke`: does a deployment work? A throwaway user's whole session, each step timed.

The user is removed at the end, whatever happened on the way.
"""

from __future__ import annotations

import asyncio
import secrets
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from traitlets import Bool, Float, Unicode

from regrow.hub_config.client_app import HubClientApp, UsageError, run_until_signal
from regrow.hub_config.hub_api import HubAPI, HubAPIError, Model

CLEAN_UP_TIMEOUT_S = 120

Report = Callable[[str], None]
"""Called with each line of the table as it is known."""


class SmokeFailure(Exception):
    """A step that failed, and why."""


def new_user_name() -> str:
    """A name that no user has."""
    return f"regrow-smoke-{secrets.token_hex(4)}"


async def smoke(
    hub: HubAPI,
    user: str,
    *,
    options: Model | None = None,
    keep: bool = False,
    start_timeout_s: float = 300,
    report: Report = print,
) -> None:
    """Make `user`, run a cell on a server of theirs, and remove them, reporting each step's time.

    Raises SmokeFailure with the failed step and its cause. The user is removed also then, and when the caller
    is cancelled, unless `keep`; a user who existed before is left alone.
    """
    started = time.perf_counter()
    report(f"{'step':<18} {'seconds':>8}   result")
    ours = False
    try:
        async with _step("reach the hub", report) as said:
            said.append(f"JupyterHub {(await hub.request('GET', '', doing='reach the hub'))['version']}")
        async with _step("make the user", report) as said:
            # From here on the user may exist, also if the answer never arrives.
            ours = True
            try:
                await hub.create_user(user)
            except HubAPIError as error:
                ours = error.status is None
                raise
            said.append(user)
        async with _step("start the server", report) as said:
            events = await hub.start_server(user, options, timeout_s=start_timeout_s)
            said.append(events[-1]["message"])
        async with _step("start a kernel", report) as said:
            kernel_id = await hub.start_kernel(user)
            said.append(kernel_id)
        async with _step("run a cell", report) as said:
            said.append(await _run_a_cell(hub, user, kernel_id))
        if keep:
            report(f"{user} and their server are kept, as asked for with --keep.")
            return
        async with _step("stop the server", report) as said:
            await hub.stop_server(user)
            said.append("stopped")
        async with _step("remove the user", report) as said:
            await hub.delete_user(user)
            ours = False
            said.append("removed")
        report(f"{'all':<18} {time.perf_counter() - started:8.2f}   this deployment works")
    finally:
        if ours and not keep:
            await _clean_up(hub, user, report)


async def _run_a_cell(hub: HubAPI, user: str, kernel_id: str) -> str:
    """Run a cell whose answer only a kernel can know; returns the cell and its answer."""
    left, right = secrets.randbelow(10**6), secrets.randbelow(10**6)
    code = f"print('in a kernel'); {left} * {right}"
    result = await hub.run_cell(user, code, kernel_id=kernel_id)
    if result.error:
        raise HubAPIError(f"The cell `{code}` raised {result.error}.")
    if (result.stdout, result.value) != ("in a kernel\n", str(left * right)):
        raise HubAPIError(f"The cell `{code}` answered {result.value!r} and printed {result.stdout!r}, which is wrong.")
    return f"{left} * {right} = {result.value}"


@asynccontextmanager
async def _step(name: str, report: Report) -> AsyncIterator[list[str]]:
    """Time a step and report it as one line; what is appended to the list is its result."""
    said: list[str] = []
    started = time.perf_counter()
    try:
        yield said
    except HubAPIError as error:
        report(f"{name:<18} {time.perf_counter() - started:8.2f}   FAILED")
        raise SmokeFailure(f"Failed to {name}. {error}") from error
    except asyncio.CancelledError:
        report(f"{name:<18} {time.perf_counter() - started:8.2f}   interrupted")
        raise
    report(f"{name:<18} {time.perf_counter() - started:8.2f}   {' '.join(said)}")


async def _clean_up(hub: HubAPI, user: str, report: Report) -> None:
    started = time.perf_counter()
    try:
        await hub.delete_user(user, CLEAN_UP_TIMEOUT_S)
    except HubAPIError as error:
        if error.status != 404:
            report(
                f"{user} and their server could not be removed: {error} "
                f"Remove them on the hub's admin page, {hub.url}/hub/admin."
            )
        return
    except asyncio.CancelledError:
        report(f"{user} and their server may still be there. Remove them on {hub.url}/hub/admin.")
        raise
    report(f"{'clean up':<18} {time.perf_counter() - started:8.2f}   {user} and their server are removed")


class SmokeApp(HubClientApp):
    """Run a throwaway user's whole session on a running hub and print each step's time.

    Exit status 1 with the cause when a step fails, 2 for bad usage.
    """

    name = "regrow smoke"
    description = (
        "Run a throwaway user's whole session on a hub: make the user, start their server, run a cell, "
        "stop it, remove the user. Each step's time is printed. The exit status is 1 when a step fails."
    )
    examples = """
    regrow smoke                                                # the hub that `regrow up` runs here
    regrow smoke --profile=gpu                                  # with one of its profiles
    REGROW_API_TOKEN=... regrow smoke --url=https://hub.example # any JupyterHub
    """

    profile = Unicode(help="The profile to start the server with. Default: the hub's first.").tag(config=True)
    keep = Bool(False, help="Leave the user and their server there at the end.").tag(config=True)
    start_timeout_s = Float(300, min=1, help="Seconds that the server may take until it is ready.").tag(config=True)

    aliases = {
        **HubClientApp.aliases,
        "profile": "SmokeApp.profile",
        "start-timeout-s": "SmokeApp.start_timeout_s",
    }
    flags = {"keep": ({"SmokeApp": {"keep": True}}, "Leave the user and their server there at the end.")}
    classes: list[Any] = []

    def initialize(self, argv: list[str] | None = None) -> None:
        super().initialize(argv)
        if self.extra_args:
            self.fail(f"{self.extra_args[0]!r} is one argument too many. See `regrow smoke --help`.", 2)

    def start(self) -> None:
        """Run it; ends the process with the exit status."""
        try:
            hub = HubAPI(self.url, self.read_token())
        except (UsageError, HubAPIError) as error:
            self.fail(str(error), 2)
        sys.exit(run_until_signal(self._run(hub)))

    async def _run(self, hub: HubAPI) -> int:
        user = new_user_name()
        print(f"{self.name}: {user} on {hub.url}", flush=True)
        async with hub:
            try:
                await smoke(
                    hub,
                    user,
                    options={"profile": self.profile} if self.profile else None,
                    keep=self.keep,
                    start_timeout_s=self.start_timeout_s,
                    report=lambda line: print(line, flush=True),
                )
            except SmokeFailure as failure:
                print(f"{self.name}: {failure}", file=sys.stderr)
                return 1
        return 0
