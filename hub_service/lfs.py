"""Git LFS for stock git-lfs: the batch API and the `basic` transfer, out of and into the chunk store.

https://github.com/git-lfs/git-lfs/blob/main/docs/api/batch.md and basic-transfers.md beside it. Whether a large file is
there is answered for the project alone: nobody learns from a hash what others have, or gets it.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import AsyncIterator, Callable, Coroutine
from io import BufferedReader
from typing import Annotated, Any, Literal
from urllib.parse import quote

import anyio
import anyio.from_thread
import anyio.to_thread
from fastapi import APIRouter, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, StreamingResponse
from fastapi.routing import APIRoute
from pydantic import BaseModel, Field
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Scope, Send

from regrow.hub_service.access import Access, Authorize, LargeObjects
from regrow.projects.pointers import Pointer
from regrow.store import NotKept, Store, StoreError, StoreFull

#: How long a client may neither send nor take a byte, in seconds.
IDLE_S = 300.0
MOST_JSON_BYTES = 1024 * 1024
#: How many uploads take a thread at once; more wait.
UPLOADS = 16

_BASE = "/git/{owner}/{name}.git/info/lfs"
_READ_BYTES = 1024 * 1024
_RANGE = re.compile(r"bytes=(?:(?P<first>[0-9]{1,18})-(?P<last>[0-9]{1,18})?|-(?P<final>[0-9]{1,18}))")
_log = logging.getLogger(__name__)

Oid = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class LargeObject(BaseModel):
    """A large file by the SHA-256 of its content and its size in bytes."""

    oid: Oid
    size: int = Field(ge=0, lt=2**63)


class Batch(BaseModel):
    """What git-lfs asks for before it transfers anything."""

    operation: Literal["download", "upload"]
    objects: list[LargeObject] = Field(max_length=10_000)
    hash_algo: str = "sha256"


class LfsResponse(JSONResponse):
    """JSON as git-lfs expects it."""

    media_type = "application/vnd.git-lfs+json"


def lfs_router(authorize: Authorize, store: Callable[[], Store]) -> APIRouter:
    """The routes that git-lfs uses of a repository, for whom `authorize` lets in; `store` has the contents."""
    router = APIRouter(route_class=_LfsRoute, default_response_class=LfsResponse, include_in_schema=False)
    uploads = anyio.CapacityLimiter(UPLOADS)

    @router.post(_BASE + "/objects/batch", max_body_size=MOST_JSON_BYTES)
    async def batch(request: Request, owner: str, name: str, asked: Batch) -> dict[str, object]:
        access = await authorize(request, owner, name, asked.operation == "upload")
        if asked.hash_algo != "sha256":
            raise HTTPException(409, "Objects are named by sha256 here, and by nothing else.")
        there = await anyio.to_thread.run_sync(access.large.has, [wanted.oid for wanted in asked.objects])
        if asked.operation == "upload":
            _check_quota(access, sum(wanted.size for wanted in asked.objects if wanted.oid not in there))
        base = _external_url(request).removesuffix("/objects/batch")
        answer = _uploads if asked.operation == "upload" else _downloads
        return {"transfer": "basic", "hash_algo": "sha256", "objects": answer(asked.objects, there, base)}

    @router.put(_BASE + "/objects/{oid}/{size:int}")
    async def upload(request: Request, owner: str, name: str, oid: Oid, size: int) -> dict[str, str]:
        access = await authorize(request, owner, name, True)
        _check_quota(access, size)
        body = _Body(request, size)
        await anyio.to_thread.run_sync(_keep, store, Pointer(oid, size), body, access.large, limiter=uploads)
        await anyio.to_thread.run_sync(access.large.record, oid, size)
        return {"message": "Kept."}

    @router.get(_BASE + "/objects/{oid}")
    async def download(request: Request, owner: str, name: str, oid: Oid) -> Response:
        access = await authorize(request, owner, name, False)
        there = await anyio.to_thread.run_sync(access.large.has, [oid])
        if oid not in there:
            raise HTTPException(404, f"This project has no large file {oid}.")
        size = there[oid]
        part = _part(request.headers.get("range", ""), size)
        content = await anyio.to_thread.run_sync(_open, store, Pointer(oid, size))
        return _content(content, size, part)

    @router.post(_BASE + "/verify", max_body_size=MOST_JSON_BYTES)
    async def verify(request: Request, owner: str, name: str, asked: LargeObject) -> dict[str, str]:
        access = await authorize(request, owner, name, True)
        there = await anyio.to_thread.run_sync(access.large.has, [asked.oid])
        if there.get(asked.oid) != asked.size:
            raise HTTPException(404, f"{asked.oid} of {asked.size} bytes did not arrive. Push again.")
        return {"message": "It is there."}

    @router.api_route(_BASE + "/locks{rest:path}", methods=["GET", "POST"])
    async def locks(rest: str) -> None:
        # At this status git-lfs stops asking, and says nothing.
        raise HTTPException(501, "Files can't be locked on this hub.")

    return router


class _LfsRoute(APIRoute):
    """Says what went wrong as git-lfs shows it to people."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        answer = super().get_route_handler()

        async def handle(request: Request) -> Response:
            try:
                return await answer(request)
            except HTTPException as error:
                return LfsResponse({"message": str(error.detail)}, error.status_code, error.headers)
            except RequestValidationError as error:
                where = ", ".join(".".join(map(str, wrong["loc"])) for wrong in error.errors())
                return LfsResponse({"message": f"The request is not one of git-lfs's: {where}."}, 422)
            except ClientDisconnect:
                return LfsResponse({"message": "The upload ended early. Nothing of it is kept."}, 400)
            except TimeoutError:
                return LfsResponse({"message": f"Nothing came for {IDLE_S:.0f} s. Nothing is kept. Try again."}, 408)
            except StoreFull:
                _log.exception("a large file could not be kept")
                message = "The hub's store is full. Nothing of this file is kept. Tell its administrator."
                return LfsResponse({"message": message}, 507)
            except StoreError:
                _log.exception("a large file could not be read or kept")
                message = "The hub's store does not work now; its log says why. Try again, or tell its administrator."
                return LfsResponse({"message": message}, 503)

        return handle


