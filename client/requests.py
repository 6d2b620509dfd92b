"""Requests as messages: checked here as the orchestrator will check them, so that none becomes a dead letter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from pydantic import BaseModel
from pydantic_core import PydanticSerializationError

from kafka_saga.client.types import SagaTypes, Startable
from kafka_saga.runtime.errors import ContractError, UsageError
from kafka_saga.runtime.limits import ACT_TEXT_LENGTH_MAX
from kafka_saga.schemas.codec import decode_model, decode_trusted, encode
from kafka_saga.schemas.faithful import ChangedError
from kafka_saga.schemas.ids import SagaRef, check_saga_id
from kafka_saga.schemas.reading import read_written, told_by_handler


class Request(NamedTuple):
    """A saga that is going to be asked for."""

    ref: SagaRef
    value: bytes
    """The request's JSON, as it travels."""
    actor: str | None = None
    """Who asks, for the record of acts."""


def request_of(
    types: SagaTypes,
    request: BaseModel | Mapping[str, Any],
    *,
    saga_type: str | None = None,
    saga_id: str | None = None,
    actor: str | None = None,
) -> Request:
    """A request, checked.

    Args:
        types: what the client can start.
        request: the model, or a JSON document for the type of that name.
        saga_type: which saga, where `request` is a document.
        saga_id: the saga's id, where the request does not carry it.
        actor: who asks.

    Raises:
        UsageError: it would become a dead letter, or the actor is no name; the message says why.

    """
    if actor is not None and not (actor.strip() and actor.isprintable() and len(actor) <= ACT_TEXT_LENGTH_MAX):
        raise UsageError(f"actor says who asks, in one line of at most {ACT_TEXT_LENGTH_MAX} characters")
    if not isinstance(request, BaseModel | Mapping):
        raise UsageError(f"a {type(request).__name__} is no request: pass its model, or a JSON document as a dict")
    if isinstance(request, BaseModel):
        kind = types.of_request(request)
        if saga_type is not None and saga_type != kind.saga_type:
            raise UsageError(f"{type(request).__name__} starts saga '{kind.saga_type}', not '{saga_type}'")
    else:
        kind = types.named(saga_type)
    try:
        value = _written(kind, request)
        return Request(SagaRef(kind.saga_type, _identity(kind, value, saga_id)), value, actor)
    except (ContractError, ChangedError, PydanticSerializationError) as error:
        raise UsageError(f"this request does not start a saga '{kind.saga_type}': {error}") from error


def requests_of(
    types: SagaTypes,
    requests: Sequence[BaseModel | Mapping[str, Any]],
    *,
    saga_type: str | None = None,
    actor: str | None = None,
) -> list[Request]:
    """Many requests, all of them checked.

    Raises:
        UsageError: one would become a dead letter; the message says which, counted from 1, and why.

    """
    found = []
    for number, request in enumerate(requests, 1):
        try:
            found.append(request_of(types, request, saga_type=saga_type, actor=actor))
        except UsageError as error:
            raise UsageError(f"request {number:,}: {error}") from error
    return found


def _written(kind: Startable, request: BaseModel | Mapping[str, Any]) -> bytes:
    if isinstance(request, BaseModel):
        value = told_by_handler(request)
        if type(request) is not kind.request:  # a subclass: the orchestrator reads what it knows
            decode_model(kind.request, value)
        return value
    try:
        return read_written(kind.request, encode(dict(request)))
    except TypeError as error:
        raise UsageError(f"this request does not start a saga '{kind.saga_type}': {error}") from error


def _identity(kind: Startable, value: bytes, saga_id: str | None) -> str:
    carried = decode_trusted(value).get(kind.id_from) if kind.id_from is not None else None
    if carried is None and saga_id is None:
        where = "" if kind.id_from is None else f"its {kind.id_from} is empty: "
        raise UsageError(f"{where}say the saga's id: start(request, saga_id=…)")
    if carried is not None and saga_id is not None and carried != saga_id:
        raise UsageError(f"the request's {kind.id_from} is {carried}, not {saga_id}")
    return check_saga_id(carried if carried is not None else saga_id)
