"""Showing what is sensitive to who asks for it and may: an act like the others, noted before anything is shown."""

from __future__ import annotations

from kafka_saga.orchestrator.operations.acts.noting import note_done
from kafka_saga.orchestrator.store.act_rows import REVEAL
from kafka_saga.orchestrator.store.location import StoreLocation
from kafka_saga.orchestrator.store.port import NO_SAGA, NotedAct
from kafka_saga.runtime.errors import UsageError
from kafka_saga.runtime.limits import ACT_TEXT_LENGTH_MAX
from kafka_saga.schemas.ids import SagaRef


async def note_reveal(
    at: StoreLocation, *, ref: SagaRef | None, what: str, actor: str, reason: str, act_id: str, now: int
) -> None:
    """Note that somebody is shown what is sensitive. Whoever cannot be noted is shown nothing.

    Args:
        at: the store, whose acts are the audit.
        ref: the saga; None where it is about messages of several.
        what: what is shown: `record`, `log`, or a topic's name.
        actor: who asks.
        reason: why; it is kept.
        act_id: of the note.
        now: when, in milliseconds.

    Raises:
        UsageError: nobody or no reason is named, or at too great length.
        StoreUnavailableError: there is no store, or its server does not answer.

    """
    for name, text in (("actor", actor), ("reason", reason)):
        if not 0 < len(text.strip()) <= ACT_TEXT_LENGTH_MAX:
            raise UsageError(f"to see what is sensitive, the {name} must have 1 to {ACT_TEXT_LENGTH_MAX} characters")
    arguments = {"what": what} if ref is not None else {"what": what, "scope": f"messages:{what}"}
    await note_done(
        at, NotedAct(act_id, ref or NO_SAGA, REVEAL, actor, reason, f"{what} was shown whole", arguments), now
    )
