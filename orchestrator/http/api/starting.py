"""Starting sagas: a route for each registered type, so that OpenAPI says what its request is."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import Response

from kafka_saga.orchestrator.definition import Saga as Definition
from kafka_saga.orchestrator.http.api.answers import reply
from kafka_saga.orchestrator.http.api.documents import SagaStarted
from kafka_saga.orchestrator.http.desk import Desk, TheDesk
from kafka_saga.orchestrator.http.security.roles import Actor, Role, needs
from kafka_saga.orchestrator.machine.saga import record
from kafka_saga.orchestrator.machine.states import TERMINAL, SagaState
from kafka_saga.orchestrator.operations.sagas import requests
from kafka_saga.orchestrator.operations.sagas.describing import request_schema
from kafka_saga.orchestrator.operations.sagas.starting import Begun, request_hash, start
from kafka_saga.orchestrator.registry import Registry
from kafka_saga.runtime.errors import ContractError, NotFoundError, UsageError
from kafka_saga.runtime.limits import PAYLOAD_BYTES_MAX
from kafka_saga.runtime.live_limits import IDEMPOTENCY_KEYS_KEPT, LIVE_WAIT_MS_MAX
from kafka_saga.schemas.causes import Cause
from kafka_saga.schemas.codec import decode_object
from kafka_saga.schemas.ids import SagaRef

_KEY = Header(
    alias="Idempotency-Key",
    min_length=1,
    max_length=255,
    pattern=r"^[\x21-\x7e]+$",
    description=(
        "The same key with the same request is one saga, however often it is sent. Where the request carries no id, "
        "the saga's id is made of the key; where it does, that alone already makes repeats safe."
    ),
)
_Wait = Annotated[
    int,
    Query(
        alias="waitMs",
        ge=0,
        le=LIVE_WAIT_MS_MAX,
        description="Wait so long for its end, then answer 200 with its record",
    ),
]

EXAMPLES = {
    "order": {
        "order_id": "order-123",
        "customer_id": "alice",
        "items": [{"sku": "lamp", "quantity": 2}],
        "amount": 9_980,
        "currency": "EUR",
    }
}
"""Requests of the shipped sagas."""


class KeyReusedError(UsageError):
    """The idempotency key was used for another request: choose a new one."""

    code = "idempotency_key_reused"


@dataclass(slots=True)
class Keys:
    """Which requests idempotency keys were used for lately; sagas' own ids do the rest."""

    _known: OrderedDict[str, bytes] = field(default_factory=OrderedDict)

    def check(self, key: str, hashed: bytes) -> None:
        """Note the key.

        Raises:
            KeyReusedError: it was used for another request.

        """
        if self._known.setdefault(key, hashed) != hashed:
            raise KeyReusedError
        self._known.move_to_end(key)
        while len(self._known) > IDEMPOTENCY_KEYS_KEPT:
            self._known.popitem(last=False)


def starting_router(registry: Registry) -> APIRouter:
    """A route for each type that can be started."""
    router, keys = APIRouter(tags=["start"], dependencies=[needs(Role.OPERATOR)]), Keys()
    for saga_type in registry.saga_types:
        definition = registry.active(saga_type)
        assert definition is not None, "every registered type has an active version"
        _add(router, definition, keys)

    @router.post("/sagas/{saga_type}", include_in_schema=False)
    async def unknown(desk: TheDesk, saga_type: str) -> Response:
        known = ", ".join(desk.registry.saga_types)
        raise NotFoundError(f"there is no saga type '{saga_type[:100]}': it is one of {known}")

    return router


def _add(router: APIRouter, definition: Definition, keys: Keys) -> None:
    saga_type = definition.saga_type

    async def start_saga(
        desk: TheDesk,
        actor: Annotated[Actor, needs(Role.OPERATOR)],
        request: Request,
        idempotency_key: Annotated[str | None, _KEY] = None,
        wait_ms: _Wait = 0,
    ) -> Response:
        document = await _read(request)
        saga_id = _id_for(definition, document, idempotency_key)
        [prepared] = requests.prepare(
            definition, desk.topics, [document], saga_id=saga_id, origin="the request", actor=actor.name
        )
        if idempotency_key is not None:
            keys.check(f"{saga_type}/{idempotency_key}", request_hash(prepared))
        async with desk.reader() as reader:
            started = await start(reader, desk.producer, prepared)
        return await _answer(desk, started.ref, started.begun, wait_ms)

    router.add_api_route(
        f"/sagas/{saga_type}",
        start_saga,
        methods=["POST"],
        name=f"start_{saga_type}",
        operation_id=f"start_{saga_type}",
        summary=f"Start a saga of type {saga_type}",
        description=_DESCRIPTION,
        status_code=HTTPStatus.ACCEPTED,
        response_model=SagaStarted,
        responses={
            200: {"model": SagaStarted, "description": "It began earlier with the same request, or has ended by now"},
            202: {"description": "Its request is in Kafka"},
        },
        openapi_extra={"requestBody": _body(definition)},
    )