def _uploads(objects: list[LargeObject], there: dict[str, int], base: str) -> list[dict[str, object]]:
    answers: list[dict[str, object]] = []
    for wanted in objects:
        answer: dict[str, object] = wanted.model_dump()
        if wanted.oid not in there:
            answer["actions"] = {
                "upload": {"href": f"{base}/objects/{wanted.oid}/{wanted.size}"},
                "verify": {"href": f"{base}/verify"},
            }
        elif there[wanted.oid] != wanted.size:
            answer["error"] = {"code": 422, "message": f"{wanted.oid} has {there[wanted.oid]} bytes."}
        answers.append(answer)
    return answers


def _downloads(objects: list[LargeObject], there: dict[str, int], base: str) -> list[dict[str, object]]:
    answers: list[dict[str, object]] = []
    for wanted in objects:
        answer: dict[str, object] = wanted.model_dump()
        if there.get(wanted.oid) == wanted.size:
            answer["actions"] = {"download": {"href": f"{base}/objects/{wanted.oid}"}}
        else:
            answer["error"] = {"code": 404, "message": "This project has no such large file."}
        answers.append(answer)
    return answers


def _check_quota(access: Access, size: int) -> None:
    if access.bytes_left is not None and size > access.bytes_left:
        left = max(access.bytes_left, 0)
        raise HTTPException(507, f"The quota leaves {left:,} bytes, and this needs {size:,}. Nothing of it is kept.")


