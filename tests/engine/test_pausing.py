"""Pauses at work: what is paused gets no command, nothing times out, and all goes on when it is resumed."""

from __future__ import annotations

from typing import Any

import pytest

from kafka_saga.orchestrator.machine.events import Act
from kafka_saga.orchestrator.machine.states import EventKind, SagaState
from kafka_saga.orchestrator.sagas.order import order_saga
from kafka_saga.orchestrator.store.memory import MemoryStore
from kafka_saga.orchestrator.store.port import ActOutcome, QueuedAct
from kafka_saga.schemas.envelope import Outcome
from kafka_saga.schemas.ids import SagaRef
from tests.engine.world import REQUESTS, World
from tests.machine.worlds import plain_saga

HOUR_MS = 3_600_000


class Operator:
    """Pauses and resumes, each as an act that the engine takes."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.acts = 0

    async def __call__(self, verb: str, saga_id: str | None = None, **arguments: Any) -> ActOutcome:
        store = self.world.store
        assert isinstance(store, MemoryStore)
        self.acts += 1
        act = Act(f"act-{self.acts}", EventKind(verb), "ann", "maintenance", arguments=arguments)
        await store.queue_act(QueuedAct(act, SagaRef("order", saga_id) if saga_id else SagaRef("", "")))
        await self.world.pass_time(200, 2)
        outcome = await store.act_outcome(act.act_id)
        assert outcome is not None
        return outcome


@pytest.fixture
def operator(world: World) -> Operator:
    return Operator(world)


async def orders(world: World, count: int, first: int = 0) -> None:
    for number in range(first, first + count):
        world.request(f"order-{number}")
    await world.turn(3)


async def finish_all(world: World, turns: int = 40) -> None:
    for _ in range(turns):
        world.answer_all()
        await world.turn()


async def states(world: World) -> dict[SagaState, int]:
    return await world.store.count_states()


# --- one saga -------------------------------------------------------------------------------------


async def test_a_paused_saga_stands_still_for_hours_and_then_goes_on(world: World, operator: Operator) -> None:
    reserve = await world.begin()
    assert await operator("pause", "order-1") == ActOutcome(
        "act-1", "done", "the saga is RUNNING, held by ann: maintenance"
    )
    await world.pass_time(HOUR_MS)
    world.answer(reserve)
    await world.turn()
    assert len(world.sent()) == 1

    assert (await operator("resume", "order-1")).outcome == "done"

    assert [sent.head.attempt for sent in world.sent("chargePayment")] == [1]
    await finish_all(world, 6)
    assert (await world.saga()).state is SagaState.COMPLETED


async def test_a_paused_pending_saga_is_not_admitted_while_others_are(narrow: World) -> None:
    operator = Operator(narrow)
    await orders(narrow, 6)  # four run, 4 and 5 wait
    assert (await operator("pause", "order-4")).message == "the saga is PENDING, held by ann: maintenance"

    await finish_all(narrow)

    assert await states(narrow) == {SagaState.PENDING: 1}
    assert narrow.engine._poll_timeout_ms() > 0, "it must not be looked for again and again"
    await operator("resume", "order-4")
    await finish_all(narrow)
    assert await states(narrow) == {}


# --- a service ------------------------------------------------------------------------------------


async def test_a_paused_service_gets_no_command_and_nothing_is_lost(world: World, operator: Operator) -> None:
    outcome = await operator("pause", scope="service:payment")
    assert outcome.message == "service 'payment' is paused: its commands wait"
    await orders(world, 5)
    await finish_all(world, 5)
    assert world.sent("chargePayment") == []

    await world.pass_time(HOUR_MS)
    assert await states(world) == {SagaState.RUNNING: 5}
    assert len(world.sent()) == 5, "each saga sent its first command once"

    await operator("resume", scope="service:payment")
    await finish_all(world)
    assert await states(world) == {}
    assert len(world.sent("chargePayment")) == 5
    assert all(sent.head.attempt == 1 for sent in world.sent())


async def test_a_command_in_flight_to_a_paused_service_does_not_time_out(world: World, operator: Operator) -> None:
    await world.begin()
    await world.succeed("reserveItems")
    [charge] = world.sent("chargePayment")
    await operator("pause", scope="service:payment")
    await world.pass_time(HOUR_MS)
    assert "TIMEOUT" not in await world.statuses()

    await operator("resume", scope="service:payment")

    assert len(world.sent("chargePayment")) == 1, "it is in the topic already"
    world.answer(charge)
    await finish_all(world, 6)
    assert (await world.saga()).state is SagaState.COMPLETED


async def test_held_sagas_hold_no_place_so_that_others_go_on_R20() -> None:
    world = await World().start(order_saga, plain_saga, in_flight_max=4)
    operator = Operator(world)
    await operator("pause", scope="service:payment")
    await orders(world, 20)
    await finish_all(world, 30)
    assert world.engine._admission.held == {"service:payment": 20}
    assert world.engine._admission.room == 4

    world.put("plain.requests", b'{"id":"plain-1"}')
    await world.turn(3)

    assert (await world.store.load([SagaRef("plain", "plain-1")]))[SagaRef("plain", "plain-1")].saga.state == "RUNNING"
    await world.stop()


async def test_resumed_sagas_go_on_as_there_is_room_R20(narrow: World) -> None:
    operator = Operator(narrow)
    await operator("pause", scope="service:payment")
    await orders(narrow, 20)
    await finish_all(narrow, 30)

    await operator("resume", scope="service:payment")
    await narrow.turn(5)
    assert len(narrow.sent("chargePayment")) == 4
    assert narrow.engine._admission.held == {"service:payment": 16}

    await finish_all(narrow, 60)
    assert await states(narrow) == {}
    assert narrow.engine._admission.in_flight == 0
    assert not narrow.engine._admission.held


async def test_released_sagas_go_before_new_ones(narrow: World) -> None:
    operator = Operator(narrow)
    await operator("pause", scope="service:payment")
    await orders(narrow, 4)
    await finish_all(narrow, 10)
    await operator("resume", scope="service:payment")
    await orders(narrow, 4, first=10)
    assert len(narrow.sent("chargePayment")) == 4
    assert {sent.head.parsed_id.saga_id for sent in narrow.sent("reserveItems")} == {f"order-{n}" for n in range(4)}


async def test_held_commands_do_not_shrink_the_window_R20(world: World, operator: Operator) -> None:
    await orders(world, 10)
    for number in range(10):
        await operator("pause", f"order-{number}")
    window = world.engine._admission._window
    await world.pass_time(HOUR_MS)
    for number in range(10):
        await operator("resume", f"order-{number}")

    assert world.engine._admission._window == window


async def test_too_many_held_sagas_stop_admission_so_that_the_disk_does_not_fill_I20(
    narrow: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kafka_saga.orchestrator.engine.admission.HELD_MAX", 6)
    operator = Operator(narrow)
    await operator("pause", scope="service:payment")
    await orders(narrow, 40)
    await finish_all(narrow, 40)
    assert narrow.engine._admission.held.total() == 10
    assert narrow.reader.paused == {REQUESTS}

    await operator("resume", scope="service:payment")
    await finish_all(narrow, 200)
    assert await states(narrow) == {}


async def test_a_pause_survives_a_crash_and_so_does_what_it_holds(world: World, operator: Operator) -> None:
    await operator("pause", scope="service:payment")
    await orders(world, 3)
    await finish_all(world, 4)
    await world.crash()

    again = World(world.store, world.clock)
    again.kafka = world.kafka
    await again.start()
    again._answered = world._answered
    again.request("order-7")
    await finish_all(again, 6)
    assert again.sent("chargePayment") == []
    assert again.engine._admission.held == {"service:payment": 4}
    last = Operator(again)
    last.acts = operator.acts
    await last("resume", scope="service:payment")
    await finish_all(again)
    assert await states(again) == {}
    await again.stop()


async def test_a_resume_that_crashed_half_way_is_finished_after_the_start(narrow: World) -> None:
    operator = Operator(narrow)
    await operator("pause", scope="service:payment")
    await orders(narrow, 10)
    await finish_all(narrow, 20)
    await operator("resume", scope="service:payment")
    await narrow.crash()
    assert (await narrow.store.count_held())["service:payment", SagaState.RUNNING] == 6

    again = World(narrow.store, narrow.clock)
    again.kafka = narrow.kafka
    await again.start(in_flight_max=4)
    await finish_all(again, 60)
    assert await states(again) == {}
    await again.stop()


# --- a type ---------------------------------------------------------------------------------------


async def test_requests_of_a_paused_type_stay_in_their_topic_and_others_are_read() -> None:
    world = await World().start(order_saga, plain_saga)
    operator = Operator(world)
    await orders(world, 2)
    await operator("pause", scope="type:order")
    world.request("order-late")
    world.put("plain.requests", b'{"id":"plain-1"}')
    await finish_all(world, 10)

    assert world.reader.paused == {REQUESTS}
    loaded = await world.store.load([SagaRef("order", "order-late"), SagaRef("plain", "plain-1")])
    assert set(loaded) == {SagaRef("plain", "plain-1")}
    assert (await world.saga("order-0")).state is SagaState.COMPLETED, "sagas under way go on"

    await operator("resume", scope="type:order")
    assert world.reader.paused == frozenset()
    await finish_all(world, 10)
    assert (await world.saga("order-late")).state is SagaState.COMPLETED
    await world.stop()


async def test_waiting_sagas_of_a_paused_type_are_not_admitted_and_stop_no_others() -> None:
    world = await World().start(order_saga, plain_saga, in_flight_max=2)
    operator = Operator(world)
    await orders(world, 6)
    await operator("pause", scope="type:order")
    await finish_all(world, 10)
    assert await states(world) == {SagaState.PENDING: 4}
    assert world.engine._poll_timeout_ms() > 0

    world.put("plain.requests", b'{"id":"plain-1"}')
    await world.turn(3)
    ref = SagaRef("plain", "plain-1")
    assert (await world.store.load([ref]))[ref].saga.state is SagaState.RUNNING

    await operator("resume", scope="type:order")
    await finish_all(world, 40)
    assert (await world.saga("order-5")).state is SagaState.COMPLETED
    await world.stop()


async def test_sagas_under_way_of_a_type_can_be_held_too(world: World, operator: Operator) -> None:
    await orders(world, 3)
    await operator("pause", scope="type:order", underWay=True)
    await finish_all(world, 5)
    assert len(world.sent()) == 3
    assert world.engine._admission.held == {"type:order": 3}

    await operator("resume", scope="type:order")
    await finish_all(world, 10)
    assert await states(world) == {}


# --- the acts -------------------------------------------------------------------------------------


async def test_a_pause_that_is_there_already_is_unchanged_R25(operator: Operator) -> None:
    assert (await operator("pause", scope="service:payment")).outcome == "done"
    again = await operator("pause", scope="service:payment")
    assert (again.outcome, again.message) == ("unchanged", "service 'payment' is paused already, by ann: maintenance")
    assert (await operator("resume", scope="service:payment")).outcome == "done"
    last = await operator("resume", scope="service:payment")
    assert (last.outcome, last.message) == ("unchanged", "service 'payment' is not paused")


@pytest.mark.parametrize(
    ("scope", "message"),
    [
        ("service:paymnt", "no definition has the service 'paymnt': there are inventory, orders, payment"),
        ("type:ordre", "no definition has the saga type 'ordre': there are order"),
        ("everything", "'everything' cannot be paused: name a service or a saga type"),
    ],
)
async def test_what_does_not_exist_cannot_be_paused(world: World, operator: Operator, scope: str, message: str) -> None:
    assert await operator("pause", scope=scope) == ActOutcome("act-1", "refused", message)
    assert await world.store.pauses() == {}


async def test_a_pause_of_a_type_can_be_widened(world: World, operator: Operator) -> None:
    await operator("pause", scope="type:order")
    assert (await operator("pause", scope="type:order", underWay=True)).outcome == "done"
    assert (await world.store.pauses())["type:order"].under_way


async def test_a_cancel_of_a_held_saga_undoes_what_needs_no_paused_service(world: World, operator: Operator) -> None:
    await operator("pause", scope="service:payment")
    await orders(world, 1)
    await finish_all(world, 3)
    await operator("cancel", "order-0")
    await finish_all(world, 3)
    saga = await world.saga("order-0")
    assert saga.state is SagaState.COMPENSATED
    assert saga.held is None


async def test_a_retry_reply_during_a_pause_is_counted_and_sent_again_after_it(
    world: World, operator: Operator
) -> None:
    reserve = await world.begin()
    await operator("pause", scope="service:inventory")
    world.answer(reserve, Outcome.RETRY)
    await world.turn()
    await world.pass_time(HOUR_MS)
    assert len(world.sent()) == 1
    await operator("resume", scope="service:inventory")
    await world.turn(2)
    assert [sent.head.attempt for sent in world.sent("reserveItems")] == [1, 2]
    assert {sent.head.command_id for sent in world.sent()} == {reserve.head.command_id}