_DESCRIPTION = """Check the request against the definition's model and publish it. One id is one saga.

202: it is in Kafka, and the orchestrator takes it from there. 200: the saga began earlier with the same request, or
has ended within `waitMs`. 409: a saga of this id began with another request. 422: the request does not fit its model,
or the idempotency key was used for another one.
"""


def _body(definition: Definition) -> dict[str, Any]:
    schema = request_schema(definition)
    _localize(schema)
    content: dict[str, Any] = {"schema": schema}
    if definition.saga_type in EXAMPLES and definition.request.__module__.startswith("kafka_saga."):
        content["examples"] = {"one": {"value": EXAMPLES[definition.saga_type]}}
    return {"required": True, "content": {"application/json": content}}


def _localize(schema: dict[str, Any]) -> None:
    """Put what `$defs` names where it is used: inside OpenAPI a reference is read from the document's root."""
    named = schema.pop("$defs", {})

    def resolved(part: Any, depth: int = 0) -> Any:
        if isinstance(part, dict):
            reference = part.get("$ref")
            if isinstance(reference, str) and depth < _NESTED_MAX:
                inner = named.get(reference.removeprefix("#/$defs/"), {})
                return {**resolved(inner, depth + 1), **{k: v for k, v in part.items() if k != "$ref"}}
            return {} if isinstance(reference, str) else {name: resolved(one, depth) for name, one in part.items()}
        return [resolved(one, depth) for one in part] if isinstance(part, list) else part

    for name, part in list(schema.items()):
        schema[name] = resolved(part)


_NESTED_MAX = 16
"""A model that holds itself is described so deep."""


async def _read(request: Request) -> dict[str, Any]:
    size, chunks = 0, list[bytes]()
    async for chunk in request.stream():
        size += len(chunk)
        if size > PAYLOAD_BYTES_MAX:
            raise ContractError(Cause.TOO_LARGE, f"a request has at most {PAYLOAD_BYTES_MAX:,} bytes")
        chunks.append(chunk)
    return decode_object(b"".join(chunks))


def _id_for(definition: Definition, document: dict[str, Any], key: str | None) -> str | None:
    carried = None if definition.id_from is None else document.get(definition.id_from)
    if carried is not None:
        return None
    if key is None:
        raise UsageError("the request does not say the saga's id: send an Idempotency-Key, of which one is made")
    return f"key-{hashlib.sha256(key.encode()).hexdigest()[:32]}"


async def _answer(desk: Desk, ref: SagaRef, begun: Begun, wait_ms: int) -> Response:
    known: dict[str, Any] | None = None
    ended = False
    if wait_ms or begun is Begun.EXISTS:
        known, ended = await _until_ended(desk, ref, wait_ms)
    here = f"/api/v1/sagas/{ref}"
    document = {
        "sagaId": ref.saga_id,
        "sagaType": ref.saga_type,
        "result": begun.value,
        "state": None if known is None else known["state"],
        "links": {"self": here, "events": f"{here}/events"},
        **({"record": known} if known is not None else {}),
    }
    status = HTTPStatus.OK if begun is Begun.EXISTS or ended else HTTPStatus.ACCEPTED
    return reply(document, status, {"Location": here})


async def _until_ended(desk: Desk, ref: SagaRef, wait_ms: int) -> tuple[dict[str, Any] | None, bool]:
    """The saga's record as it is when it has ended or is parked, or when the time is up."""
    until = desk.clock.monotonic_ms() + wait_ms
    found = await _look(desk, ref)
    if (found is not None and found[1]) or not wait_ms:
        return found or (None, False)
    async with desk.live.naming(ref):
        while True:
            left = until - desk.clock.monotonic_ms()
            if left <= 0 or not await desk.live.next_look(left):
                return await _look(desk, ref) or (None, False)
            found = await _look(desk, ref)
            if found is not None and found[1]:
                return found


async def _look(desk: Desk, ref: SagaRef) -> tuple[dict[str, Any], bool] | None:
    async with desk.reader() as reader:
        saga = await reader.get(ref)
    if saga is None:
        return None
    definition = desk.registry.get(ref.saga_type, saga.definition_version)
    return record(definition, saga).model_dump(), saga.state in TERMINAL or saga.state is SagaState.PARKED
