"""The web application: the API under /api/v1, the dashboard's pages, health and metrics, on one port."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from starlette.routing import Route
from starlette.types import ASGIApp

from kafka_saga.orchestrator.http.api.application import API, add_routes
from kafka_saga.orchestrator.http.api.parameters import KNOWN_ONLY
from kafka_saga.orchestrator.http.desk import Desk
from kafka_saga.orchestrator.http.problems import add_problems
from kafka_saga.orchestrator.http.security.guard import Guard
from kafka_saga.orchestrator.http.security.login import csrf_field, has_session, login_router
from kafka_saga.orchestrator.http.security.roles import Security, undeclared

ADMIN_PATHS = ("/livez", "/readyz", "/metrics")
PUBLIC_PATHS = frozenset({*ADMIN_PATHS, "/static"})
"""What is served to anybody: nothing of it tells anything about a saga."""


def create_app(
    desk: Desk,
    *,
    security: Security,
    pages: Callable[[FastAPI], None] | None = None,
    admin: ASGIApp | None = None,
) -> FastAPI:
    """The application, with what it is given and nothing else.

    Args:
        desk: what routes work with; they find it as `TheDesk`.
        security: tells who asks.
        pages: adds the dashboard's routes (`kafka_saga.orchestrator.dashboard.add_to`).
        admin: answers `/livez`, `/readyz` and `/metrics`.

    Raises:
        AssertionError: a route does not say which role it needs.

    """
    app = _bare(desk, security, title="Saga dashboard")
    if admin is not None:
        for path in ADMIN_PATHS:
            app.router.routes.append(Route(path, admin, include_in_schema=False))
    app.mount(API, create_api(desk, security))
    if isinstance(security, Guard):
        app.router.routes.extend(login_router(security).routes)
        app.state.csrf_field = partial(csrf_field, security)
        app.state.has_session = has_session
    if pages is not None:
        pages(app)
    open_to_all = list(undeclared(app.routes, PUBLIC_PATHS))
    assert not open_to_all, f"routes that do not say which role they need: {', '.join(open_to_all)}"
    return app


def create_api(desk: Desk, security: Security) -> FastAPI:
    """What is served under `API`: an application of its own, so that its errors and its OpenAPI are its own too."""
    app = _bare(desk, security, title="kafka-saga", dependencies=[KNOWN_ONLY])
    add_routes(app, desk.registry)
    return app


def _bare(desk: Desk, security: Security, *, title: str, dependencies: Sequence[Any] = ()) -> FastAPI:
    app = FastAPI(
        title=title,
        version=version("kafka-saga"),
        openapi_url=None,
        docs_url=None,
        redoc_url=None,
        dependencies=dependencies,
    )
    app.state.desk, app.state.security = desk, security
    add_problems(app)
    return app
