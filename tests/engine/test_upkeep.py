"""What the engine forgets, when it has time for it, and what it still knows afterwards (R11, R29)."""

from __future__ import annotations

import pytest

from kafka_saga.orchestrator.definition import Saga
from kafka_saga.orchestrator.engine.upkeep import QUIET_MS, SWEEP_INTERVAL_MS, Retention, Upkeep
from kafka_saga.orchestrator.machine.states import SagaState
from kafka_saga.orchestrator.sagas.order import order_saga
from kafka_saga.orchestrator.store.memory import MemoryStore
from kafka_saga.orchestrator.store.retention import Purge, PurgeStep, QueuedPurge
from kafka_saga.runtime.clock import Clock
from kafka_saga.schemas.envelope import Outcome
from kafka_saga.schemas.ids import SagaRef
from tests.contracts.stores import NOW, SetClock, cancel, finish, start_running
from tests.engine.world import REQUESTS, StillClock, World

DAY = 24 * 3_600_000
MONTH = Retention(30 * DAY, 60 * DAY)
REF = SagaRef("order", "order-1")


async def completed(world: World, saga_id: str = "order-1") -> None:
    world.request(saga_id)
    for _ in range(8):
        await world.turn()
        world.answer_all()
    assert (await world.saga(saga_id)).state is SagaState.COMPLETED


async def purged() -> World:
    """A world whose saga ended so long ago that it is purged."""
    world = await World().start(retention=MONTH)
    await completed(world)
    await world.pass_time(5_000)  # the sweep that began with the start comes to its end
    await world.pass_time(31 * DAY)
    assert await world.store.load([REF]) == {}
    return world


async def test_a_finished_saga_is_purged_after_its_time_and_not_before() -> None:
    world = await World().start(retention=MONTH)
    await completed(world)
    await world.pass_time(30 * DAY - 1)
    assert REF in await world.store.load([REF])
    await world.pass_time(SWEEP_INTERVAL_MS)
    assert await world.store.load([REF]) == {}
    await world.stop()


async def test_a_duplicate_request_for_a_purged_saga_is_counted_and_starts_nothing_R3_R29() -> None:
    world = await purged()
    commands = len(world.sent())
    world.request()
    await world.turn(3)
    assert world.engine.counts["duplicate_request"] == 1
    assert len(world.sent()) == commands
    assert await world.store.load([REF]) == {}
    await world.stop()


async def test_another_request_with_a_purged_id_is_a_conflict_R3_R29() -> None:
    world = await purged()
    world.request(amount=1)
    await world.turn(3)
    assert [cause for cause, _ in world.dead_letters(REQUESTS)] == ["conflict"]
    await world.stop()


async def test_a_late_reply_to_a_purged_saga_is_counted_and_no_dead_letter_R11() -> None:
    world = await purged()
    ignored = world.engine.counts["ignored_finished"]
    world.answer(world.sent("createOrder")[-1])
    await world.turn(3)
    assert world.engine.counts["ignored_finished"] == ignored + 1
    assert world.dead_letters("orders.replies") == []
    await world.stop()


async def test_a_late_reply_to_a_finished_saga_of_a_version_that_no_code_has_is_no_dead_letter_R11() -> None:
    world = await World().start()
    await completed(world)
    await world.stop()
    newer = Saga("order", version=2, request=order_saga.request, id_from="order_id", steps=order_saga.steps)
    again = World(world.store, world.clock)
    again.kafka = world.kafka
    await again.start(newer)
    again.answer(world.sent("createOrder")[-1])
    await again.turn(3)
    assert again.engine.counts["ignored_finished"] >= 1
    assert again.dead_letters("orders.replies") == []
    await again.stop()


async def test_an_act_on_a_purged_saga_is_refused_with_how_it_ended_R25() -> None:
    world = await purged()
    assert isinstance(world.store, MemoryStore)
    await world.store.queue_act(cancel("act-1"))
    await world.pass_time(1_000)
    outcome = await world.store.act_outcome("act-1")
    assert outcome is not None
    assert (outcome.outcome, outcome.message) == ("refused", "saga order/order-1 was COMPLETED and is purged")
    await world.stop()


async def test_an_identity_is_forgotten_after_its_own_time_and_its_id_may_be_used_again_R29() -> None:
    world = await purged()
    await world.pass_time(60 * DAY + SWEEP_INTERVAL_MS, turns=8)
    assert await world.store.load_purged([REF]) == {}
    world.request()
    await world.turn(3)
    assert (await world.saga()).state is SagaState.RUNNING
    await world.stop()


async def test_without_a_retention_everything_is_kept_for_ever() -> None:
    world = await World().start()
    await completed(world)
    await world.pass_time(3_650 * DAY)
    assert REF in await world.store.load([REF])
    await world.stop()


async def test_a_parked_saga_is_never_purged() -> None:
    world = await World().start(retention=MONTH)
    await world.begin()
    await world.succeed("reserveItems")
    world.answer(world.sent("chargePayment")[-1], Outcome.FAILURE)
    await world.turn(2)
    world.answer(world.sent("releaseItems")[-1], Outcome.FAILURE)
    await world.turn(2)
    assert (await world.saga()).state is SagaState.PARKED
    await world.pass_time(400 * DAY)
    assert (await world.saga()).state is SagaState.PARKED
    await world.stop()