def _external_url(request: Request) -> str:
    """This request's URL as its client wrote it, without a query: the proxy leaves the path as it is."""

    def forwarded(what: str) -> str:
        # The first is what the proxy next to the client says.
        return request.headers.get(f"x-forwarded-{what}", "").partition(",")[0].strip()

    scheme = forwarded("proto") or request.url.scheme
    host = forwarded("host") or request.url.netloc
    return f"{scheme}://{host}{quote(request.url.path)}"


class _Body:
    """A request's body as a stream for a thread, with its SHA-256. Raises `ClientDisconnect`, `TimeoutError`."""

    def __init__(self, request: Request, most_bytes: int) -> None:
        self._chunks = request.stream()
        self._most = most_bytes
        self._rest = memoryview(b"")
        self.size = 0
        self.digest = hashlib.sha256()

    def readinto(self, buffer: memoryview) -> int:
        while not self._rest:
            chunk = anyio.from_thread.run(self._next)
            if chunk is None:
                return 0
            self.size += len(chunk)
            if self.size > self._most:
                raise HTTPException(422, f"More than the {self._most:,} bytes that were announced. Nothing is kept.")
            self.digest.update(chunk)
            self._rest = memoryview(chunk)
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count

    async def _next(self) -> bytes | None:
        with anyio.fail_after(IDLE_S):
            return await anext(self._chunks, None)


def _keep(store: Callable[[], Store], pointer: Pointer, body: _Body, large: LargeObjects) -> None:
    with store().writer() as writer:
        recipe = writer.put(body)
        if Pointer(body.digest.hexdigest(), body.size) != pointer:
            raise HTTPException(422, f"What came is not {pointer.oid} of {pointer.size:,} bytes. Nothing is kept.")
        large.begin(pointer.oid, pointer.size)
        writer.keep(pointer.name, recipe)


def _open(store: Callable[[], Store], pointer: Pointer) -> BufferedReader:
    opened = store()
    try:
        recipe = opened.recipe(pointer.name)
        if recipe.size != pointer.size:
            raise NotKept(f"{pointer.name} has {recipe.size} bytes in the store.")
    except NotKept as error:
        _log.error("a project's large file of %s bytes: %s", pointer.size, error)
        raise HTTPException(404, f"The content of {pointer.oid} is lost. Push it again from a clone.") from None
    return opened.open_recipe(recipe)


def _part(header: str, size: int) -> range | None:
    """The bytes that a Range header asks for (RFC 9110, 14.2), None for all, also where it asks for several parts."""
    asked = _RANGE.fullmatch(header)
    if not asked:
        return None
    if asked["final"]:
        part = range(max(size - int(asked["final"]), 0), size)
    else:
        part = range(int(asked["first"]), min(int(asked["last"] or size), size - 1) + 1)
    if not part:
        raise HTTPException(416, f"The file has {size} bytes.", {"Content-Range": f"bytes */{size}"})
    return part


def _content(content: BufferedReader, size: int, part: range | None) -> Response:
    sent = range(size) if part is None else part
    headers = {
        "Accept-Ranges": "bytes",
        "Content-Length": str(len(sent)),
        # It is a user's, on the hub's domain: no browser shall show it.
        "Content-Disposition": "attachment",
        "X-Content-Type-Options": "nosniff",
    }
    if part is not None:
        headers["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{size}"
    return _Download(_blocks(content, sent), 200 if part is None else 206, headers, "application/octet-stream")


async def _blocks(content: BufferedReader, part: range) -> AsyncIterator[bytes]:
    with content:
        await anyio.to_thread.run_sync(content.seek, part.start)
        left = len(part)
        while left:
            block = await anyio.to_thread.run_sync(content.read, min(left, _READ_BYTES))
            left -= len(block)
            yield block


class _Download(StreamingResponse):
    """A response that gives up on a client which takes nothing."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_in_time(message: Message) -> None:
            with anyio.fail_after(IDLE_S):
                await send(message)

        await super().__call__(scope, receive, send_in_time)
