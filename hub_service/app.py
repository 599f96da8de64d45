"""The service's web application: who may ask, and what for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from starlette.exceptions import HTTPException as AnyHTTPException

from regrow.hub_service import finding, projects_api, quotas
from regrow.hub_service.access import Access
from regrow.hub_service.auth import HubSignIn, browser_router, check_scope, unauthorized, viewer_of
from regrow.hub_service.errors import Refused, explained
from regrow.hub_service.git_http import git_router
from regrow.hub_service.large_objects import ProjectsLargeObjects
from regrow.hub_service.lfs import lfs_router
from regrow.hub_service.pages import pages_router
from regrow.hub_service.recovery import recover
from regrow.hub_service.scopes import READ, WRITE
from regrow.hub_service.service import Service
from regrow.hub_service.upkeep import EVERY_S, Upkeep
from regrow.hub_service.viewer import owns
from regrow.projects.errors import ProjectError
from regrow.store import StoreError


def create_app(service: Service, sign_in: HubSignIn, prefix: str = "/") -> FastAPI:
    """The application, all of its paths below `prefix`."""
    app = FastAPI(
        title="Regrow",
        version="1",
        description="Projects of this hub. Send a token of JupyterHub's as `Authorization: token TOKEN`.",
        lifespan=_lifespan,
        openapi_url=f"{prefix}api/openapi.json",
        # Their pages load programs from outside.
        docs_url=None,
        redoc_url=None,
    )
    app.state.service = service
    app.state.sign_in = sign_in
    paths = APIRouter(prefix=prefix.rstrip("/"), dependencies=[Depends(_check_text)])
    paths.include_router(projects_api.router)
    paths.include_router(git_router(authorize), include_in_schema=False)
    paths.include_router(lfs_router(authorize, lambda: service.store), include_in_schema=False)
    paths.include_router(browser_router(prefix))
    paths.include_router(pages_router(prefix))
    app.include_router(paths)
    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(ProjectError, _refused)
    app.add_exception_handler(StoreError, _refused)
    # What is none of these is logged too, after it is answered.
    app.add_exception_handler(Exception, _refused)
    app.add_exception_handler(AnyHTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    return app


async def authorize(request: Request, owner: str, name: str, write: bool) -> Access:
    """What a request of git or git-lfs may work on. Raises `HTTPException`."""
    service: Service = request.app.state.service
    viewer = await viewer_of(request)
    if viewer.name or write:
        check_scope(viewer, WRITE if write else READ)

    def find() -> Access:
        with service.session() as session:
            look = finding.find_own if write else finding.find
            project = look(session, viewer, owner, name)
        return Access(
            project_id=project.id,
            repository=service.places.repository(project.id),
            is_owner=owns(viewer, project),
            user=viewer.name,
            bytes_left=quotas.bytes_left(service, project.owner) if write else None,
            large=ProjectsLargeObjects(service, project),
        )

    try:
        return await run_in_threadpool(find)
    except Refused as error:
        # Whoever is not signed in yet may see it when they are.
        if not viewer.name:
            raise unauthorized(str(error)) from error
        raise HTTPException(error.status, str(error)) from error


async def _check_text(request: Request) -> None:
    # PostgreSQL can't even look for it.
    if any("\0" in str(value) for value in (*request.path_params.values(), *request.query_params.values())):
        raise HTTPException(404, "There is nothing of that name.")


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    service: Service = app.state.service
    await run_in_threadpool(recover, service)
    upkeep = Upkeep(service)
    keeping_up = asyncio.create_task(_keep_up(upkeep))
    yield
    upkeep.stop()
    keeping_up.cancel()
    with suppress(asyncio.CancelledError):
        await keeping_up


async def _keep_up(upkeep: Upkeep) -> None:
    while True:
        await run_in_threadpool(upkeep.run)
        await asyncio.sleep(EVERY_S)


async def _refused(request: Request, error: Exception) -> JSONResponse:
    said = explained(error)
    return JSONResponse({"message": str(said)}, said.status)


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, AnyHTTPException)
    if request.headers.get("User-Agent", "").startswith("git/"):
        # git shows its user what is plain text.
        return PlainTextResponse(f"{error.detail}\n", error.status_code, headers=error.headers)
    return JSONResponse({"message": error.detail}, error.status_code, headers=error.headers)


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"] if part != "body")
    return JSONResponse({"message": f"{where}: {first['msg']}"}, 422)
