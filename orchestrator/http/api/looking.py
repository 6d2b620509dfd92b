"""What there is beside single sagas: figures, timers, definitions, replicas, lag, purges; and what answers here."""

from __future__ import annotations

from http import HTTPStatus
from importlib.metadata import version
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from fastapi.responses import Response

from kafka_saga.orchestrator.http.api.answers import Cursor, Limit, page, reply
from kafka_saga.orchestrator.http.api.documents import (
    About,
    DefinitionDocument,
    Figures,
    LagDocument,
    Page,
    PurgeAsked,
    PurgeDocument,
    ReplicaDocument,
    TimerDocument,
)
from kafka_saga.orchestrator.http.api.sagas import SagaType
from kafka_saga.orchestrator.http.desk import TheDesk
from kafka_saga.orchestrator.http.security.roles import Actor, Role, needs
from kafka_saga.orchestrator.machine.states import TERMINAL, SagaState
from kafka_saga.orchestrator.operations.acts.asking import NO_REASON
from kafka_saga.orchestrator.operations.kafka.lag import read_groups
from kafka_saga.orchestrator.operations.sagas.describing import describe_definition
from kafka_saga.orchestrator.operations.sagas.timers import list_timers
from kafka_saga.orchestrator.operations.store.purging import ask_for
from kafka_saga.orchestrator.operations.store.replicas import list_replicas
from kafka_saga.orchestrator.store.retention import Asker, Purge, QueuedPurge
from kafka_saga.orchestrator.store.vitals import read_offsets
from kafka_saga.runtime.errors import NotFoundError
from kafka_saga.runtime.limits import VERSION_MAX
from kafka_saga.schemas.ids import NAME_PATTERN

router = APIRouter()

_Reader = Annotated[Actor, needs(Role.READER)]
_READERS = [needs(Role.READER)]
_VERSION = "/definitions/{sagaType}/{version}"
_PLACES = (
    "openapi.json",
    "sagas",
    "events",
    "acts",
    "pauses",
    "dead-letters",
    "timers",
    "definitions",
    "replicas",
    "lag",
    "figures",
)


@router.get("/", summary="What answers here", response_model=About, tags=["about"])
async def about(desk: TheDesk, actor: _Reader) -> Response:
    """Say which program, which store, who you are, and where things are."""
    return reply(
        {
            "version": version("kafka-saga"),
            "store": str(desk.store_at),
            "readOnly": not desk.may_write,
            "sagaTypes": desk.registry.saga_types,
            "you": {"name": actor.name, "role": actor.role.name.lower()},
            "links": {place: f"/api/v1/{place}" for place in _PLACES},
        }
    )


@router.get("/figures", summary="How the sagas are", response_model=Figures, tags=["about"], dependencies=_READERS)
async def figures(desk: TheDesk) -> Response:
    """Count sagas by state, say how many end per second, and how long the newest took."""
    return reply((await desk.figures()).as_json())


@router.get(
    "/timers",
    summary="What happens next by itself",
    response_model=Page[TimerDocument],
    tags=["timers"],
    dependencies=_READERS,
)
async def timers(
    desk: TheDesk,
    saga_type: Annotated[str | None, Query(alias="type", pattern=NAME_PATTERN, description="Only of this type")] = None,
    limit: Limit = 100,
    cursor: Cursor = None,
) -> Response:
    """List deadlines and the ends of backoffs, the soonest first."""
    now = desk.clock.now_ms()
    async with desk.reader() as reader:
        found, more = await list_timers(reader, desk.registry, limit=limit, cursor=cursor, saga_type=saga_type, now=now)
    return page([timer.as_json(now) for timer in found], more)


@router.get(
    "/definitions",
    summary="The definitions that this program has",
    response_model=list[DefinitionDocument],
    tags=["definitions"],
    dependencies=_READERS,
)
async def definitions(desk: TheDesk) -> Response:
    """List every version of every type, with its graph and its request's JSON Schema."""
    return reply([describe_definition(one, desk.registry, desk.topics) for one in desk.registry])


@router.get(
    _VERSION,
    summary="One definition",
    response_model=DefinitionDocument,
    tags=["definitions"],
    dependencies=_READERS,
)
async def definition(
    desk: TheDesk, saga_type: SagaType, number: Annotated[int, Path(alias="version", ge=1, le=VERSION_MAX)]
) -> Response:
    """Show one version of a type."""
    found = desk.registry.get(saga_type, number)
    if found is None:
        raise NotFoundError(f"no code here has version {number} of '{saga_type}'; /api/v1/definitions lists all")
    return reply(describe_definition(found, desk.registry, desk.topics))


@router.get(
    "/replicas",
    summary="Who works on the store",
    response_model=list[ReplicaDocument],
    tags=["workers"],
    dependencies=_READERS,
)
async def replicas(desk: TheDesk) -> Response:
    """List the orchestrators, whether each lives, and what it has not published yet."""
    async with desk.reader() as reader:
        return reply(await list_replicas(reader, desk.store_at, desk.clock))


@router.get(
    "/lag", summary="Who has read how far", response_model=list[LagDocument], tags=["workers"], dependencies=_READERS
)
async def lag(desk: TheDesk) -> Response:
    """List every partition that the orchestrator and the services read, with what waits in it."""
    async with desk.reader() as reader:
        positions = await read_offsets(reader)
    found = await read_groups(positions, desk.kafka, desk.registry, desk.topics, desk.group)
    return reply([one.as_json() for one in found.lags])


@router.post(
    "/purges",
    summary="Delete finished sagas",
    response_model=PurgeDocument,
    status_code=HTTPStatus.ACCEPTED,
    responses={200: {"model": PurgeDocument, "description": "A dry run, or nothing to do"}},
    tags=["purges"],
)
async def purge(desk: TheDesk, actor: Annotated[Actor, needs(Role.OPERATOR)], asked: PurgeAsked) -> Response:
    """Have finished sagas deleted with their logs. The orchestrator does it between its batches.

    Their ids are remembered for a while: a duplicate of their request is still one.
    """
    states = frozenset(SagaState(name) for name in asked.state) or TERMINAL
    wanted = Purge(max(0, desk.clock.now_ms() - asked.older_than_ms), asked.type, states)
    async with desk.reader() as reader:
        count = await reader.count_purgeable(wanted)
    if asked.dry_run or not count:
        return reply({"purgeId": None, "purgeable": count, "purged": 0, "done": not count})
    queued = QueuedPurge(desk.new_id(), wanted)
    await ask_for(desk.store_at, queued, Asker(actor.name, asked.reason or NO_REASON), desk.clock)
    document: dict[str, Any] = {"purgeId": queued.purge_id, "purgeable": count, "purged": 0, "done": False}
    return reply(document, HTTPStatus.ACCEPTED, {"Location": f"/api/v1/purges/{queued.purge_id}"})


@router.get(
    "/purges/{purgeId}",
    summary="How far a purge is",
    response_model=PurgeDocument,
    tags=["purges"],
    dependencies=_READERS,
)
async def show_purge(
    desk: TheDesk, purge_id: Annotated[str, Path(alias="purgeId", pattern=r"^[0-9a-f]{1,64}$")]
) -> Response:
    """Say how many sagas it has deleted, and whether it is done."""
    async with desk.reader() as reader:
        found = await reader.purge_of(purge_id)
    if found is None:
        raise NotFoundError(f"there is no purge '{purge_id}'")
    purged, done = found
    return reply({"purgeId": purge_id, "purgeable": None, "purged": purged, "done": done})
