"""The service's pages: the projects that one may see, and where each comes from. They change nothing."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from jinja2 import Environment, FileSystemLoader

from regrow.client.lineage import as_svg
from regrow.hub_service import finding
from regrow.hub_service.auth import browser_viewer, check_scope
from regrow.hub_service.errors import Refused
from regrow.hub_service.models import lineage_model, project_model
from regrow.hub_service.scopes import READ
from regrow.hub_service.service import Service
from regrow.hub_service.viewer import Viewer

_TEMPLATES = Environment(loader=FileSystemLoader(Path(__file__).parent / "templates"), autoescape=True)
_HEADERS = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'"}

# Whoever has not signed in yet is sent to do so.
_Viewer = Annotated[Viewer | RedirectResponse, Depends(browser_viewer)]


def pages_router(prefix: str) -> APIRouter:
    """The pages, for browsers that have signed in to the hub."""
    router = APIRouter(include_in_schema=False)
    hub = f"{os.environ.get('JUPYTERHUB_BASE_URL', '/')}hub/"

    def page(name: str, viewer: Viewer, status: int = 200, **values: Any) -> HTMLResponse:
        text = _TEMPLATES.get_template(name).render(prefix=prefix, hub=hub, viewer=viewer, **values)
        return HTMLResponse(text, status, headers=_HEADERS)

    @router.get("/")
    async def projects(request: Request, viewer: _Viewer, search: str = "") -> Response:
        if isinstance(viewer, Response):
            return viewer
        check_scope(viewer, READ)
        service: Service = request.app.state.service

        def find() -> Response:
            with service.session() as session:
                found = finding.shown_to(session, viewer, search)
                models = [project_model(each, viewer) for each in found]
            return page("projects.html", viewer, title="Projects", projects=models, search=search)

        return await run_in_threadpool(find)

    @router.get("/projects/{owner}/{name}")
    async def project(request: Request, viewer: _Viewer, owner: str, name: str) -> Response:
        if isinstance(viewer, Response):
            return viewer
        check_scope(viewer, READ)
        service: Service = request.app.state.service
        # As the laptop of whoever reads this reaches it.
        clone_url = str(request.url.replace(path=f"{prefix}git/{owner}/{name}.git", query=""))

        def find() -> Response:
            with service.session() as session:
                try:
                    found = finding.find(session, viewer, owner, name)
                except Refused as error:
                    return page("page.html", viewer, error.status, title=str(error))
                lineage = [lineage_model(each, viewer).model_dump() for each in finding.lineage(session, found)]
                return page(
                    "project.html",
                    viewer,
                    title=f"{found.owner}/{found.name}",
                    project=project_model(found, viewer),
                    clone_url=clone_url,
                    lineage=as_svg(lineage, f"{found.owner}/{found.name}"),
                )

        return await run_in_threadpool(find)

    return router
