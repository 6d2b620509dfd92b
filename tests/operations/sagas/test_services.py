"""How services answer, as the overview says it."""

from __future__ import annotations

from kafka_saga.orchestrator.machine.states import EventKind
from kafka_saga.orchestrator.operations.sagas.services import read_answers
from kafka_saga.orchestrator.registry import Registry, load_definitions
from kafka_saga.schemas.envelope import Outcome
from tests.operations.conftest import Desk

HOUR_MS = 3_600_000


async def test_how_long_a_saga_was_parked_is_nobodys_answer(desk: Desk) -> None:
    await desk.park()
    desk.world.clock.advance(HOUR_MS)
    await desk.send(desk.act(EventKind.RETRY_NOW))
    await desk.world.turn(2)
    desk.world.answer(desk.last("releaseItems"), Outcome.SUCCESS)
    await desk.world.turn(2)
    registry = Registry(load_definitions(["kafka_saga.orchestrator.sagas.order"]), {})
    answers = {one.service: one for one in await read_answers(desk.reader, registry)}
    assert len(answers["inventory"].lengths_ms) == 2
    assert max(answers["inventory"].lengths_ms) < HOUR_MS
    assert answers["inventory"].retried == 0
