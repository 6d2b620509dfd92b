"""One verb for many sagas: a list is frozen, looked at, sent, and followed to what became of each."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated, Any

from fastapi import APIRouter, Path
from fastapi.responses import Response

from kafka_saga.orchestrator.http.api.answers import reply
from kafka_saga.orchestrator.http.api.documents import BulkAsked, BulkResult, BulkSend, FrozenList
from kafka_saga.orchestrator.http.desk import Desk, TheDesk
from kafka_saga.orchestrator.http.security.roles import Actor, Role, needs
from kafka_saga.orchestrator.machine.states import VERBS, EventKind
from kafka_saga.orchestrator.operations.acts.asking import NO_REASON, check_asked, wanted_by
from kafka_saga.orchestrator.operations.acts.bulk import Bulk, bulk_on_record
from kafka_saga.orchestrator.operations.acts.choosing import Frozen, choose, choose_ids
from kafka_saga.orchestrator.operations.acts.jobs import BULK_SAGAS_MAX, Job
from kafka_saga.orchestrator.operations.acts.telling import bulk_document, chosen_document
from kafka_saga.orchestrator.operations.sagas.filtering import Narrowing
from kafka_saga.orchestrator.store.act_rows import verb_word
from kafka_saga.runtime.errors import NotFoundError, UsageError

router = APIRouter(tags=["acts on many"])

_Operator = Annotated[Actor, needs(Role.OPERATOR)]
_BulkId = Annotated[str, Path(alias="bulkId", pattern=r"^[0-9a-f]{1,32}$")]
_ONE = "/bulk/{bulkId}"


@router.post("/bulk", summary="Freeze a list of sagas", response_model=FrozenList, status_code=HTTPStatus.CREATED)
async def freeze(desk: TheDesk, actor: _Operator, asked: BulkAsked) -> Response:
    """Choose the sagas that a verb is to be for, and keep the list. Nothing is sent yet: this is the dry run."""
    verb = VERBS[asked.verb]
    frozen = await _choose(desk, verb, asked)
    job = desk.jobs.freeze(verb, actor.name, frozen)
    document = {
        "bulkId": job.bulk_id,
        "verb": asked.verb,
        "total": len(job.chosen),
        "sagas": [chosen_document(one) for one in job.chosen],
        "missing": frozen.missing,
    }
    return reply(document, HTTPStatus.CREATED, {"Location": f"/api/v1/bulk/{job.bulk_id}"})


@router.post(f"{_ONE}/send", summary="Act on a frozen list", response_model=BulkResult, status_code=HTTPStatus.ACCEPTED)
async def send(desk: TheDesk, actor: _Operator, bulk_id: _BulkId, asked: BulkSend) -> Response:
    """Send one act for each saga on the list, meant for the state it was seen in. Sent twice it is sent once."""
    known = desk.jobs.get(bulk_id)
    arguments = {"step": asked.step, "data": asked.data, "as": asked.outcome}
    if known is not None:
        check_asked(known.verb, asked.reason, arguments)
    given = {name: value for name, value in arguments.items() if value is not None}
    job = desk.jobs.begin(
        bulk_id,
        actor=actor.name,
        reason=asked.reason or NO_REASON,
        arguments=given,
        confirmed=None if asked.total is None else str(asked.total),
    )
    return reply(_document(job), HTTPStatus.ACCEPTED, {"Location": f"/api/v1/bulk/{bulk_id}"})


@router.get(_ONE, summary="How far a bulk act is", response_model=BulkResult, dependencies=[needs(Role.READER)])
async def show_bulk(desk: TheDesk, bulk_id: _BulkId) -> Response:
    """Count what was sent, what it came to, and say for which sagas it did not work and why.

    Of a bulk act of before this server's start, what is on record.
    """
    job = desk.jobs.get(bulk_id)
    if job is not None:
        return reply(_document(job))
    async with desk.reader() as reader:
        found = await bulk_on_record(reader, bulk_id, BULK_SAGAS_MAX)
    if found is None:
        raise NotFoundError(f"there is no bulk act '{bulk_id}'")
    verb, bulk = found
    return reply({**bulk_document(bulk_id, bulk, ()), "verb": verb, "running": False, "trouble": None})


async def _choose(desk: Desk, verb: EventKind, asked: BulkAsked) -> Frozen:
    said = Narrowing(
        states=frozenset(asked.state),
        cause=asked.cause,
        older_than_ms=asked.older_than_ms,
        newer_than_ms=asked.newer_than_ms,
        error=asked.error,
        data=asked.data,
        prefix=asked.id,
        held=asked.held,
    )
    async with desk.own_reader() as reader:
        if asked.sagas is not None:
            if said.narrows or asked.step is not None:
                raise UsageError("give a list of ids, or a filter: not both")
            return await choose_ids(reader, desk.registry, asked.sagas, asked.type)
        now = desk.clock.now_ms()
        wanted = wanted_by(verb, said, now=now, saga_type=asked.type, step=asked.step, limit=asked.limit)
        return await choose(reader, desk.registry, wanted)


def _document(job: Job) -> dict[str, Any]:
    bulk = job.bulk or Bulk(len(job.chosen))
    document = bulk_document(job.bulk_id, bulk, job.frozen.missing)
    return {**document, "verb": verb_word(job.verb.value), "running": job.is_running, "trouble": job.trouble}
