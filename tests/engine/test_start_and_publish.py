"""The start, the end, and getting messages out: what a crash leaves, what the broker refuses, who was here before."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from kafka_saga.messaging.consumer import Reset
from kafka_saga.messaging.errors import PublishRefusedError, RefusalReason
from kafka_saga.messaging.records import Message, TopicPartition
from kafka_saga.orchestrator.definition import Retry, Saga, Step
from kafka_saga.orchestrator.machine.states import SagaState
from kafka_saga.orchestrator.sagas.order import order_saga
from kafka_saga.orchestrator.store.memory import MemoryStore
from kafka_saga.orchestrator.store.port import Batch
from kafka_saga.orchestrator.store.sqlite import SqliteStore
from kafka_saga.runtime.errors import ConflictError, StoreRefusedError
from kafka_saga.runtime.sqlite import open_inline
from kafka_saga.schemas.codec import encode
from kafka_saga.schemas.envelope import Outcome, actor_headers
from kafka_saga.schemas.orders import OrderRequested
from tests.contracts.stores import REQUEST
from tests.engine.world import REQUESTS, StillClock, World

newer_saga = Saga("order", version=2, request=OrderRequested, id_from="order_id", steps=order_saga.steps[:2])
patient_saga = Saga(
    "order",
    version=1,
    request=OrderRequested,
    id_from="order_id",
    steps=[
        Step(
            step.name,
            step.service,
            step.action,
            compensation=step.compensation,
            reply=step.reply,
            timeout_ms=60_000,
            retry=Retry(retries_max=9),
        )
        for step in order_saga.steps
    ],
)
other_steps = Saga("order", version=1, request=OrderRequested, id_from="order_id", steps=order_saga.steps[:2])


async def restart(world: World) -> World:
    """A new process on the same store and the same Kafka."""
    again = World(world.store, world.clock)
    again.kafka = world.kafka
    return await again.start()


def refused(reason: RefusalReason, topic: str, messages: Sequence[Message]) -> PublishRefusedError:
    return PublishRefusedError(topic, reason, "the broker says no", messages)


async def test_what_a_crash_left_unpublished_is_published_by_the_next_start_I14(world: World) -> None:
    world.kafka.away = True
    world.request()
    await world.turn()
    await world.crash()
    assert world.sent() == []
    world.kafka.away = False
    again = await restart(world)
    assert [sent.head.command_id for sent in again.sent()] == ["order/order-1/reserve_inventory/forward/1"]
    await again.stop()
    assert await again.store.outbox() == []


async def test_what_was_published_but_not_noted_is_published_again_with_the_same_id_I14(world: World) -> None:
    await world.begin()
    await world.crash()
    again = await restart(world)
    first, second = again.sent()
    assert first.head == second.head
    again.answer(second)
    again.answer(first)
    await again.turn()
    assert (await again.saga()).active_index == 1
    assert again.engine.counts["ignored_duplicate"] == 1
    await again.stop()


async def test_who_asks_for_a_saga_is_kept_among_the_acts_in_the_same_batch(world: World) -> None:
    store = world.store
    assert isinstance(store, MemoryStore)
    first = world.put(REQUESTS, encode(REQUEST), headers=actor_headers("ann@desk"))
    await world.turn()
    world.put(REQUESTS, encode(REQUEST), headers=actor_headers("bob"))  # the same saga: he started nothing
    world.put(
        REQUESTS, encode({**REQUEST, "amount": 1}), headers=actor_headers("eve")
    )  # another request: a dead letter
    world.request("order-2")  # of a service: nobody is named
    await world.turn(2)
    assert world.engine.counts["started"] == 2
    assert [(act.word, act.ref.saga_id, act.actor, act.arguments) for act in store.noted] == [
        ("start", "order-1", "ann@desk", {"request": f"{REQUESTS}/0/{first.offset}"})
    ]


async def test_a_restart_reads_on_where_the_store_is_R23(world: World) -> None:
    await world.begin("order-1")
    await world.crash()
    world.request("order-2")
    again = await restart(world)
    await again.turn()
    assert again.engine.counts["started"] == 1
    assert again.engine.counts["duplicate_request"] == 0
    await again.stop()


async def test_reading_everything_again_changes_nothing_but_counters_I16(world: World) -> None:
    await world.begin()
    for command in ("reserveItems", "chargePayment", "createOrder"):
        await world.succeed(command)
    before, log = await world.saga(), await world.log()
    for topic in (REQUESTS, "inventory.replies", "payment.replies", "orders.replies"):
        for kept in list(world.kafka.logs[topic]):
            world.put(topic, kept.value, kept.key, tuple(kept.headers))  # type: ignore[arg-type] -- no null headers here
    await world.turn(2)
    assert await world.saga() == before
    assert await world.log() == log
    assert world.engine.counts["duplicate_request"] == 1
    assert world.engine.counts["ignored_finished"] == 3


async def test_a_topic_that_lost_the_stored_offset_is_stored_at_its_new_one_at_once_R23(world: World) -> None:
    """A topic that was created anew may grow past the old offset while nobody reads: a start must not skip that."""
    await world.begin()
    requests = TopicPartition(REQUESTS, 0)
    assert (await world.store.offsets())[requests] == 1
    world.reader.resets.append(Reset(requests, 1, 0, "beyond_end"))
    await world.turn()
    assert (await world.store.offsets())[requests] == 0
    assert [loss.reset for loss in await world.store.losses()] == [Reset(requests, 1, 0, "beyond_end")]


async def test_offsets_are_hinted_with_the_stores_name_R22(world: World) -> None:
    world.request()
    await world.turn()
    assert world.reader.hints == {TopicPartition(REQUESTS, 0): (1, world.store.store_id)}


async def test_a_batch_that_conflicts_is_read_again_from_where_the_store_is_R23(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = world.store.commit
    conflicts = ["a saga was changed meanwhile"]

    async def conflicting(batch: Batch) -> int | None:
        if conflicts and batch.offsets:
            raise ConflictError(conflicts.pop())
        return await commit(batch)

    command = await world.begin("order-1")
    monkeypatch.setattr(world.store, "commit", conflicting)
    world.answer(command)
    world.request("order-2")
    await world.turn(3)
    assert conflicts == []
    assert (await world.saga("order-1")).active_index == 1
    assert (await world.saga("order-2")).state is SagaState.RUNNING


async def test_a_conflict_in_a_partitions_first_batch_loses_nothing_R23(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = world.store.commit
    conflicts = ["a new saga's id was taken meanwhile"]

    async def conflicting(batch: Batch) -> int | None:
        if conflicts:
            raise ConflictError(conflicts.pop())
        return await commit(batch)

    monkeypatch.setattr(world.store, "commit", conflicting)
    world.request("order-1")
    await world.turn()
    assert conflicts == []
    await world.turn(2)
    assert (await world.saga("order-1")).state is SagaState.RUNNING


async def test_publishing_goes_on_until_the_broker_is_back(world: World) -> None:
    world.kafka.away = True
    world.request()
    await world.turn()
    await world.pass_time(100)
    await world.pass_time(200)
    assert world.kafka.publishes == 3
    world.kafka.away = False
    await world.pass_time(400)
    assert len(world.sent()) == 1


async def test_messages_keep_the_order_of_their_commits_through_an_outage_I18(world: World) -> None:
    world.kafka.away = True
    for number in range(3):
        world.request(f"order-{number}")
        await world.turn()
    world.kafka.away = False
    await world.pass_time(10_000)
    assert [sent.head.parsed_id.saga_id for sent in world.sent()] == ["order-0", "order-1", "order-2"]


async def test_a_command_that_the_broker_never_takes_is_told_to_its_saga_at_once_and_the_others_go_out_R56(
    world: World,
) -> None:
    publish = world.kafka.publish

    async def publish_but_not_order_1(messages: list[Message]) -> None:
        large = [message for message in messages if message.topic == "inventory.commands" and message.key == b"order-1"]
        if large:
            raise refused("too_large", "inventory.commands", large)
        await publish(messages)

    world.kafka.publish = publish_but_not_order_1  # type: ignore[method-assign] -- the broker's mood
    world.request("order-1")
    world.request("order-2")
    await world.turn(2)
    assert [sent.head.parsed_id.saga_id for sent in world.sent()] == ["order-2"]
    saga = await world.saga("order-1")
    assert saga.state is SagaState.COMPENSATED
    assert not any(step.executed for step in saga.steps), "it never was out, so nothing is in doubt"
    assert saga.error is not None
    assert "inventory.commands refused it: the broker says no" in saga.error
    assert await world.statuses("order-1") == ["IN_PROGRESS", "FAILED"]
    failed = (await world.log("order-1"))[-1]
    assert (failed.detail["event"], failed.detail["cause"]) == ("NotSent", "too_large")
    assert world.dead_letters("inventory.commands") == [], "a redrive of it would do what its saga takes for not done"
    assert world.engine.counts["commands_not_sent"] == 1


async def test_a_dead_letter_that_its_topic_refuses_is_kept_as_its_first_bytes_and_nothing_is_blocked(
    world: World,
) -> None:
    publish = world.kafka.publish

    async def publish_small_letters(messages: list[Message]) -> None:
        large = [m for m in messages if m.topic == "dlq.order.requests" and len(m.value or b"") > 5_000]
        if large:
            raise refused("too_large", "dlq.order.requests", large)
        await publish(messages)

    world.kafka.publish = publish_small_letters  # type: ignore[method-assign] -- the broker's mood
    world.put(REQUESTS, b"x" * 300_000, b"bad")
    world.request("order-2")
    await world.turn(2)
    [(cause, letter)] = world.dead_letters(REQUESTS)
    assert (cause, letter.key, letter.value) == ("too_large", b"bad", b"x" * 1_024)
    assert dict(letter.headers)["__saga.errors.truncated"] == b"value=300000"
    assert [sent.head.parsed_id.saga_id for sent in world.sent()] == ["order-2"]


async def test_a_topic_that_is_missing_is_waited_for_and_nothing_is_set_aside(world: World) -> None:
    world.kafka.refusing = refused("unknown_topic", "inventory.commands", ())
    world.request()
    await world.turn()
    assert world.sent() == []
    await world.pass_time(5_000)
    assert len(world.sent()) == 1
    assert world.dead_letters("inventory.commands") == []
    await world.pass_time(4_999)
    assert "TIMEOUT" not in await world.statuses(), "the wait begins when the command is out (R21)"


async def test_published_messages_leave_the_outbox_when_nothing_happens(world: World) -> None:
    await world.begin()
    assert len(await world.store.outbox()) == 1
    await world.pass_time(1_000)
    assert await world.store.outbox() == []


async def test_the_same_version_with_other_steps_is_refused_R30(world: World) -> None:
    await world.stop()
    with pytest.raises(
        StoreRefusedError, match=r"\(step 'create_order' is gone\): put the old steps back and make yours version 2"
    ):
        await World(world.store, world.clock).start(other_steps)


async def test_other_timeouts_are_no_other_version_R30(world: World) -> None:
    await world.stop()
    again = await World(world.store, world.clock).start(patient_saga)
    await again.stop()


async def test_a_store_whose_unfinished_sagas_nobody_knows_is_refused_R30(world: World) -> None:
    await world.begin()
    await world.stop()
    with pytest.raises(StoreRefusedError, match="--park-missing"):
        await World(world.store, world.clock).start(newer_saga)


async def test_sagas_that_nobody_knows_can_be_parked_and_the_others_go_on_R30(world: World) -> None:
    command = await world.begin("order-1")
    await world.begin("order-2")
    await world.stop()
    again = World(world.store, world.clock)
    again.kafka = world.kafka
    await again.start(newer_saga, park_missing=True)
    saga = await again.saga("order-1")
    assert saga.parked is not None
    assert (saga.state, saga.parked.reason, saga.wake_at) == (SagaState.PARKED, "definition_missing", None)
    again.answer(command)
    again.request("order-3")
    await again.pass_time(60_000)
    assert await again.saga("order-1") == saga
    assert [cause for cause, _ in again.dead_letters("inventory.replies")] == ["definition_missing"]
    assert (await again.saga("order-3")).definition_version == 2
    parked = [
        kept for kept in again.kafka.logs["order.events"] if dict(kept.headers)["ce_type"] == b"order.saga.parked"
    ]
    assert {kept.key for kept in parked} == {b"order-1", b"order-2"}
    await again.stop()


async def test_both_versions_registered_each_saga_keeps_its_own_R30(world: World) -> None:
    await world.begin("order-1")
    await world.stop()
    again = World(world.store, world.clock)
    again.kafka = world.kafka
    await again.start(order_saga, newer_saga)
    await again.begin("order-2")
    await again.succeed("reserveItems")
    await again.succeed("chargePayment")
    assert (await again.saga("order-2")).state is SagaState.COMPLETED, "version 2 has two steps"
    again.answer(again.sent("reserveItems")[0])
    await again.turn()
    await again.succeed("chargePayment")
    assert (await again.saga("order-1")).active_index == 2
    await again.stop()


async def test_a_clean_stop_publishes_what_was_decided(world: World) -> None:
    world.request()
    await world.turn()
    await world.stop()
    assert world.reader.stopped
    assert await world.store.outbox() == []
    assert len(world.sent()) == 1


async def test_the_whole_path_on_sqlite_gives_what_it_gives_in_memory(tmp_path: Path) -> None:
    clocks = StillClock(), StillClock()
    stores = MemoryStore(clocks[0]), await SqliteStore.create(await open_inline(tmp_path / "s.db"), clocks[1])
    worlds = []
    for store, clock in zip(stores, clocks, strict=True):
        world = await World(store, clock).start()
        await world.begin()
        await world.succeed("reserveItems")
        await world.succeed("chargePayment")
        world.answer(world.sent("createOrder")[-1], Outcome.FAILURE, body={"error": "Database connection failed"})
        await world.turn()
        await world.succeed("refundPayment")
        await world.succeed("releaseItems")
        await world.stop()
        worlds.append(world)
    memory, sqlite = worlds
    assert await memory.saga() == await sqlite.saga()
    assert (await sqlite.saga()).state is SagaState.COMPENSATED
    for topic in memory.kafka.logs:
        assert memory.kafka.logs[topic] == sqlite.kafka.logs[topic]
    await sqlite.store.close()
