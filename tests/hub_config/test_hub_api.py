"""The client of the hub's REST API, against a real hub."""

import asyncio

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jupyter_server.services.kernels.connection.base import (
    deserialize_msg_from_ws_v1,
    serialize_msg_to_ws_v1,
)
from tiny_hub import TinyHub

from regrow.hub_config.hub_api import HubAPI, HubAPIError
from regrow.hub_config.kernel_protocol import decode_message, encode_message


async def test_a_server_is_started_used_and_stopped(hub: HubAPI) -> None:
    seen: list[str] = []
    await hub.create_user("ann")
    events = await hub.start_server("ann", on_progress=lambda event: seen.append(event["message"]))
    assert seen == [event["message"] for event in events]
    assert "Making room" in seen and events[-1]["ready"]
    assert (await hub.server_model("ann"))["ready"]

    first = await hub.run_cell("ann", "import sys; print('out'); print('err', file=sys.stderr); x = 6; x * 7")
    assert (first.stdout, first.stderr, first.value, first.error) == ("out\n", "err\n", "42", None)
    assert 0 < first.seconds < 60
    again = await hub.run_cell("ann", "x")
    assert again.value == "6", "the second cell did not run in the first one's kernel"
    other = await hub.start_kernel("ann")
    assert (await hub.run_cell("ann", "x", kernel_id=other)).error == "NameError: name 'x' is not defined"
    shown = await hub.run_cell("ann", "from IPython.display import HTML; display(HTML('<b>hi</b>'))")
    assert shown.displays[0]["text/html"] == "<b>hi</b>"
    updated = await hub.run_cell("ann", "display('one', display_id='x').update('two'); display('three')")
    assert [each["text/plain"] for each in updated.displays] == ["'two'", "'three'"]

    await hub.stop_server("ann")
    assert (await hub.server_model("ann"))["stopped"]
    await hub.stop_server("ann")  # a server that does not run is left as it is
    await hub.delete_user("ann")
    with pytest.raises(HubAPIError, match="Could not find user ann: the hub answered 404"):
        await hub.user_model("ann")


async def test_a_named_server_has_a_life_of_its_own(hub: HubAPI) -> None:
    await hub.create_user("ben")
    await hub.start_server("ben", server_name="second")
    assert (await hub.run_cell("ben", "1 + 1", server_name="second")).value == "2"
    assert list((await hub.user_model("ben"))["servers"]) == ["second"]
    await hub.delete_user("ben")


async def test_a_failed_spawn_is_an_error_with_the_spawners_words(hub: HubAPI) -> None:
    await hub.create_user("cat")
    with pytest.raises(HubAPIError, match=r"Could not start cat's server: .*regrow/nowhere is not on this"):
        await hub.start_server("cat", {"profile": "broken"})
    await hub.start_server("cat")  # and the next one works
    with pytest.raises(HubAPIError, match=r"already running"):
        await hub.start_server("cat")
    await hub.delete_user("cat")


async def test_a_server_that_is_not_ready_in_time_can_be_stopped(hub: HubAPI) -> None:
    await hub.create_user("dan")
    with pytest.raises(HubAPIError, match=r"within 2 s. The last that was heard: Starting the server"):
        await hub.start_server("dan", {"profile": "slow"}, timeout_s=2)
    await hub.delete_user("dan")
    assert not [user for user in await hub.request("GET", "users") if user["name"] == "dan"]


async def test_a_kernel_that_dies_is_an_error_and_not_a_wait(hub: HubAPI) -> None:
    await hub.create_user("eve")
    await hub.start_server("eve")
    with pytest.raises(HubAPIError, match=r"its kernel died"):
        await hub.run_cell("eve", "import os; os._exit(1)")
    await hub.delete_user("eve")


async def test_a_cell_that_takes_too_long_is_an_error(hub: HubAPI) -> None:
    await hub.create_user("fay")
    await hub.start_server("fay")
    await hub.run_cell("fay", "1")
    with pytest.raises(HubAPIError, match=r"within 1 s. If the cell had started, it goes on running"):
        await hub.run_cell("fay", "import time; time.sleep(3)", timeout_s=1)
    await hub.delete_user("fay")


