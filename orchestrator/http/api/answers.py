"""How the API answers: JSON as we write it everywhere, and what every route may answer besides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import Query
from fastapi.responses import Response

from kafka_saga.orchestrator.http.api.documents import Problem
from kafka_saga.orchestrator.http.problems import MEDIA_TYPE
from kafka_saga.schemas.codec import encode

JSON = "application/json"

_WORDS: Mapping[HTTPStatus, str] = {
    HTTPStatus.BAD_REQUEST: "The request is not well-formed",
    HTTPStatus.UNAUTHORIZED: "Nobody knows who asks",
    HTTPStatus.FORBIDDEN: "Who asks may not do this, or the server only shows",
    HTTPStatus.NOT_FOUND: "There is no such thing",
    HTTPStatus.METHOD_NOT_ALLOWED: "The path has no such method",
    HTTPStatus.CONFLICT: "The state of the thing does not allow this, or somebody was faster",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "The request is too large",
    HTTPStatus.UNPROCESSABLE_ENTITY: "What was asked for cannot be understood; `errors` says where",
    HTTPStatus.TOO_MANY_REQUESTS: "Too many requests came from there",
    HTTPStatus.SERVICE_UNAVAILABLE: "The store, Kafka or a place for one more stream is not there now: try again",
}

PROBLEMS: dict[int | str, dict[str, Any]] = {
    status.value: {"model": Problem, "description": words, "content": {MEDIA_TYPE: {}}}
    for status, words in _WORDS.items()
}
"""What every route may answer beside what it is for."""


def reply(document: Any, status: HTTPStatus = HTTPStatus.OK, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON answer. It is not checked against the route's model, which a test does for all (schemathesis)."""
    return Response(encode(document), status_code=status, media_type=JSON, headers=dict(headers or {}))


def page(items: Sequence[Any], cursor: str | None, *, is_whole: bool = True) -> Response:
    """A page of a list, and what to ask for the next one with."""
    return reply({"items": items, "next": cursor, "complete": is_whole})


Limit = Annotated[int, Query(ge=1, le=1_000, description="At most so many")]
Cursor = Annotated[
    str | None, Query(max_length=200, description="`next` of the page before; without it the list begins")
]
