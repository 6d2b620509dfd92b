"""The operator's verbs on one saga, a service or a type, followed to what they came to; and the record of them all."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import APIRouter, Depends, Path, Query
from fastapi.responses import Response

from kafka_saga.orchestrator.http.api.answers import Limit, reply
from kafka_saga.orchestrator.http.api.documents import (
    ActAsked,
    ActDocument,
    ActResult,
    PauseDocument,
    ResolveAsked,
    RetryAsked,
    ScopeAsked,
    SkipAsked,
)
from kafka_saga.orchestrator.http.api.sagas import ONE, SagaId, SagaType
from kafka_saga.orchestrator.http.desk import Desk, TheDesk
from kafka_saga.orchestrator.http.problems import problem
from kafka_saga.orchestrator.http.security.roles import Actor, Role, needs
from kafka_saga.orchestrator.machine.saga import service_scope, type_scope
from kafka_saga.orchestrator.machine.states import EventKind
from kafka_saga.orchestrator.operations.acts.acting import meant_for, send, wait
from kafka_saga.orchestrator.operations.acts.asking import Asked
from kafka_saga.orchestrator.operations.acts.following import Result, Standing
from kafka_saga.orchestrator.operations.acts.pausing import list_pauses, on_scope
from kafka_saga.orchestrator.operations.acts.telling import act_document, standing_document
from kafka_saga.orchestrator.operations.sagas.show import show
from kafka_saga.orchestrator.store.port import NO_SAGA, QueuedAct
from kafka_saga.runtime.errors import NotFoundError, UsageError
from kafka_saga.runtime.limits import ACT_TEXT_LENGTH_MAX
from kafka_saga.runtime.live_limits import LIVE_WAIT_MS_MAX
from kafka_saga.schemas.ids import SagaRef

router = APIRouter(tags=["acts"])

Operator = Annotated[Actor, needs(Role.OPERATOR)]
Wait = Annotated[
    int,
    Query(alias="waitMs", ge=0, le=LIVE_WAIT_MS_MAX, description="Follow it for so long; 0: send only, and answer 202"),
]
WAIT_MS = 10_000
_ONE_ACT = "/acts/{actId:path}"
"""Ids of bulk acts have slashes."""

_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"model": ActResult, "description": "What it came to: it succeeded, changed nothing, or failed"},
    202: {"model": ActResult, "description": "It is sent, and has not had its effect yet"},
}


@dataclass(frozen=True, slots=True)
class _OneSaga:
    """Who acts on which saga, and how long he waits for what it comes to."""

    desk: Desk
    actor: Actor
    ref: SagaRef
    wait_ms: int

    async def do(self, verb: EventKind, asked: ActAsked, **arguments: Any) -> Response:
        """Carry out an act."""
        desk, act_id = self.desk, asked.act_id or self.desk.new_id()
        signed = Asked(verb, self.actor.name, act_id, asked.reason, asked.if_state, asked.if_version, arguments)
        async with desk.reader() as reader:
            queued = await meant_for(reader, signed.act(), self.ref.saga_id, self.ref.saga_type)
        return await carry_out(desk, queued, self.wait_ms)


async def _one_saga(
    *, desk: TheDesk, actor: Operator, saga_type: SagaType, saga_id: SagaId, wait_ms: Wait = WAIT_MS
) -> _OneSaga:
    return _OneSaga(desk, actor, SagaRef(saga_type, saga_id), wait_ms)


OneSaga = Annotated[_OneSaga, Depends(_one_saga)]


@router.post(f"{ONE}/retry", summary="Send the step's command again, now", responses=_ANSWERS, response_model=ActResult)
async def retry(saga: OneSaga, asked: RetryAsked) -> Response:
    """Skip the backoff, or go on with what is parked. It has succeeded when the step's reply is in."""
    return await saga.do(EventKind.RETRY_NOW, asked, step=asked.step)


@router.post(f"{ONE}/skip", summary="Mark the step as done by hand", responses=_ANSWERS, response_model=ActResult)
async def skip(saga: OneSaga, asked: SkipAsked) -> Response:
    """Mark the step in flight as done, or as undone where it is being undone: somebody did it by hand."""
    return await saga.do(EventKind.SKIP, asked, step=asked.step, data=asked.data)


@router.post(f"{ONE}/cancel", summary="Undo a running saga", responses=_ANSWERS, response_model=ActResult)
async def cancel(saga: OneSaga, asked: ActAsked) -> Response:
    """Undo the step in flight and everything before it. Refused beyond the point of no return."""
    return await saga.do(EventKind.CANCEL, asked)


@router.post(f"{ONE}/resolve", summary="End a parked saga by hand", responses=_ANSWERS, response_model=ActResult)
async def resolve(saga: OneSaga, asked: ResolveAsked) -> Response:
    """End it as somebody settled it outside. Nothing more is sent."""
    return await saga.do(EventKind.RESOLVE, asked, **{"as": asked.outcome})


@router.post(f"{ONE}/pause", summary="Stop a saga; nothing is lost", responses=_ANSWERS, response_model=ActResult)
async def pause(saga: OneSaga, asked: ActAsked) -> Response:
    """Send nothing more for it, and let nothing time out, until it is resumed."""
    return await saga.do(EventKind.PAUSE, asked)


