"""Errors over HTTP: every one is `application/problem+json` (RFC 9457), and the table says which status it has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kafka_saga.orchestrator.http.security.roles import Forbidden, Unauthenticated
from kafka_saga.runtime import errors
from kafka_saga.runtime.telemetry import log
from kafka_saga.schemas.codec import encode

_log = log("http")

MEDIA_TYPE = "application/problem+json"

STATUS: Mapping[type[errors.SagaError], HTTPStatus] = {
    errors.UsageError: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.ConfigError: HTTPStatus.INTERNAL_SERVER_ERROR,
    errors.ContractError: HTTPStatus.UNPROCESSABLE_ENTITY,
    errors.NotFoundError: HTTPStatus.NOT_FOUND,
    Forbidden: HTTPStatus.FORBIDDEN,
    Unauthenticated: HTTPStatus.UNAUTHORIZED,
    errors.RefusedError: HTTPStatus.CONFLICT,
    errors.StoreRefusedError: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.UnavailableError: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.BrokenStoreError: HTTPStatus.SERVICE_UNAVAILABLE,
    errors.SagaError: HTTPStatus.INTERNAL_SERVER_ERROR,
}
"""The status of every error of ours: that of its nearest ancestor here."""

_HELP = {
    HTTPStatus.NOT_FOUND: "nothing is served at this path: /api/v1/openapi.json lists what is",
    HTTPStatus.METHOD_NOT_ALLOWED: "this path does not take that method, but {methods}",
}

RETRY_AFTER_S = 1
BUG = "this is a bug of ours; the log has its traceback"
"""What whoever asked is told of it."""


def status_of(error: errors.SagaError) -> HTTPStatus:
    """The status that an error is answered with."""
    return next(STATUS[kind] for kind in type(error).__mro__ if kind in STATUS)


def problem(status: int, code: str, detail: str, **more: Any) -> Response:
    """An answer that says what went wrong.

    Args:
        status: of the response.
        code: a stable word for programs.
        detail: a sentence for people: what is wrong and what helps.
        more: further members.

    """
    body = {"type": f"urn:kafka-saga:problem:{code}", "title": HTTPStatus(status).phrase, "status": int(status)}
    headers = {"Retry-After": str(RETRY_AFTER_S)} if status == HTTPStatus.SERVICE_UNAVAILABLE else None
    document = {**body, "code": code, "detail": detail, **more}
    return Response(encode(document), status_code=status, media_type=MEDIA_TYPE, headers=headers)


def problem_of(error: errors.SagaError) -> Response:
    """The answer to an error of ours."""
    return problem(status_of(error), error.code, str(error))


def add_problems(app: FastAPI) -> None:
    """Let `app` answer every error with a problem."""
    app.add_exception_handler(errors.SagaError, _on_saga_error)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http)
    app.add_exception_handler(Exception, _on_bug)
    app.add_middleware(Bugs, handlers=app.exception_handlers)


class Bugs:
    """An ASGI application around another: what nobody else handles is logged once, and answered where it still can be.

    Frameworks and servers log and raise again what they answered: one bug would be told three times.

    Args:
        app: what may fail.
        handlers: the application's; that of `Exception` makes the answer.

    """

    def __init__(self, app: ASGIApp, handlers: Mapping[Any, Callable[[Request, Any], Any]]) -> None:
        self._app = app
        self._handlers = handlers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = False

        async def note(message: Message) -> None:
            nonlocal began
            began = True
            await send(message)

        try:
            await self._app(scope, receive, note)
        except Exception as error:  # noqa: BLE001 -- whatever it is, it is told here
            _log.error("http.failed", method=scope["method"], route=scope.get("path"), exc_info=True)
            if began:
                return  # half an answer: the server cuts it off where it is
            response: Response = await self._handlers[Exception](Request(scope, receive), error)
            await response(scope, receive, send)


async def _on_saga_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, errors.SagaError)
    return problem_of(error)


async def _on_invalid(_request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    found = [_told(one) for one in error.errors()]
    detail = "; ".join(f"{one['at']}: {one['why']}" for one in found)
    return problem(HTTPStatus.UNPROCESSABLE_ENTITY, "invalid", detail, errors=found)


def _told(one: Mapping[str, Any]) -> dict[str, str]:
    """What does not fit, and why. Of a body that is no JSON the framework says where, as if that were a field."""
    if one.get("type") == "json_invalid":
        place, why = one["loc"][-1], one.get("ctx", {}).get("error", "it breaks off")
        return {"at": str(one["loc"][0]), "why": f"it is not JSON: {why} at character {place}"}
    return {"at": ".".join(map(str, one["loc"])), "why": one["msg"]}


async def _on_http(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    status = HTTPStatus(error.status_code)
    detail = str(error.detail)
    if detail == status.phrase:  # the framework's, which says nothing
        detail = _HELP.get(status, detail).format(methods=(error.headers or {}).get("Allow", "others"))
    response = problem(status, status.name.lower(), detail)
    response.headers.update(error.headers or {})
    return response


async def _on_bug(_request: Request, _error: Exception) -> Response:
    return problem(HTTPStatus.INTERNAL_SERVER_ERROR, "internal", BUG)
