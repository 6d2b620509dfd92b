"""Sagas: the list, one of them, its log, what it waits for, its messages and its acts."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from fastapi.responses import Response

from kafka_saga.orchestrator.http.api.answers import Cursor, Limit, page, reply
from kafka_saga.orchestrator.http.api.documents import (
    ActDocument,
    Explanation,
    LogRow,
    MessagesFound,
    Page,
    PurgedSaga,
    SagaDocument,
    SagaSummary,
)
from kafka_saga.orchestrator.http.desk import Desk, TheDesk
from kafka_saga.orchestrator.http.security.roles import Role, needs
from kafka_saga.orchestrator.machine.states import ParkReason, SagaState
from kafka_saga.orchestrator.operations.acts.telling import act_document
from kafka_saga.orchestrator.operations.checks.why import ask_why
from kafka_saga.orchestrator.operations.kafka.saga_messages import read_saga_messages
from kafka_saga.orchestrator.operations.sagas.filtering import Narrowing, filter_by
from kafka_saga.orchestrator.operations.sagas.listing import summary
from kafka_saga.orchestrator.operations.sagas.paging import read_page, steps_named
from kafka_saga.orchestrator.operations.sagas.show import purged_document, read_log, show
from kafka_saga.orchestrator.store.reader import StoreReader
from kafka_saga.runtime.errors import NotFoundError
from kafka_saga.runtime.limits import ID_LENGTH_MAX
from kafka_saga.schemas.ids import NAME_PATTERN, SAGA_ID_PATTERN, SagaRef

router = APIRouter(tags=["sagas"], dependencies=[needs(Role.READER)])

SagaType = Annotated[str, Path(alias="sagaType", pattern=NAME_PATTERN, openapi_examples={"order": {"value": "order"}})]
SagaId = Annotated[
    str,
    Path(
        alias="sagaId",
        pattern=SAGA_ID_PATTERN,
        max_length=ID_LENGTH_MAX,
        openapi_examples={"order": {"value": "order-123"}},
    ),
]
_Age = Annotated[int | None, Query(ge=0, le=10**13)]

ONE = "/sagas/{sagaType}/{sagaId}"


@router.get("/sagas", summary="List sagas, newest first", response_model=Page[SagaSummary])
async def list_sagas(
    *,
    desk: TheDesk,
    state: Annotated[list[SagaState] | None, Query(description="Only in these; repeat for more")] = None,
    saga_type: Annotated[str | None, Query(alias="type", pattern=NAME_PATTERN, description="Only of this type")] = None,
    step: Annotated[str | None, Query(pattern=NAME_PATTERN, description="Only those that stand at this step")] = None,
    cause: Annotated[ParkReason | None, Query(description="Only parked for this")] = None,
    error: Annotated[str | None, Query(min_length=1, max_length=500, description="Its error contains this")] = None,
    older_than_ms: Annotated[_Age, Query(alias="olderThanMs", description="Started longer ago than")] = None,
    newer_than_ms: Annotated[_Age, Query(alias="newerThanMs", description="Started within the last")] = None,
    saga_id: Annotated[
        str | None,
        Query(alias="id", pattern=SAGA_ID_PATTERN, description="Its id, or its beginning; such a list has one page"),
    ] = None,
    data: Annotated[
        str | None,
        Query(
            pattern=r"^[A-Za-z_][A-Za-z0-9_.]{0,127}=[^\x00]{1,256}$",
            description="A field of its request and its value, `customer_id=alice`",
        ),
    ] = None,
    held: Annotated[bool, Query(description="Only those that are held")] = False,
    limit: Limit = 20,
    cursor: Cursor = None,
) -> Response:
    """List sagas by the filters of `saga list`.

    A page comes at once, however many sagas there are: where a filter lets few through, it may be short, or empty,
    with `complete: false`, and `next` goes on.
    """
    now = desk.clock.now_ms()
    said = Narrowing(
        states=frozenset(state or ()),
        cause=cause,
        older_than_ms=older_than_ms,
        newer_than_ms=newer_than_ms,
        error=error,
        data=data,
        prefix=saga_id,
        held=held,
    )
    steps = None if step is None else steps_named(desk.registry, step, saga_type)
    wanted = filter_by(said, now=now, saga_type=saga_type, steps=steps, limit=limit)
    async with desk.reader() as reader:
        if saga_id is not None:
            found = await reader.beginning_with(saga_id, wanted)
            return page([summary(saga, now) for saga in found], None)
        part = await read_page(reader, wanted, cursor, desk.clock)
    return page([summary(saga, now) for saga in part.sagas], part.cursor, is_whole=part.is_whole)


@router.get(ONE, summary="Show one saga", response_model=SagaDocument | PurgedSaga)
async def show_saga(desk: TheDesk, saga_type: SagaType, saga_id: SagaId) -> Response:
    """Show its record, where it stands in a sentence, its steps with their times, its request and replies.

    Of a saga that was purged what is kept of it is shown (`purged: true`).
    """
    async with desk.reader() as reader:
        return reply(await document_of(desk, reader, SagaRef(saga_type, saga_id)))


@router.get(f"{ONE}/log", summary="What happened, in order", response_model=list[LogRow])
async def log_of_saga(
    desk: TheDesk,
    saga_type: SagaType,
    saga_id: SagaId,
    every_row: Annotated[bool, Query(alias="all", description="Every row: attempts, retries, acts")] = False,
) -> Response:
    """List what happened to each step; with `all` how, too."""
    async with desk.reader() as reader:
        rows = await read_log(reader, desk.registry, saga_id, saga_type, every_row=every_row)
    return reply([row.as_json() for row in rows])


@router.get(f"{ONE}/explain", summary="What it waits for, and what keeps it", response_model=Explanation)
async def explain_saga(
    desk: TheDesk,
    saga_type: SagaType,
    saga_id: SagaId,
    kafka: Annotated[bool, Query(description="Ask Kafka, too, for three seconds at most")] = True,
) -> Response:
    """Say what it waits for, until when and what then; what keeps it; and whether anybody works on it at all."""
    async with desk.reader() as reader:
        why = await ask_why(
            reader,
            SagaRef(saga_type, saga_id),
            site=desk.site,
            in_flight_max=desk.in_flight_max,
            clock=desk.clock,
            ask_kafka=kafka,
        )
    return reply(why.as_json())


@router.get(f"{ONE}/messages", summary="Its messages in Kafka", response_model=MessagesFound)
async def messages_of_saga(desk: TheDesk, saga_type: SagaType, saga_id: SagaId, limit: Limit = 200) -> Response:
    """List the messages about it that are still in Kafka, oldest first, with topic, partition, offset and headers."""
    async with desk.reader() as reader:
        saga = await reader.find(saga_id, saga_type)
        secrets = await reader.secrets(saga.ref)
    found = await read_saga_messages(desk.kafka, desk.registry, desk.topics, saga, secrets, limit=limit)
    return reply({"items": found.messages, "complete": found.is_whole})


@router.get(f"{ONE}/acts", summary="What operators did to it", response_model=list[ActDocument])
async def acts_of_saga(desk: TheDesk, saga_type: SagaType, saga_id: SagaId, limit: Limit = 100) -> Response:
    """List the acts on it, newest first."""
    async with desk.reader() as reader:
        await reader.find(saga_id, saga_type)  # a saga that is not there has no acts, and that is not an empty list
        rows = await reader.acts(limit, saga_id=saga_id, saga_type=saga_type)
    return reply([act_document(row) for row in rows])


async def document_of(desk: Desk, reader: StoreReader, ref: SagaRef) -> dict[str, Any]:
    """A saga's document, or what is left of it.

    Raises:
        NotFoundError: there is none.

    """
    try:
        shown = await show(reader, desk.registry, ref.saga_id, ref.saga_type, now=desk.clock.now_ms())
    except NotFoundError:
        gone = await reader.find_purged(ref.saga_id, ref.saga_type)
        if gone is None:
            raise
        return purged_document(gone)
    return shown.record
