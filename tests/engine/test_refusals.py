"""What the broker does not take: each kind has its answer, and one topic's trouble stays that topic's (R56, R21)."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from kafka_saga.messaging.errors import PublishRefusedError, RefusalReason
from kafka_saga.messaging.records import Message
from kafka_saga.orchestrator.definition import Saga, Step
from kafka_saga.orchestrator.machine.states import SagaState
from kafka_saga.orchestrator.sagas.order import order_saga
from kafka_saga.orchestrator.store.port import Batch
from kafka_saga.runtime.errors import BrokerUnavailableError, ConflictError
from kafka_saga.runtime.limits import HOLD_MS_MAX
from kafka_saga.schemas.codec import encode
from kafka_saga.schemas.orders import OrderRequested
from tests.contracts.stores import REQUEST
from tests.engine.world import World

other_saga = Saga(
    "other",
    version=1,
    request=OrderRequested,
    id_from="order_id",
    steps=[Step("note", "notes", order_saga.steps[0].action, nothing_to_undo=True, reply=order_saga.steps[0].reply)],
)


class Refusing:
    """A Kafka that refuses the messages a test names, until told otherwise."""

    def __init__(self, world: World, reason: RefusalReason, wanted: Callable[[Message], bool]) -> None:
        self.reason = reason
        self.wanted = wanted
        self.is_on = True
        self.attempts = 0
        self._publish = world.kafka.publish
        world.kafka.publish = self.publish  # type: ignore[method-assign] -- the broker's mood

    async def publish(self, messages: list[Message]) -> None:
        refused = [message for message in messages if self.is_on and self.wanted(message)]
        if refused:
            self.attempts += 1
            left = [message for message in messages if message not in refused]
            raise PublishRefusedError(refused[0].topic, self.reason, "the broker says no", refused, left)
        await self._publish(messages)


def to(topic: str) -> Callable[[Message], bool]:
    return lambda message: message.topic == topic


@pytest.mark.parametrize("reason", ["unknown_topic", "not_authorised", "timestamp", "unexplained", "unavailable"])
async def test_a_topic_that_takes_nothing_holds_back_its_own_messages_only(world: World, reason: RefusalReason) -> None:
    refusing = Refusing(world, reason, to("payment.commands"))
    await world.begin("order-1")
    await world.succeed("reserveItems")
    await world.turn(2)
    await world.pass_time(60_000)
    assert world.sent("chargePayment") == []
    assert "TIMEOUT" not in await world.statuses(), "what is not published cannot be answered (R21)"
    assert [kept.key for kept in world.kafka.logs["order.events"]][-1] == b"order-1", "events go on"
    refusing.is_on = False
    await world.pass_time(5_000)
    assert len(world.sent("chargePayment")) == 1
    await world.succeed("chargePayment")
    await world.succeed("createOrder")
    assert (await world.saga()).state is SagaState.COMPLETED
    await world.pass_time(1_000)
    assert await world.store.outbox() == []


async def test_rows_of_a_held_topic_stay_in_the_outbox_and_a_restart_sends_them(world: World) -> None:
    Refusing(world, "unknown_topic", to("payment.commands"))
    await world.begin("order-1")
    await world.succeed("reserveItems")
    await world.pass_time(2_000)
    [row] = await world.store.outbox()
    assert "payment.commands" in {message.topic for message in row.messages}
    await world.crash()
    again = World(world.store, world.clock)
    again.kafka = world.kafka
    del again.kafka.publish  # type: ignore[method-assign] -- the broker's mood has passed
    await again.start()
    await again.turn(2)
    assert len(again.sent("chargePayment")) == 1
    await again.stop()


async def test_none_of_a_type_begin_while_a_topic_that_it_needs_takes_nothing_and_other_types_go_on() -> None:
    world = await World().start(order_saga, other_saga)
    refusing = Refusing(world, "unknown_topic", to("inventory.commands"))
    world.request("order-1")
    await world.turn(2)
    await world.pass_time(200)
    world.request("order-2")
    world.put("other.requests", world.kafka.logs["order.requests"][0].value)
    await world.turn(3)
    assert [sent.head.parsed_id.saga_type for sent in world.sent()] == ["other"]
    assert "order.requests" in world.reader.paused
    refusing.is_on = False
    await world.pass_time(5_000)
    await world.pass_time(200)
    await world.turn(2)
    assert sorted(sent.head.parsed_id.saga_id for sent in world.sent() if sent.head.parsed_id.saga_type == "order") == [
        "order-1",
        "order-2",
    ]
    await world.stop()


async def test_sagas_that_wait_for_a_held_topic_take_no_room_from_other_types_and_let_no_window_shrink() -> None:
    world = await World().start(order_saga, other_saga, in_flight_max=64)
    refusing = Refusing(world, "unknown_topic", to("payment.commands"))
    for number in range(64):
        world.request(f"order-{number}")
    await world.turn(3)
    world.answer_all()
    await world.turn(3)
    assert world.engine._publisher.held_commands == 64
    for _ in range(20):
        await world.pass_time(2_000, 1)
    for number in range(40):
        world.put("other.requests", encode({**REQUEST, "order_id": f"other-{number}"}))
    await world.turn(4)
    assert len([sent for sent in world.sent() if sent.head.parsed_id.saga_type == "other"]) == 40
    assert world.reader.paused == {"order.requests"}
    refusing.is_on = False
    await world.pass_time(5_000)
    assert len(world.sent("chargePayment")) == 64
    assert world.engine._admission.room == 0, "they take their places again"
    await world.stop()


async def test_a_restart_keeps_the_places_of_sagas_that_wait_for_a_held_topic_free(world: World) -> None:
    Refusing(world, "unknown_topic", to("payment.commands"))
    await world.begin("order-1")
    await world.succeed("reserveItems")
    await world.turn(2)
    await world.crash()
    again = World(world.store, world.clock)
    again.kafka = world.kafka
    await again.start(order_saga, other_saga, in_flight_max=1)
    again.put("other.requests", world.kafka.logs["order.requests"][0].value)
    await again.turn(3)
    assert [sent.head.parsed_id.saga_type for sent in again.sent()][-1] == "other"
    await again.stop()


async def test_a_command_that_was_held_too_long_is_told_to_its_saga(world: World) -> None:
    Refusing(world, "unknown_topic", to("payment.commands"))
    await world.begin("order-1")
    await world.succeed("reserveItems")
    await world.pass_time(HOLD_MS_MAX)
    await world.pass_time(5_000)
    assert (await world.saga()).state is SagaState.COMPENSATING
    await world.succeed("releaseItems")
    saga = await world.saga()
    assert saga.state is SagaState.COMPENSATED
    assert [step.executed for step in saga.steps] == [True, False, False]


async def test_an_event_that_cannot_be_told_is_counted_and_stops_nothing(world: World) -> None:
    Refusing(world, "too_large", lambda message: message.topic == "order.events" and message.key == b"order-1")
    world.request("order-1")
    world.request("order-2")
    await world.turn(2)
    assert len(world.sent("reserveItems")) == 2
    assert {kept.key for kept in world.kafka.logs["order.events"]} == {b"order-2"}
    assert world.engine._publisher.counts["unsent_too_large"] == 1
    assert not any(topic.startswith("dlq.") for topic in world.kafka.logs)


async def test_a_command_of_which_a_copy_may_be_out_leaves_its_step_in_doubt(world: World) -> None:
    refusing = Refusing(world, "too_large", to("payment.commands"))
    await world.begin("order-1")
    refuse, breaks = refusing.publish, [BrokerUnavailableError("the connection broke")]

    async def break_first(messages: list[Message]) -> None:
        if breaks and any(message.topic == "payment.commands" for message in messages):
            raise breaks.pop()
        await refuse(messages)

    world.kafka.publish = break_first  # type: ignore[method-assign] -- the broker's mood
    await world.succeed("reserveItems")
    await world.pass_time(100)
    assert (await world.saga()).steps[1].status == "COMPENSATING", "it may have happened (R8)"


async def test_a_batch_that_conflicts_tells_the_saga_again_and_keeps_its_row(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    Refusing(world, "too_large", to("inventory.commands"))
    commit, conflicts = world.store.commit, ["somebody was first"]

    async def conflicting(batch: Batch) -> int | None:
        if conflicts and any(entry.status == "FAILED" for _, entry in batch.log):
            assert batch.published, "the row goes with the batch that tells"
            raise ConflictError(conflicts.pop())
        return await commit(batch)

    monkeypatch.setattr(world.store, "commit", conflicting)
    world.request("order-1")
    await world.turn(4)
    assert conflicts == []
    assert (await world.saga()).state is SagaState.COMPENSATED
    await world.pass_time(1_000)
    assert await world.store.outbox() == []
