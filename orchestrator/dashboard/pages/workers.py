"""Workers: who carries sagas out, which services show, how far behind each topic is read, what is paused."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Form
from fastapi.responses import RedirectResponse, Response

from kafka_saga.orchestrator.dashboard.routing import add_page
from kafka_saga.orchestrator.dashboard.services import ailing, services_seen, standing_still
from kafka_saga.orchestrator.dashboard.visit import Page, TheVisit, Visit
from kafka_saga.orchestrator.http.security.roles import Actor, Role, needs
from kafka_saga.orchestrator.machine.events import Act
from kafka_saga.orchestrator.machine.states import EventKind
from kafka_saga.orchestrator.operations.acts.acting import send
from kafka_saga.orchestrator.operations.acts.pausing import PauseRow, list_pauses, on_scope
from kafka_saga.orchestrator.operations.store.replicas import list_replicas
from kafka_saga.runtime.errors import UsageError
from kafka_saga.runtime.live_limits import LAG_PATIENCE_MS
from kafka_saga.runtime.probe import look as look_at_notes

Operator = Annotated[Actor, needs(Role.OPERATOR)]
Text = Annotated[str, Form()]
WARM, HOT = 10, 100
"""From so many unread messages on a cell is coloured."""


async def look(visit: Visit) -> dict[str, Any]:
    """What the page shows; what Kafka does not tell is said to be missing."""
    desk = visit.desk
    reading, now = await desk.lag.read(LAG_PATIENCE_MS), desk.clock.now_ms()
    notes = await asyncio.to_thread(look_at_notes, desk.site.data_dir)
    services = services_seen(desk.registry.services, desk.topics, notes, reading, now)
    async with desk.reader() as reader:
        owner = await reader.owners.now(desk.clock)
        replicas = await list_replicas(reader, desk.store_at, desk.clock)
        pauses = await list_pauses(reader)
        waiting, _since = await reader.outbox_age()
    topics = reading.groups.by_topic()
    return {
        "owner": owner,
        "replicas": replicas,
        "types": [f"{definition.saga_type} v{definition.version}" for definition in desk.registry],
        "members": reading.groups.members,
        "alone": [group for group, found in reading.groups.members.items() if not found],
        "topics": topics,
        "width": max((len(one.cells) for one in topics), default=0),
        "behind": sorted((one for one in topics if one.total), key=lambda one: -one.total),
        "total": reading.behind,
        "outbox": waiting,
        "pauses": pauses,
        "levels": (WARM, HOT),
        "reading": reading,
        "services": services,
        "ailing": ailing(services, standing_still(reading, now), now),
    }


PAGE = Page("Workers", "Workers", "workers.html", look, ("workers/body.html",))
router = APIRouter()
add_page(router, "/workers", PAGE)


@router.get("/pauses", include_in_schema=False)
async def pauses(visit: TheVisit) -> Response:
    """What is paused, and a form to pause something."""
    return await visit.show(PAUSES)


async def _look_at_pauses(visit: Visit) -> dict[str, Any]:
    async with visit.desk.reader() as reader:
        found: list[PauseRow] = await list_pauses(reader)
    registry = visit.desk.registry
    scopes = [f"service:{name}" for name in registry.services] + [f"type:{name}" for name in registry.saga_types]
    return {"pauses": found, "scopes": scopes}


PAUSES = Page("Workers", "Pauses", "pauses.html", _look_at_pauses)


@router.post("/pauses", include_in_schema=False)
async def act(visit: TheVisit, actor: Operator, *, verb: Text, scope: Text, reason: Text = "") -> Response:
    """Pause, or let go on."""
    verbs = {"pause": EventKind.PAUSE, "resume": EventKind.RESUME}
    if verb not in verbs:
        raise UsageError("it is pause or resume")
    queued = on_scope(Act(visit.desk.new_id(), verbs[verb], actor.name, reason.strip() or "no reason given"), scope)
    async with visit.desk.reader() as reader, visit.desk.act_queue() as queue:
        await send(queue, reader, [queued], visit.desk.clock.now_ms())
    return RedirectResponse("/audit", 303)
