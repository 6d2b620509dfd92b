"""Failures: one line for the same words at the same step."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from kafka_saga.orchestrator.dashboard.pages.overview import failure_href
from kafka_saga.orchestrator.dashboard.pages.sagas import saga_href
from kafka_saga.orchestrator.dashboard.routing import add_page
from kafka_saga.orchestrator.dashboard.visit import Page, Visit
from kafka_saga.orchestrator.operations.sagas.failures import FailureLine, list_failures
from kafka_saga.runtime.limits import PAGE_WINDOW_ROWS
from kafka_saga.runtime.live_limits import FAILURE_LINES_MAX
from kafka_saga.schemas.ids import SagaRef


async def look(visit: Visit) -> dict[str, Any]:
    """What the page shows."""
    query = visit.request.query_params
    service, which = query.get("service", ""), query.get("which", "")
    async with visit.desk.reader() as reader:
        lines, others = await list_failures(reader, visit.desk.registry)
    held = [line for line in lines if line.parked or line.retrying]
    chosen = [line for line in lines if _wanted(line, service, which)]
    services = sorted({line.service for line in lines if line.service})
    return {
        "lines": [(line, _links(line)) for line in chosen],
        "all": len(lines),
        "held": len(held),
        "holding": [line for line in lines if line.parked],
        "services": [(name, sum(line.service == name for line in lines)) for name in services],
        "service": service,
        "which": which,
        "others": others,
        "lines_max": FAILURE_LINES_MAX,
        "window": PAGE_WINDOW_ROWS,
    }


def _wanted(line: FailureLine, service: str, which: str) -> bool:
    return (not service or line.service == service) and (which != "held" or bool(line.parked or line.retrying))


def _links(line: FailureLine) -> dict[str, str]:
    retrying = "compensating" if line.undoing else "running"
    return {
        "example": saga_href(SagaRef(line.saga_type, line.example)),
        "parked": failure_href(line),
        "retrying": failure_href(line, retrying),
        "undone": failure_href(line, "compensated"),
    }


PAGE = Page("Failures", "Failures", "failures.html", look, ("failures/body.html",))
router = APIRouter()
add_page(router, "/failures", PAGE)
