"""Who is shown what is sensitive is noted among the acts, on both stores; and no orchestrator takes the note."""

from __future__ import annotations

import pytest

from kafka_saga.orchestrator.operations.acts.revealing import note_reveal
from kafka_saga.orchestrator.operations.dead_letters.noting import note_handled
from kafka_saga.orchestrator.operations.dead_letters.redriving import Author, Progress
from kafka_saga.orchestrator.store.location import StoreLocation
from kafka_saga.runtime.errors import UsageError
from kafka_saga.schemas.ids import SagaRef
from tests.operations.conftest import Desk

ORDER = SagaRef("order", "order-1")


async def test_a_reveal_is_an_act_that_is_done(desk: Desk, at: StoreLocation) -> None:
    await desk.world.begin("order-1")
    await note_reveal(at, ref=ORDER, what="record", actor="ann", reason="which card?", act_id="r-1", now=1_000)
    await note_reveal(at, ref=None, what="order.requests", actor="bob", reason="why?", act_id="r-2", now=2_000)
    await desk.world.turn()

    [messages, record] = await desk.reader.acts(10)
    assert (record.verb, record.ref, record.actor, record.reason) == ("reveal", ORDER, "ann", "which card?")
    assert (record.outcome, record.message, record.decided_at) == ("done", "record was shown whole", 1_000)
    assert messages.arguments == {"what": "order.requests", "scope": "messages:order.requests"}
    assert await desk.reader.acts(10, waiting=True) == []


async def test_who_handled_dead_letters_is_noted_with_what_came_of_it(desk: Desk, at: StoreLocation) -> None:
    author, done = Author("ann", "the model is mended"), Progress(2, handled=2, failed=[("dlq.x/0/1", "no such topic")])
    await note_handled(at, author, "redriven", done, act_id="r-1", now=1_000)
    await note_handled(at, author, "discarded", Progress(0), act_id="r-2", now=2_000)

    [act] = await desk.reader.acts(10)
    assert (act.verb, act.actor, act.reason) == ("redrive", "ann", "the model is mended")
    assert (act.outcome, act.message) == ("done", "2 dead letters redriven")
    assert act.arguments == {"scope": "dead letters", "handled": 2, "failed": 1}


@pytest.mark.parametrize(("actor", "reason"), [("", "why"), ("ann", " "), ("ann", "x" * 501)])
async def test_without_a_name_and_a_reason_nothing_is_shown(
    desk: Desk, at: StoreLocation, actor: str, reason: str
) -> None:
    with pytest.raises(UsageError, match="must have 1 to 500 characters"):
        await note_reveal(at, ref=ORDER, what="record", actor=actor, reason=reason, act_id="r", now=1)

    assert await desk.reader.acts(10) == []