async def test_a_purge_that_an_operator_asks_for_is_done_by_the_running_engine() -> None:
    world = await World().start()
    await completed(world)
    assert isinstance(world.store, MemoryStore)
    await world.store.queue_purge(QueuedPurge("p-1", Purge(world.clock.now_ms() + 1)))
    await world.pass_time(1_000)
    assert await world.store.load([REF]) == {}
    assert await world.store.waiting_purges() == []
    await world.stop()


class SetMonotonic(SetClock):
    """Counts the time that a store's steps say they took."""

    def __init__(self) -> None:
        super().__init__()
        self.ran_ms = 0

    def monotonic_ms(self) -> int:
        return self.ran_ms


class Watched(MemoryStore):
    """Notes each step of a purge, and pretends to be held up by a reader."""

    def __init__(self, clock: Clock | None = None) -> None:
        super().__init__(clock or SetClock())
        self.steps = 0
        self.held = 0
        self.tidied = 0
        self.clock = SetMonotonic()
        self.took_ms = 0

    async def purge(self, queued: QueuedPurge, rows_max: int) -> PurgeStep:
        self.steps += 1
        self.clock.ran_ms += self.took_ms
        return await super().purge(queued, min(rows_max, 2))

    def held_bytes(self) -> int:
        return self.held

    async def tidy(self) -> bool:
        self.tidied += 1
        return self.held == 0


async def filled(sagas: int) -> Watched:
    store = Watched()
    for number in range(sagas):
        await finish(store, f"order-{number}")
    await start_running(store, "order-99")
    return store


async def test_while_nothing_comes_a_purge_goes_on_step_after_step() -> None:
    store = await filled(10)
    upkeep = Upkeep(store, SetClock(), Retention(DAY))
    now, steps = NOW + 2 * DAY, 0
    await upkeep.step(now, idle=True)
    while upkeep.eager:
        await upkeep.step(now, idle=True)
        steps += 1
    assert (store.steps, steps) == (6, 6), "five steps of two sagas, one for the rest, one for the acts"
    assert await store.count_states() == {SagaState.RUNNING: 1}
    assert len(await store.load_purged([SagaRef("order", f"order-{number}") for number in range(10)])) == 10


@pytest.mark.parametrize(("took_ms", "steps"), [(0, 10), (5, 10), (20, 3)])
async def test_under_load_a_purge_rests_twenty_times_as_long_as_it_worked(took_ms: int, steps: int) -> None:
    store = await filled(40)
    store.clock, store.took_ms = SetMonotonic(), took_ms
    upkeep = Upkeep(store, store.clock, Retention(DAY))
    now = NOW + 2 * DAY
    for tick in range(0, 1_000, 10):
        await upkeep.step(now + tick, idle=tick % 50 == 10)
        assert not upkeep.eager, "a batch comes first"
    assert store.steps == steps


async def test_a_purge_goes_on_at_once_when_nothing_has_come_for_a_while() -> None:
    store = await filled(40)
    upkeep = Upkeep(store, SetClock(), Retention(DAY))
    now = NOW + 2 * DAY
    await upkeep.step(now, idle=False)
    await upkeep.step(now + QUIET_MS - 1, idle=True)
    assert not upkeep.eager
    await upkeep.step(now + QUIET_MS, idle=True)
    assert upkeep.eager


@pytest.mark.parametrize("busy_ms", [0, 500])
async def test_the_log_is_cut_off_once_nothing_has_come_for_a_while(busy_ms: int) -> None:
    store = await filled(1)
    upkeep = Upkeep(store, SetClock(), Retention())
    await upkeep.step(NOW, idle=False)
    for tick in range(100, 2_000 + busy_ms, 100):
        await upkeep.step(NOW + tick, idle=tick != busy_ms)
    assert store.tidied == 0
    await upkeep.step(NOW + 2_000 + busy_ms, idle=True)
    assert store.tidied == 1
    await upkeep.step(NOW + 200_000, idle=True)
    assert store.tidied == 1, "there was nothing more to cut off"


async def test_a_log_that_a_reader_holds_is_cut_off_when_the_reader_has_gone() -> None:
    store = await filled(1)
    upkeep = Upkeep(store, SetClock(), Retention())
    store.held = 1
    await upkeep.step(NOW, idle=False)
    for tick in (10_000, 20_000, 70_000):
        await upkeep.step(NOW + tick, idle=True)
    assert store.tidied == 2
    store.held = 0
    for tick in (130_000, 190_000, 250_000):
        await upkeep.step(NOW + tick, idle=True)
    assert store.tidied == 3


async def test_a_log_that_a_reader_holds_too_long_stops_new_sagas_and_only_them_I20() -> None:
    clock = StillClock()
    store = Watched(clock)
    world = await World(store, clock).start()
    command = await world.begin("order-1")
    store.held = 2 * 1024**3
    await world.pass_time(1_000)
    assert world.reader.paused == {REQUESTS}
    world.request("order-2")
    world.answer(command)
    await world.turn(3)
    assert len(world.sent("chargePayment")) == 1, "what has begun goes on"
    assert await store.load([SagaRef("order", "order-2")]) == {}
    store.held = 0
    await world.pass_time(1_000)
    assert world.reader.paused == frozenset()
    assert len(world.sent("reserveItems")) == 2
    await world.stop()
