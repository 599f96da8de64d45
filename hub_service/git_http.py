"""git's smart HTTP protocol, for stock git: `git http-backend` behind who may do what.

The protocol is git's own (gitprotocol-http). Here is what surrounds it: which refs are shown and written, the quota,
that bodies of any size pass in little memory, and that git does not outlive its client.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from subprocess import PIPE

import anyio
import anyio.to_thread
from anyio.abc import ByteReceiveStream, Process
from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse
from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope, Send

from regrow.hub_service.access import Access, Authorize
from regrow.hub_service.repositories import NO_SETTINGS

#: How long neither side may say a byte (git itself says one every 5 s while it works), and a request may take, in s.
IDLE_S = 300.0
LONGEST_S = 4 * 3600.0
_STOP_S = 2.0
_HEAD_BYTES = 16 * 1024
_PROTOCOL = re.compile(r"[a-z0-9=:._-]{1,100}")

# What `uploadpack.packObjectsHook` runs in place of git with these arguments. States are not each other's ancestors, so
# to git the files of one that the client has are not known to it: they are named.
_PACK = """\
pack() {
  asked=$(cat) || return 1
  CHECK
  known=$(printf '%s\\n' "$asked" | sed '1,/^--not$/d' | sed -n 's/^[0-9a-f]\\{40\\}$/&^{tree}/p' |
    git cat-file --batch-check='%(objecttype) %(objectname)' | sed -n 's/^tree //p')
  printf '%s\\n' "$asked" $known | "$@"
}
pack"""
# Of wants that no branch is at, git checks commits alone to be in the history of one: it would give any file for its
# hash.
_ONLY_COMMITS = """\
kinds=$(printf '%s\\n' "$asked" | sed '/^--not$/q' | grep -v '^--' | git cat-file --batch-check='%(objecttype)') ||
    return 1
  case "$kinds" in *blob* | *tree* | *missing*)
    echo "not our ref: a visitor gets branches and tags" >&2
    return 1 ;;
  esac"""
_FOR_OWNERS = (f"uploadpack.packObjectsHook={_PACK.replace('CHECK', ':')}",)
_FOR_VISITORS = (
    "transfer.hideRefs=refs",
    "transfer.hideRefs=!refs/heads",
    "transfer.hideRefs=!refs/tags",
    f"uploadpack.packObjectsHook={_PACK.replace('CHECK', _ONLY_COMMITS)}",
)

# git runs it before anything of a push is kept. It is one for all: none of it comes from users.
_PRE_RECEIVE = """\
#!/bin/sh
# Refuses a push, whole, that would write a ref which is not the pusher's to write.
while read -r old new ref; do
  case "$ref" in
    refs/heads/published | refs/heads/published/*)
      why="is written by publishing the project. Push to another branch: git push origin HEAD:main" ;;
    refs/heads/* | refs/tags/* | refs/regrow/states/*)
      continue ;;
    *)
      why="can't be pushed: a project has branches (refs/heads/) and tags (refs/tags/)." ;;
  esac
  printf 'Regrow: %s %s\\n' "$ref" "$why" >&2
  refused=1
done
[ -z "$refused" ] && exit 0
echo "Regrow: Nothing of this push is kept." >&2
exit 1
"""
_TOO_LARGE = b"exceeds maximum allowed size"


def git_router(authorize: Authorize, idle_s: float = IDLE_S) -> APIRouter:
    """The three routes that git uses of a repository, for whom `authorize` lets in."""
    router = APIRouter(include_in_schema=False)

    @router.get("/git/{owner}/{name}.git/info/refs")
    async def refs(request: Request, owner: str, name: str) -> Response:
        write = request.query_params.get("service") == "git-receive-pack"
        access = await authorize(request, owner, name, write)
        return await _answer(access, "/info/refs", write, idle_s)

    @router.post("/git/{owner}/{name}.git/git-upload-pack")
    async def fetch(request: Request, owner: str, name: str) -> Response:
        access = await authorize(request, owner, name, False)
        return await _answer(access, "/git-upload-pack", False, idle_s)

    @router.post("/git/{owner}/{name}.git/git-receive-pack")
    async def push(request: Request, owner: str, name: str) -> Response:
        access = await authorize(request, owner, name, True)
        return await _answer(access, "/git-receive-pack", True, idle_s)

    return router


async def _answer(access: Access, path: str, write: bool, idle_s: float) -> Response:
    settings = ["http.getAnyFile=false", f"http.receivePack={str(write).lower()}"]
    settings += _FOR_OWNERS if access.is_owner else _FOR_VISITORS
    if write:
        hooks = await anyio.to_thread.run_sync(_hooks, access.repository)
        settings.append(f"core.hooksPath={hooks}")
        if access.bytes_left is not None:
            # 0 would be no limit.
            settings.append(f"receive.maxInputSize={max(access.bytes_left, 1)}")
    return _GitResponse(access, path, settings, idle_s)


def _hooks(repository: Path) -> Path:
    """The folder of the hook, which is written where it is not there as this version has it."""
    hook = repository / "hooks/pre-receive"
    if not hook.exists() or hook.read_text() != _PRE_RECEIVE:
        hook.parent.mkdir(exist_ok=True)
        descriptor, new = tempfile.mkstemp(dir=hook.parent)
        with os.fdopen(descriptor, "w") as file:
            file.write(_PRE_RECEIVE)
        Path(new).chmod(0o755)
        Path(new).replace(hook)
    if not os.access(hook, os.X_OK):
        # git would leave it out and take the push.
        raise PermissionError(f"{hook} can't be run, so no push can be taken. Is its filesystem mounted with noexec?")
    return hook.parent


class _GitResponse(Response):
    """Runs git when it is asked for: its input is the request's body, its output the response."""

    def __init__(self, access: Access, path: str, settings: list[str], idle_s: float) -> None:
        super().__init__()
        self._access = access
        self._path = path
        self._settings = settings
        self._idle_s = idle_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        command = ["git", *(part for setting in self._settings for part in ("-c", setting)), "http-backend"]
        exchange = _Exchange(send, self._idle_s)
        with exchange.deadline:
            async with _running(command, self._environment(request)) as git, anyio.create_task_group() as tasks:
                tasks.start_soon(exchange.feed, request, git, tasks.cancel_scope)
                await exchange.relay(git)
                tasks.cancel_scope.cancel()
        if exchange.deadline.cancelled_caught and not exchange.started:
            late = PlainTextResponse("The request took too long. Try again.", 408)
            await late(scope, receive, send)

    def _environment(self, request: Request) -> dict[str, str]:
        """What a CGI gets (RFC 3875), and nothing of this process's own."""
        headers = request.headers
        environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "LC_ALL": "C.UTF-8",
            "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_PROJECT_ROOT": str(self._access.repository),
            "PATH_INFO": self._path,
            "REQUEST_METHOD": request.method,
            "QUERY_STRING": request.url.query,
            "CONTENT_TYPE": headers.get("content-type", ""),
            "HTTP_CONTENT_ENCODING": headers.get("content-encoding", ""),
            "REMOTE_USER": self._access.user,
        }
        protocol = headers.get("git-protocol", "")
        # From version 2 on, a client may want any object by its hash, also what no ref it sees has
        # (gitprotocol-v2, "want <oid>"). Version 0 checks that.
        if self._access.is_owner and _PROTOCOL.fullmatch(protocol):
            environment["GIT_PROTOCOL"] = protocol
        return environment | NO_SETTINGS


class _Exchange:
    """One request and its response, while they pass through git."""

    def __init__(self, send: Send, idle_s: float) -> None:
        now = anyio.current_time()
        self._send = send
        self._idle_s = idle_s
        self._end = now + LONGEST_S
        self._fed = anyio.Event()
        self.deadline = anyio.CancelScope(deadline=now + idle_s)
        self.started = False

    async def feed(self, request: Request, git: Process, tasks: anyio.CancelScope) -> None:
        """Give git the request's body, and cancel `tasks` when the client has gone."""
        stdin = git.stdin
        assert stdin
        with contextlib.suppress(ClientDisconnect):
            async for chunk in request.stream():
                # git may have said no already; a client hears that when it has said all.
                with contextlib.suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
                    await stdin.send(chunk)
                self._go_on()
            await stdin.aclose()
            self._fed.set()
            while (await request.receive())["type"] != "http.disconnect":
                pass
        tasks.cancel()

    async def relay(self, git: Process) -> None:
        """Send what git answers."""
        stdout = git.stdout
        assert stdout
        status, headers, body = await _head(stdout)
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        self.started = True
        if body[4:5] == b"\x02":
            # A message, of which the packet's head comes first.
            with contextlib.suppress(anyio.EndOfStream):
                while len(body) < int(body[:4], 16):
                    body += await stdout.receive()
            if _TOO_LARGE in body:
                body = _message("Regrow: This push is larger than what the quota leaves. Nothing of it is kept.") + body
        await self._say(body)
        async for chunk in stdout:
            await self._say(chunk)
        await self._fed.wait()
        await git.wait()
        await self._say(b"", more=False)

    async def _say(self, body: bytes, more: bool = True) -> None:
        self._go_on()
        await self._send({"type": "http.response.body", "body": body, "more_body": more})

    def _go_on(self) -> None:
        self.deadline.deadline = min(anyio.current_time() + self._idle_s, self._end)


async def _head(stdout: ByteReceiveStream) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """The status and headers that a CGI answers, and the first of its body (b"" where it has none)."""
    head, end = b"", -1
    with contextlib.suppress(anyio.EndOfStream):
        while (end := head.find(b"\r\n\r\n")) < 0 and len(head) < _HEAD_BYTES:
            head += await stdout.receive()
        if end + 4 == len(head):
            head += await stdout.receive()
    if end < 0:
        return 500, [(b"content-type", b"text/plain")], b"git could not answer; the hub's log says why.\n"
    fields = [line.partition(b": ") for line in head[:end].split(b"\r\n")]
    headers = [(name.lower(), value) for name, _, value in fields]
    status = int(dict(headers).get(b"status", b"200")[:3])
    return status, [(name, value) for name, value in headers if name != b"status"], head[end + 4 :]


def _message(text: str) -> bytes:
    """What git shows after `remote:`: a packet of band 2 (gitprotocol-common, gitprotocol-pack)."""
    return b"%04x\x02%s\n" % (len(text.encode()) + 6, text.encode())


@contextlib.asynccontextmanager
async def _running(command: list[str], environment: dict[str, str]) -> AsyncIterator[Process]:
    """A process and those it starts, which all end with the block."""
    # Its errors go to the hub's log, of which git keeps control characters out.
    process = await anyio.open_process(
        command, stdin=PIPE, stdout=PIPE, stderr=None, env=environment, start_new_session=True
    )
    stdin, stdout = process.stdin, process.stdout
    assert stdin and stdout
    try:
        yield process
    finally:
        with anyio.CancelScope(shield=True):
            # At the end of its input git removes what it has begun and ends; at a signal it only ends.
            with anyio.move_on_after(_STOP_S) as stopping:
                await stdin.aclose()
                async for _ in stdout:
                    pass
                await process.wait()
            if stopping.cancelled_caught:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
            await process.aclose()
