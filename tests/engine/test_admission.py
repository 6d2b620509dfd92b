"""How many sagas run at once (R20): a flood waits in its topic, and replies and timers never wait behind it."""

from __future__ import annotations

import pytest

from kafka_saga.orchestrator.engine.admission import Admission
from kafka_saga.orchestrator.machine.states import SagaState
from kafka_saga.schemas.envelope import Outcome
from tests.engine.world import REQUESTS, World


async def counts(world: World) -> dict[SagaState, int]:
    return await world.store.count_states()


async def test_only_as_many_sagas_run_as_there_is_room_for_R20(narrow: World) -> None:
    for number in range(10):
        narrow.request(f"order-{number}")
    await narrow.turn(5)
    assert await counts(narrow) == {SagaState.RUNNING: 4, SagaState.PENDING: 6}
    assert len(narrow.sent()) == 4


async def test_a_saga_that_ends_makes_room_for_the_one_that_waited_longest_R20(narrow: World) -> None:
    for number in range(6):
        narrow.request(f"order-{number}")
        await narrow.turn()
    assert [sent.head.parsed_id.saga_id for sent in narrow.sent()] == [f"order-{number}" for number in range(4)]
    for command in ("reserveItems", "chargePayment", "createOrder"):
        first = next(sent for sent in narrow.sent(command) if sent.head.parsed_id.saga_id == "order-2")
        narrow.answer(first)
        await narrow.turn(2)
    assert narrow.sent("reserveItems")[-1].head.parsed_id.saga_id == "order-4"
    assert await counts(narrow) == {SagaState.RUNNING: 4, SagaState.PENDING: 1}


async def test_only_the_request_topics_are_paused_while_sagas_wait_R20(narrow: World) -> None:
    for number in range(10):
        narrow.request(f"order-{number}")
    await narrow.turn(3)
    assert narrow.reader.paused == {REQUESTS}
    command = narrow.sent()[0]
    narrow.answer(command)
    await narrow.turn()
    assert (await narrow.saga(command.head.parsed_id.saga_id)).active_index == 1


@pytest.mark.parametrize(("requests", "switches"), [(5, 0), (10, 1)])
async def test_requests_are_paused_once_and_not_at_every_other_batch_R20(
    narrow: World, requests: int, switches: int
) -> None:
    for number in range(requests):
        narrow.request(f"order-{number}")
    for _ in range(8):
        await narrow.turn()
        narrow.answer(narrow.sent()[0], Outcome.RETRY)  # something to do, but nobody ends
    assert narrow.reader.switches == switches, "each one makes the consumer fetch again what it had"


async def test_requests_are_read_again_once_the_waiting_have_been_admitted_R20(narrow: World) -> None:
    for number in range(10):
        narrow.request(f"order-{number}")
    for _ in range(60):
        await narrow.turn()
        narrow.answer_all()
    assert await counts(narrow) == {}
    assert narrow.reader.paused == frozenset()
    narrow.request("order-99")
    await narrow.turn()
    assert (await narrow.saga("order-99")).state is SagaState.RUNNING


async def test_the_sagas_of_before_a_restart_hold_their_places_R20(narrow: World) -> None:
    for number in range(6):
        narrow.request(f"order-{number}")
    await narrow.turn(2)
    await narrow.crash()
    again = World(narrow.store, narrow.clock)
    again.kafka = narrow.kafka
    await again.start(in_flight_max=5)
    await again.turn(3)
    assert await counts(again) == {SagaState.RUNNING: 5, SagaState.PENDING: 1}
    await again.stop()


async def test_the_window_halves_while_replies_are_late_and_grows_again_after_R20() -> None:
    world = await World().start(in_flight_max=64)
    for number in range(200):
        world.request(f"order-{number}")
    await world.turn(3)
    assert (await counts(world))[SagaState.RUNNING] == 64
    await world.pass_time(1_500)  # more than a quarter of the timeout of 5 s
    slow = world.engine._admission
    assert slow.room == 0
    assert int(slow._window) == 32
    for _ in range(80):
        world.answer_all()
        await world.pass_time(200, 1)
    assert int(slow._window) == 64
    assert await counts(world) == {}
    await world.stop()


async def test_a_full_outbox_pauses_intake_until_the_broker_takes_it_I20(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kafka_saga.orchestrator.engine.publish.OUTBOX_MESSAGES_MAX", 10)
    world.kafka.away = True
    for number in range(5):
        world.request(f"order-{number}")
    world.let_go()
    await world.settle()
    assert not world.reader.arrived.is_set(), "two messages for each saga: the engine reads nothing more"
    world.request("order-late")
    world.kafka.away = False
    while not world.reader.arrived.is_set():
        world.clock.advance(100)
        await world.settle()
    await world.turn(2)
    assert len(world.sent()) == 6


async def test_a_window_of_any_size_accepts_only_so_many_in_advance_R20(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kafka_saga.orchestrator.engine.admission.PENDING_MAX", 10)
    admission = Admission(in_flight_max=1_000_000)
    admission.begin({SagaState.PENDING: 4})
    assert admission.request_wanted
    admission.begin({SagaState.PENDING: 5})
    assert not admission.request_wanted