async def test_the_token_for_a_server_is_narrow_and_revoked(a_hub: TinyHub) -> None:
    async with HubAPI(a_hub.url, a_hub.token) as hub:
        await hub.create_user("gil")
        await hub.start_server("gil")
        await hub.run_cell("gil", "1")
        tokens = await hub.request("GET", "users/gil/tokens")
        (ours,) = [token for token in tokens["api_tokens"] if token["note"] == "regrow: to run cells"]
        assert [scope for scope in ours["scopes"] if "access" in scope] == ["access:servers!server=gil/"]
    async with HubAPI(a_hub.url, a_hub.token) as hub:
        tokens = await hub.request("GET", "users/gil/tokens")
        assert ours["id"] not in [token["id"] for token in tokens["api_tokens"]]
        await hub.delete_user("gil")


async def test_the_hub_being_down_and_a_wrong_token_are_told_apart(a_hub: TinyHub) -> None:
    async with HubAPI("http://127.0.0.1:9", a_hub.token) as hub:
        with pytest.raises(HubAPIError, match=r"http://127.0.0.1:9 could not be reached.*`regrow up`") as down:
            await hub.create_user("hal")
    assert down.value.status is None
    async with HubAPI(a_hub.url, "wrong") as hub:
        with pytest.raises(HubAPIError, match=r"answered 403: .* Check the token") as wrong:
            await hub.create_user("hal")
    assert wrong.value.status == 403
    async with HubAPI(a_hub.url, a_hub.weak_token) as hub:
        with pytest.raises(HubAPIError, match=r"answered 403: Action is not authorized .*admin:users"):
            await hub.create_user("hal")


async def test_an_answer_that_is_no_hubs_is_an_error() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\n<html>")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server, HubAPI(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", "token") as hub:
        with pytest.raises(HubAPIError, match=r"not as a JupyterHub does. Check the URL"):
            await hub.user_model("ann")


def test_what_is_no_url_is_refused() -> None:
    for url in ("", "127.0.0.1:8000", "ftp://hub", "http://"):
        with pytest.raises(HubAPIError, match=r"is not the URL of a hub"):
            HubAPI(url, "token")


async def test_a_name_with_a_slash_stays_one_name(hub: HubAPI) -> None:
    with pytest.raises(HubAPIError) as error:
        await hub.user_model("../groups/staff")
    assert error.value.status in (400, 404)


async def test_secrets_are_neither_in_reprs_nor_in_errors(a_hub: TinyHub, hub: HubAPI) -> None:
    await hub.create_user("ida")
    minted = await hub.mint_token("ida", ["read:users:name!user"], 60, "a test")
    assert minted.token not in repr(minted)
    async with httpx.AsyncClient(trust_env=False) as client:
        me = await client.get(f"{a_hub.url}/hub/api/user", headers={"Authorization": f"token {minted.token}"})
    assert me.json()["name"] == "ida"
    with pytest.raises(HubAPIError) as error:
        await hub.mint_token("ida", ["admin:users"])
    assert a_hub.token not in str(error.value)
    await hub.delete_user("ida")


JSON = st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=20) | st.none(), max_size=4)


@given(JSON, JSON, st.binary(max_size=64))
def test_messages_are_those_of_jupyter_server(header: dict, content: dict, buffer: bytes) -> None:
    import json

    header = header | {"msg_type": "stream"}
    channel, pieces = deserialize_msg_from_ws_v1(encode_message("shell", header, {"msg_id": "1"}, {}, content))
    assert channel == "shell"
    assert [json.loads(piece) for piece in pieces] == [header, {"msg_id": "1"}, {}, content]
    frame = serialize_msg_to_ws_v1([*pieces, buffer], "iopub")
    assert decode_message(frame) == ("stream", "1", content)
