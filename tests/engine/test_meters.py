"""What the engine counts: each thing once, when it is committed, by labels that cannot grow without end."""

from __future__ import annotations

from pathlib import Path

from prometheus_client import CollectorRegistry

from kafka_saga.orchestrator.engine.showing import ActiveSagas
from kafka_saga.orchestrator.store.sqlite import open_store
from kafka_saga.runtime.metrics import Source
from kafka_saga.schemas.codec import encode
from kafka_saga.schemas.envelope import Effect, Outcome
from tests.engine.world import REQUESTS, StillClock, World


def value(world: World, name: str, **labels: str) -> float | None:
    registry = CollectorRegistry()
    registry.register(Source(world.meters.families))
    return registry.get_sample_value(name, labels)


async def test_a_completed_saga_is_started_once_finished_once_and_timed(world: World) -> None:
    await world.begin()
    for command in ("reserveItems", "chargePayment", "createOrder"):
        world.clock.advance(300)
        await world.succeed(command)
    assert value(world, "saga_started_total", saga="order") == 1
    assert value(world, "saga_finished_total", saga="order", outcome="completed") == 1
    assert value(world, "saga_duration_seconds_sum", saga="order", outcome="completed") == 0.9
    labels = {"saga": "order", "step": "process_payment", "phase": "forward", "outcome": "success"}
    assert value(world, "saga_step_duration_seconds_count", **labels) == 1
    assert value(world, "saga_step_duration_seconds_sum", **labels) == 0.3


async def test_what_is_undone_and_what_had_nothing_to_undo_are_told_apart(world: World) -> None:
    await world.begin()
    await world.succeed("reserveItems")
    world.answer(world.sent("chargePayment")[-1], Outcome.FAILURE)
    await world.turn()
    world.answer(world.sent("releaseItems")[-1], effect=Effect.NONE, body={})
    await world.turn()
    assert value(world, "saga_finished_total", saga="order", outcome="compensated") == 1
    undone = {"saga": "order", "step": "reserve_inventory"}
    assert value(world, "saga_compensations_total", **undone, outcome="nothing_to_undo") == 1
    failed = {"saga": "order", "step": "process_payment", "phase": "forward", "outcome": "failure"}
    assert value(world, "saga_step_duration_seconds_count", **failed) == 1


async def test_retries_and_timeouts_are_counted_by_step(world: World) -> None:
    sent = await world.begin()
    world.answer(sent, Outcome.RETRY)
    await world.turn()
    assert value(world, "saga_step_retries_total", saga="order", step="reserve_inventory") == 1
    await world.pass_time(2_000)
    await world.pass_time(30_000)
    assert value(world, "saga_step_timeouts_total", saga="order", step="reserve_inventory") == 1


async def test_duplicates_are_counted_by_the_topic_they_came_on(world: World) -> None:
    sent = await world.begin()
    world.request()
    world.answer(sent)
    world.answer(sent)
    await world.turn(2)
    assert value(world, "saga_messages_duplicate_total", topic=REQUESTS) == 1
    assert value(world, "saga_messages_duplicate_total", topic="inventory.replies") == 1


async def test_a_dead_letter_is_counted_by_topic_and_stage(world: World) -> None:
    world.put(REQUESTS, b"{")
    world.put(REQUESTS, encode({"order_id": "order-1"}))
    await world.turn()
    assert value(world, "saga_messages_dead_lettered_total", topic=REQUESTS, stage="decode") == 2


async def test_the_batch_size_counts_what_a_transaction_took_in(world: World) -> None:
    world.request("order-1")
    world.request("order-2")
    await world.turn()
    assert value(world, "saga_commit_batch_size_sum") == 2
    assert value(world, "saga_commit_batch_size_count") == 1


async def test_what_was_never_counted_is_left_out_of_a_scrape_and_what_was_counted_is_told_even_where_it_is_none(
    tmp_path: Path,
) -> None:
    at, clock = tmp_path / "orchestrator.db", StillClock()
    active = ActiveSagas(at, ["order"], clock)
    assert list(active.families()) == []
    store = await open_store(at, clock)
    await active.read()
    samples = [sample for family in active.families() for sample in family.samples]
    assert [(sample.name, sample.labels, sample.value) for sample in samples] == [("saga_parked", {"saga": "order"}, 0)]
    await active.close()
    await store.close()
