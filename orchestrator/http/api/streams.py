"""Server-sent events: one saga, or all of them, for as long as somebody listens."""

from __future__ import annotations

from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Header
from fastapi.responses import Response, StreamingResponse

from kafka_saga.orchestrator.http.api.sagas import ONE, SagaId, SagaType, document_of
from kafka_saga.orchestrator.http.desk import Desk, TheDesk
from kafka_saga.orchestrator.http.security.roles import Role, needs
from kafka_saga.orchestrator.machine.states import TERMINAL
from kafka_saga.orchestrator.operations.sagas.show import read_log
from kafka_saga.runtime.errors import NotFoundError
from kafka_saga.runtime.live_limits import LIVE_SILENCE_MS_MAX
from kafka_saga.schemas.codec import encode
from kafka_saga.schemas.ids import SagaRef

router = APIRouter(tags=["events"], dependencies=[needs(Role.READER)])

STREAM = "text/event-stream"
_ENDED = frozenset(state.value for state in TERMINAL) | {"purged"}
_LastEventId = Annotated[
    str | None,
    Header(alias="Last-Event-ID", max_length=100, description="The last `id` that was read: go on after it"),
]
_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"content": {STREAM: {"schema": {"type": "string"}}}, "description": "Events, for as long as you listen"}
}


@router.get("/events", summary="Whatever changes, live", responses=_ANSWERS, response_class=StreamingResponse)
async def stream_all(desk: TheDesk, last_event_id: _LastEventId = None) -> Response:
    """Stream `saga` events, each with a saga as a list shows it, as they change.

    Who comes back with `Last-Event-ID` is told what he missed, as far as it is kept; `reset` says that some of it is
    not: read the list again.
    """
    desk.live.check_room()
    return _streamed(_all(desk, _position(desk, last_event_id)))


@router.get(
    f"{ONE}/events",
    summary="One saga, live",
    responses={**_ANSWERS, 204: {"description": "It has ended, and you have seen all of it: do not come back"}},
    response_class=StreamingResponse,
)
async def stream_one(
    desk: TheDesk, saga_type: SagaType, saga_id: SagaId, last_event_id: _LastEventId = None
) -> Response:
    """Stream `saga` events: its document at once and whenever it has changed, with the log rows since the last one.

    Their ids are the log's own numbers: who comes back with `Last-Event-ID` misses nothing. `end` is the last event of
    a saga that has ended.
    """
    ref = SagaRef(saga_type, saga_id)
    seen = int(last_event_id) if last_event_id is not None and _is_number(last_event_id) else None
    async with desk.reader() as reader:
        document = await document_of(desk, reader, ref)
        saga = await reader.get(ref)
    if seen is not None and (saga is None or (saga.state in TERMINAL and saga.log_seq <= seen)):
        return Response(status_code=HTTPStatus.NO_CONTENT)
    if saga is None:
        return _streamed(_once(document))
    desk.live.check_room()
    return _streamed(_one(desk, ref, seen))


def event(name: str, data: Any, identity: str | int | None = None) -> bytes:
    """One server-sent event."""
    head = b"" if identity is None else f"id: {identity}\n".encode()
    return head + f"event: {name}\ndata: ".encode() + encode(data) + b"\n\n"


_ALIVE = b": alive\n\n"
"""So that proxies keep the connection, and we notice who has gone."""


async def _all(desk: Desk, position: int) -> AsyncIterator[bytes]:
    async with desk.live.follow() as live:
        yield event("hello", {"position": f"{live.epoch}-{live.newest}"})
        while True:
            news = live.since(position)
            position = news.position
            if news.missed:
                yield event("reset", {"why": "more has changed than is kept: read the list again"}, _id(desk, position))
            if news.changes:
                yield b"".join(event("saga", one.summary, _id(desk, one.number)) for one in news.changes)
            if not await live.next_look(LIVE_SILENCE_MS_MAX):
                if desk.ending.is_set():
                    return
                yield _ALIVE


async def _one(desk: Desk, ref: SagaRef, seen: int | None) -> AsyncIterator[bytes]:
    async with desk.live.naming(ref) as marks:
        sent: int | None = None
        while True:
            if sent is None or marks() != sent:
                told, sent = await _document(desk, ref, seen)
                if sent != seen or seen is None:
                    yield event("saga", told, sent)
                seen = sent
                if told["state"] in _ENDED or told.get("purged"):
                    yield event("end", {"state": told["state"]}, sent)
                    return
            if not await desk.live.next_look(LIVE_SILENCE_MS_MAX):
                if desk.ending.is_set():
                    return
                yield _ALIVE


async def _once(document: dict[str, Any]) -> AsyncIterator[bytes]:
    yield event("saga", document)
    yield event("end", {"state": document["state"]})


async def _document(desk: Desk, ref: SagaRef, seen: int | None) -> tuple[dict[str, Any], int]:
    """The saga's document with its new log rows, and how far it has come."""
    async with desk.reader() as reader:
        document = await document_of(desk, reader, ref)
        try:
            rows = await read_log(reader, desk.registry, ref.saga_id, ref.saga_type, every_row=True)
        except NotFoundError:  # it was purged meanwhile
            rows = []
    new = [row.as_json() for row in rows if seen is None or row.entry.seq > seen]
    return {**document, "log": new}, rows[-1].entry.seq if rows else 0


def _streamed(events: AsyncIterator[bytes]) -> StreamingResponse:
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(events, media_type=STREAM, headers=headers)


def _id(desk: Desk, number: int) -> str:
    return f"{desk.live.epoch}-{number}"


def _position(desk: Desk, last_event_id: str | None) -> int:
    """Where to go on: after the event that was read last, or now."""
    epoch, _, number = (last_event_id or "").rpartition("-")
    if last_event_id is None:
        return desk.live.newest
    return int(number) if epoch == desk.live.epoch and _is_number(number) else -1


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= len(str(2**63))