@router.post(f"{ONE}/resume", summary="Let a paused saga go on", responses=_ANSWERS, response_model=ActResult)
async def resume(saga: OneSaga, asked: ActAsked) -> Response:
    """Send what is due, with a fresh deadline."""
    return await saga.do(EventKind.RESUME, asked)


@router.get(
    "/pauses",
    summary="What is paused, and how many sagas it holds",
    response_model=list[PauseDocument],
    dependencies=[needs(Role.READER)],
)
async def pauses(desk: TheDesk) -> Response:
    """List pauses of services and types, oldest first, and what is held without one."""
    async with desk.reader() as reader:
        return reply([row.as_json() for row in await list_pauses(reader)])


@router.post("/pauses", summary="Pause a service or a saga type", responses=_ANSWERS, response_model=ActResult)
async def pause_scope(desk: TheDesk, actor: Operator, asked: ScopeAsked, wait_ms: Wait = WAIT_MS) -> Response:
    """Stop all commands to a service, or all sagas of a type. Nothing is lost, and nothing times out."""
    return await _on_scope(desk, actor, EventKind.PAUSE, asked, wait_ms)


@router.post("/pauses/resume", summary="Resume a service or a saga type", responses=_ANSWERS, response_model=ActResult)
async def resume_scope(desk: TheDesk, actor: Operator, asked: ScopeAsked, wait_ms: Wait = WAIT_MS) -> Response:
    """Let go on what was paused, as there is room."""
    return await _on_scope(desk, actor, EventKind.RESUME, asked, wait_ms)


@router.get("/acts", summary="What operators did", response_model=list[ActDocument], dependencies=[needs(Role.READER)])
async def list_acts(
    desk: TheDesk,
    waiting: Annotated[bool, Query(description="Only those that no orchestrator has taken yet")] = False,
    bulk_id: Annotated[str | None, Query(alias="bulkId", max_length=64, description="Only of this bulk act")] = None,
    limit: Limit = 100,
) -> Response:
    """List acts, newest first: who, why, when, and what became of it."""
    async with desk.reader() as reader:
        rows = await reader.acts(limit, waiting=waiting, bulk_id=bulk_id)
    return reply([act_document(row) for row in rows])


@router.get(_ONE_ACT, summary="What became of one act", response_model=ActDocument, dependencies=[needs(Role.READER)])
async def show_act(
    desk: TheDesk, act_id: Annotated[str, Path(alias="actId", max_length=ACT_TEXT_LENGTH_MAX)]
) -> Response:
    """Show one act by its id."""
    async with desk.reader() as reader:
        found = (await reader.acts_by_id([act_id])).get(act_id)
    if found is None:
        raise NotFoundError(f"there is no act '{act_id}'")
    return reply(act_document(found))


async def _on_scope(desk: Desk, actor: Actor, verb: EventKind, asked: ScopeAsked, wait_ms: int) -> Response:
    if (asked.service is None) == (asked.type is None):
        raise UsageError("say which service, or which type: one of them")
    if asked.running and (asked.type is None or verb is EventKind.RESUME):
        raise UsageError("`running` goes with pausing a type")
    scope = (
        type_scope(asked.type)
        if asked.service is None and asked.type is not None
        else service_scope(asked.service or "")
    )
    signed = Asked(verb, actor.name, asked.act_id or desk.new_id(), asked.reason)
    return await carry_out(desk, on_scope(signed.act(), scope, under_way=asked.running), wait_ms)


async def carry_out(desk: Desk, queued: QueuedAct, wait_ms: int) -> Response:
    """Send an act and follow it; the answer says what it came to.

    Raises:
        RefusedError: the act's id was used for something else.
        StoreUnavailableError: the store does not answer.

    """
    async with desk.reader() as reader:
        async with desk.act_queue() as queue:
            await send(queue, reader, [queued], desk.clock.now_ms())
        if not wait_ms:
            return _told(queued, standing_document(queued, Standing(Result.WAITING, "sent"), None))
    # Its own reader, so that who waits keeps nobody else from asking.
    async with desk.own_reader() as reader:
        holder = partial(reader.owners.now, desk.clock)
        standing = await wait(reader, queued, clock=desk.clock, timeout_ms=wait_ms, holder=holder)
        shown = None
        if queued.ref != NO_SAGA:
            saga_type, saga_id = queued.ref
            shown = await show(reader, desk.registry, saga_id, saga_type, now=desk.clock.now_ms())
    return _told(queued, standing_document(queued, standing, shown))


def _told(queued: QueuedAct, document: dict[str, Any]) -> Response:
    headers = {"Location": f"/api/v1/acts/{quote(queued.act.act_id, safe='')}"}  # it may be any text
    match Result(document["result"]):
        case Result.WAITING:
            return reply(document, HTTPStatus.ACCEPTED, headers)
        case Result.REFUSED:
            return problem(HTTPStatus.CONFLICT, "refused", str(document["message"]), act=document)
        case _:
            return reply(document)
