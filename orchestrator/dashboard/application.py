"""The dashboard as a part of the web application."""

from __future__ import annotations

from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, Response
from starlette.exceptions import HTTPException

from kafka_saga.orchestrator.dashboard import statics
from kafka_saga.orchestrator.dashboard.pages import (
    audit,
    bulk,
    dead_letters,
    definitions,
    failures,
    overview,
    saga,
    sagas,
    start,
    timers,
    workers,
)
from kafka_saga.orchestrator.dashboard.rendering import render
from kafka_saga.orchestrator.http.problems import BUG, problem, problem_of, status_of
from kafka_saga.runtime.errors import SagaError, UsageError

_ROUTERS = (
    statics.router,
    overview.router,
    sagas.router,
    saga.router,
    bulk.router,
    start.router,
    failures.router,
    dead_letters.router,
    timers.router,
    definitions.router,
    workers.router,
    audit.router,
)


def add_to(app: FastAPI) -> None:
    """Add the dashboard's routes; its errors are pages for whoever reads pages."""
    for router in _ROUTERS:
        app.router.routes.extend(router.routes)  # as they are: an included router hides which roles they need
    app.add_exception_handler(SagaError, _on_saga_error)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(Exception, _on_bug)


async def _on_saga_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, SagaError)
    return _trouble(request, status_of(error), str(error)) if _reads_pages(request) else problem_of(error)


async def _on_invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    what = "; ".join(f"{'.'.join(map(str, one['loc'][1:]))}: {one['msg']}" for one in error.errors())
    return await _on_saga_error(request, UsageError(what))


async def _on_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    what = f"there is no page {request.url.path}" if error.status_code == HTTPStatus.NOT_FOUND else str(error.detail)
    response = _trouble(request, HTTPStatus(error.status_code), what)
    response.headers.update(error.headers or {})
    return response


async def _on_bug(request: Request, _error: Exception) -> Response:
    status = HTTPStatus.INTERNAL_SERVER_ERROR
    return _trouble(request, status, BUG) if _reads_pages(request) else problem(status, "internal", BUG)


def _reads_pages(request: Request) -> bool:
    return "text/html" in request.headers.get("accept", "")


def _trouble(_request: Request, status: HTTPStatus, what: str) -> Response:
    return HTMLResponse(render("trouble.html", title=status.phrase, what=what), status, {"Cache-Control": "no-store"})
