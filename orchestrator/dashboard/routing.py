"""A page's two routes: the page, and its changes while somebody looks at it."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import HTMLResponse, StreamingResponse

from kafka_saga.orchestrator.dashboard.live import stream
from kafka_saga.orchestrator.dashboard.room import TheRoom
from kafka_saga.orchestrator.dashboard.visit import Page, TheVisit


def add_page(router: APIRouter, path: str, page: Page) -> None:
    """Serve `page` at `path`, and what changes of it at `/live` + `path`."""

    async def show(visit: TheVisit) -> HTMLResponse:
        return await visit.show(page)

    async def follow(visit: TheVisit, room: TheRoom) -> StreamingResponse:
        return stream(page, visit, room.looks)

    router.add_api_route(path, show, include_in_schema=False, name=f"page {path}")
    if page.parts:
        router.add_api_route(f"/live{path}", follow, include_in_schema=False, name=f"live {path}")
