"""A saga that was asked for a moment ago and is not there yet: its page is, and becomes the saga's by itself."""

from __future__ import annotations

from typing import Any

from kafka_saga.orchestrator.dashboard.visit import Visit
from kafka_saga.schemas.ids import SagaRef, is_saga_id

ASKED = "asked"
"""What the address has then: when it was asked for, milliseconds."""

PATIENCE_MS = 30_000
"""Who waits for longer is told where to look, and no more that it comes."""

_DIGITS_MAX = 15


async def awaited(visit: Visit, ref: SagaRef) -> dict[str, Any] | None:
    """What the page of a saga that does not exist shows; None where nobody waits for it to begin.

    Args:
        visit: its address says when the saga was asked for.
        ref: a saga that the store does not have.

    """
    asked_at = visit.request.query_params.get(ASKED, "")
    is_moment = asked_at.isascii() and asked_at.isdigit() and len(asked_at) <= _DIGITS_MAX
    if not is_moment or not is_saga_id(ref.saga_id) or visit.desk.registry.active(ref.saga_type) is None:
        return None
    async with visit.desk.reader() as reader:
        if await reader.find_purged(ref.saga_id, ref.saga_type) is not None:
            return None
        owner = await reader.owners.now(visit.desk.clock)
    return {
        "title": f"{ref.saga_id}, on its way",
        "told": None,
        "live_parts": ("saga/awaited.html",),
        "ref": ref,
        "asked_at": int(asked_at),
        "owner": owner,
        "is_late": visit.desk.clock.now_ms() - int(asked_at) > PATIENCE_MS,
        "requests": visit.desk.topics.requests(ref.saga_type),
    }
