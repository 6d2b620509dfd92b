"""The API as an application of its own: its routes, its errors, and its OpenAPI document."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.responses import Response

from kafka_saga.orchestrator.http.api import acts, bulk, dead_letters, looking, sagas, streams
from kafka_saga.orchestrator.http.api.answers import PROBLEMS, reply
from kafka_saga.orchestrator.http.api.starting import starting_router
from kafka_saga.orchestrator.http.problems import MEDIA_TYPE
from kafka_saga.orchestrator.http.security.roles import Role, needs
from kafka_saga.orchestrator.registry import Registry

API = "/api/v1"

_DESCRIPTION = """Start sagas, look at them, and act on them: the verbs and the rules of the `saga` command.

Every error is a problem document (RFC 9457) with a `code` for programs and a `detail` for people. Lists are read on
with `next` as `cursor`. Answers may get more fields; requests with unknown fields or
parameters are refused.
"""


def add_routes(app: FastAPI, registry: Registry) -> None:
    """Let `app` be the API for these definitions."""
    about = APIRouter(dependencies=[needs(Role.READER)])

    @about.get("/openapi.json", include_in_schema=False)
    async def openapi() -> Response:
        return reply(described(app))

    # Starts come first: `/sagas/order` must not be taken for anything else.
    for router in (
        about,
        starting_router(registry),
        streams.router,
        sagas.router,
        acts.router,
        bulk.router,
        dead_letters.router,
    ):
        app.include_router(router, responses=PROBLEMS)
    app.include_router(looking.router, responses=PROBLEMS)


def described(app: FastAPI) -> dict[str, Any]:
    """The OpenAPI 3.1 document, made once."""
    if app.openapi_schema is None:
        document = get_openapi(
            title="kafka-saga",
            version=version("kafka-saga"),
            openapi_version="3.1.0",
            description=_DESCRIPTION,
            routes=app.routes,
            servers=[{"url": API}],
        )
        for path in document["paths"].values():
            for operation in path.values():
                _tidy(operation)
        document["components"]["schemas"].pop("HTTPValidationError", None)
        document["components"]["schemas"].pop("ValidationError", None)
        app.openapi_schema = document
    return app.openapi_schema


def _tidy(operation: dict[str, Any]) -> None:
    """Problems are problem documents, and nothing else."""
    problem = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    for status, answer in operation["responses"].items():
        if status.startswith(("4", "5")):
            answer["content"] = problem
