"""Timers: what happens next by itself."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from kafka_saga.orchestrator.dashboard.pages.sagas import saga_href
from kafka_saga.orchestrator.dashboard.routing import add_page
from kafka_saga.orchestrator.dashboard.visit import Page, Visit
from kafka_saga.orchestrator.operations.sagas.brief import brief
from kafka_saga.orchestrator.operations.sagas.timers import list_timers
from kafka_saga.orchestrator.store.looking import count_timers
from kafka_saga.runtime.limits import COUNTED_ROWS_MAX

ROWS = 50


async def look(visit: Visit) -> dict[str, Any]:
    """What the page shows."""
    query, registry = visit.request.query_params, visit.desk.registry
    saga_type, after = query.get("type") or None, query.get("after") or None
    now = visit.desk.clock.now_ms()
    async with visit.desk.reader() as reader:
        timers, cursor = await list_timers(
            reader, registry, limit=ROWS, cursor=after, saga_type=saga_type, now=now
        )  # fmt: skip
        number = await count_timers(reader, COUNTED_ROWS_MAX)
        pauses = await reader.pauses()
    texts = [brief(registry.get(one.saga.ref.saga_type, one.saga.definition_version), one.saga) for one in timers]
    return {
        "timers": [(one, saga_href(one.saga.ref), text) for one, text in zip(timers, texts, strict=True)],
        "number": number,
        "many": number >= COUNTED_ROWS_MAX,
        "cursor": cursor,
        "after": after,
        "type": saga_type,
        "types": registry.saga_types,
        "paused": list(pauses),
    }


PAGE = Page("Timers", "Timers", "timers.html", look, ("timers/body.html",))
router = APIRouter()
add_page(router, "/timers", PAGE)
