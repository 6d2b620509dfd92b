"""What one batch makes of what came: its order, duplicates, conflicts, and everything that cannot be read."""

from __future__ import annotations

from typing import Any

import pytest

from kafka_saga.orchestrator.machine.events import Act
from kafka_saga.orchestrator.machine.states import EventKind, SagaState
from kafka_saga.orchestrator.store.memory import MemoryStore
from kafka_saga.orchestrator.store.port import QueuedAct
from kafka_saga.runtime.limits import HEADERS_MAX, PAYLOAD_BYTES_MAX
from kafka_saga.schemas.codec import encode
from kafka_saga.schemas.envelope import Effect, Headers, Outcome
from kafka_saga.schemas.ids import SagaRef
from tests.contracts.stores import REQUEST
from tests.engine.world import REQUESTS, World


async def test_a_bare_json_order_without_headers_starts_a_saga_R1(world: World) -> None:
    world.put(REQUESTS, encode(REQUEST))
    await world.turn()
    [command] = world.sent()
    assert command.head.command_id == "order/order-1/reserve_inventory/forward/1"
    assert command.head.reply_to == "inventory.replies"
    assert command.body == {"order_id": "order-1", "items": REQUEST["items"]}
    assert (await world.saga()).state is SagaState.RUNNING


async def test_the_body_names_the_saga_and_the_key_does_not_matter_R1(world: World) -> None:
    world.put(REQUESTS, encode(REQUEST), key=b"another key")
    await world.turn()
    assert world.sent()[0].message.key == b"order-1"


async def test_a_saga_goes_through_its_steps_and_completes(world: World) -> None:
    await world.begin()
    for command in ("reserveItems", "chargePayment", "createOrder"):
        await world.succeed(command)
    assert (await world.saga()).state is SagaState.COMPLETED
    events = [dict(kept.headers)["ce_type"] for kept in world.kafka.logs["order.events"]]
    succeeded = [b"order.saga.step_succeeded"] * 2
    assert events == [b"order.saga.started", *succeeded, b"order.saga.completed"]


async def test_events_carry_the_sagas_version_so_that_readers_can_order_them_R26(world: World) -> None:
    await world.begin()
    await world.succeed("reserveItems")
    sequences = [int(dict(kept.headers)["ce_sequence"] or 0) for kept in world.kafka.logs["order.events"]]
    assert sequences == sorted(set(sequences))
    assert sequences[-1] == (await world.saga()).version


async def test_the_same_request_again_is_the_same_saga_R3(world: World) -> None:
    world.request()
    world.request()
    await world.turn()
    world.put(REQUESTS, encode(dict(reversed(REQUEST.items()))))
    await world.turn()
    assert len(world.sent()) == 1
    assert world.engine.counts["duplicate_request"] == 2
    assert world.dead_letters(REQUESTS) == []


@pytest.mark.parametrize("batches", ["one batch", "two batches"])
async def test_another_request_with_the_same_id_is_a_conflict_R3(world: World, batches: str) -> None:
    world.request()
    await world.turn(0 if batches == "one batch" else 1)
    world.request(amount=1)
    await world.turn()
    [(cause, letter)] = world.dead_letters(REQUESTS)
    assert cause == "conflict"
    assert letter.value == encode({**REQUEST, "amount": 1})
    assert (await world.saga()).request["amount"] == REQUEST["amount"]


async def test_a_field_the_model_does_not_know_still_makes_another_request_R3(world: World) -> None:
    world.request()
    world.request(gift=True)
    await world.turn()
    assert [cause for cause, _ in world.dead_letters(REQUESTS)] == ["conflict"]


async def test_a_finished_saga_is_not_restarted_R3(world: World) -> None:
    command = await world.begin()
    world.answer(command, Outcome.FAILURE)
    await world.turn()
    world.request()
    await world.turn()
    assert (await world.saga()).state is SagaState.COMPENSATED
    assert len(world.sent()) == 1


async def test_a_reply_is_taken_before_the_timeout_of_its_own_command_R20(world: World) -> None:
    command = await world.begin()
    world.answer(command)
    await world.pass_time(5_000)
    assert "TIMEOUT" not in await world.statuses()
    assert (await world.saga()).active_index == 1


async def test_replies_are_taken_before_acts_R25(world: World) -> None:
    command = await world.begin()
    assert isinstance(world.store, MemoryStore)
    act = Act("act-1", EventKind.CANCEL, "ops", "the customer called", expected_state="RUNNING")
    await world.store.queue_act(QueuedAct(act, SagaRef("order", "order-1")))
    world.answer(command)
    await world.pass_time(200)
    outcome = await world.store.act_outcome("act-1")
    assert outcome is not None
    assert outcome.outcome == "done"
    statuses = await world.statuses()
    assert statuses.index("SUCCESS") < statuses.index("ACT")


async def test_new_sagas_of_a_batch_are_stored_in_the_order_of_their_ids_R3(world: World) -> None:
    for saga_id in ("order-3", "order-1", "order-2"):
        world.request(saga_id)
    await world.turn()
    keys = {saga_id: (await world.saga(saga_id)).row for saga_id in ("order-1", "order-2", "order-3")}
    assert sorted(keys, key=lambda saga_id: keys[saga_id]) == ["order-1", "order-2", "order-3"]


def order(**fields: Any) -> bytes:
    return encode({**REQUEST, **fields})


BAD_REQUESTS: dict[str, tuple[bytes | None, Headers, str]] = {
    "broken JSON": (b'{"order_id": "order-9"', (), "bad_json"),
    "not UTF-8": (b"\xff\xfe\x00", (), "bad_json"),
    "not an object": (b"[1, 2]", (), "bad_json"),
    "NaN": (b'{"order_id": NaN}', (), "bad_json"),
    "null value": (None, (), "null_value"),
    "empty value": (b"", (), "bad_json"),
    "a field is missing": (encode({"order_id": "order-9"}), (), "bad_schema"),
    "a string for a number": (order(amount="4990"), (), "bad_schema"),
    "a number for a string": (order(customer_id=7), (), "bad_schema"),
    "a fraction of a cent": (order(amount=49.9), (), "bad_schema"),
    "a negative quantity": (order(items=[{"sku": "lamp", "quantity": -2}]), (), "bad_schema"),
    "a quantity of zero": (order(items=[{"sku": "lamp", "quantity": 0}]), (), "bad_schema"),
    "a huge number": (order(amount=10**13), (), "bad_schema"),
    "a number beyond 64 bits": (b'{"order_id": "order-9", "amount": 1' + b"0" * 400 + b"}", (), "bad_json"),
    "no items": (order(items=[]), (), "bad_schema"),
    "too many items": (order(items=[{"sku": "lamp", "quantity": 1}] * 101), (), "bad_schema"),
    "an id with spaces": (order(order_id="order 9"), (), "bad_schema"),
    "an id too long": (order(order_id="o" * 129), (), "bad_schema"),
    "too large": (order(note="x" * PAYLOAD_BYTES_MAX), (), "too_large"),
    "too deep": (b'{"a":' * 40 + b"1" + b"}" * 40, (), "too_deep"),
    "too many headers": (order(), tuple((f"h{n}", b"") for n in range(HEADERS_MAX + 1)), "bad_header"),
    "headers too large": (order(), (("h", b"x" * 17_000),), "bad_header"),
    "a structured event without data": (b"{}", (("content-type", b"application/cloudevents+json"),), "bad_json"),
}


@pytest.mark.parametrize("what", BAD_REQUESTS)
async def test_a_bad_request_is_set_aside_with_its_cause_and_nothing_is_blocked(world: World, what: str) -> None:
    value, headers, expected = BAD_REQUESTS[what]
    bad = world.put(REQUESTS, value, b"some key", headers)
    world.request("order-2")
    await world.turn()
    [(cause, letter)] = world.dead_letters(REQUESTS)
    assert cause == expected
    assert (letter.key, letter.value) == (bad.key, bad.value)
    added = dict(letter.headers)
    kept = [header for header in letter.headers if "errors." not in header[0]]
    assert kept == list(headers) or added["__saga.errors.truncated"] == b"headers=17001"
    assert added["__dlq.errors.offset"] == b"0"
    assert (await world.saga("order-2")).state is SagaState.RUNNING
    assert world.engine.counts["dead_lettered"] == 1


async def test_a_structured_cloudevent_starts_a_saga_too(world: World) -> None:
    event = {"specversion": "1.0", "id": "e-1", "source": "/shop", "type": "order.placed", "data": REQUEST}
    world.put(REQUESTS, encode(event), None, (("content-type", b"application/cloudevents+json; charset=utf-8"),))
    await world.turn()
    assert (await world.saga()).state is SagaState.RUNNING


CAUSATION = b"order/order-1/reserve_inventory/forward/1"
GOOD: Headers = (("ce_causationid", CAUSATION), ("ce_sagaoutcome", b"success"))
BAD_REPLIES: dict[str, tuple[str, bytes | None, Headers, str]] = {
    "no headers at all": ("inventory", b"order-1", (), "missing_header"),
    "no outcome": ("inventory", b"order-1", GOOD[:1], "missing_header"),
    "no causation": ("inventory", b"order-1", GOOD[1:], "missing_header"),
    "neither key nor correlation id": ("inventory", None, GOOD, "missing_header"),
    "a key that names another saga": ("inventory", b"order-2", GOOD, "bad_header"),
    "an unknown outcome": ("inventory", b"order-1", (GOOD[0], ("ce_sagaoutcome", b"maybe")), "bad_header"),
    "an attempt in words": ("inventory", b"order-1", (*GOOD, ("ce_sagaattempt", b"two")), "bad_header"),
    "no command's id": ("inventory", b"order-1", (("ce_causationid", b"order-1"), GOOD[1]), "bad_id"),
    "an unknown step": ("inventory", b"order-1", (("ce_causationid", b"order/order-1/x/forward/1"), GOOD[1]), "bad_id"),
    "an unknown saga": (
        "inventory", b"order-9", (("ce_causationid", b"order/order-9/reserve_inventory/forward/1"), GOOD[1]),
        "unknown_saga",
    ),
    "an unknown saga type": (
        "inventory", b"order-1", (("ce_causationid", b"trip/order-1/reserve_inventory/forward/1"), GOOD[1]),
        "unknown_saga",
    ),
    "another service's topic": ("payment", b"order-1", GOOD, "wrong_topic"),
}  # fmt: skip


@pytest.mark.parametrize("what", BAD_REPLIES)
async def test_a_bad_reply_is_set_aside_and_every_saga_is_as_it_was_R6_R11(world: World, what: str) -> None:
    command = await world.begin()
    before = await world.saga()
    service, key, headers, expected = BAD_REPLIES[what]
    topic = f"{service}.replies"
    world.put(topic, encode({"reservation_id": "r-1"}), key, headers)
    await world.turn()
    assert [cause for cause, _ in world.dead_letters(topic)] == [expected]
    assert await world.saga() == before
    world.answer(command)
    await world.turn()
    assert (await world.saga()).active_index == 1, "the good reply behind it is taken"


@pytest.mark.parametrize(
    ("body", "cause"),
    [(b"{", "bad_json"), (b"[]", "bad_json"), (b'{"reservation_id": 7}', "bad_schema"), (b"{}", "bad_schema")],
)
async def test_a_readable_reply_with_a_bad_body_is_set_aside_and_its_attempt_goes_on_R12(
    world: World, body: bytes, cause: str
) -> None:
    command = await world.begin()
    bad = world.answer(command, body=body)
    await world.turn()
    assert [found for found, _ in world.dead_letters(bad.topic)] == [cause]
    assert (await world.saga()).active_index == 0
    entry = (await world.log())[-1]
    assert (entry.status, entry.detail["event"], entry.detail["cause"]) == ("IN_PROGRESS", "ReplyUnreadable", cause)
    world.answer(command)
    await world.turn()
    assert (await world.saga()).active_index == 1, "a redrive returns it to the same step"


@pytest.mark.parametrize("outcome", [Outcome.SUCCESS, Outcome.FAILURE])
async def test_the_answer_to_an_earlier_attempt_counts_R7(world: World, outcome: Outcome) -> None:
    first = await world.begin()
    await world.pass_time(5_000)
    await world.pass_time(1_000)
    assert [sent.head.attempt for sent in world.sent("reserveItems")] == [1, 2]
    world.answer(first, outcome)
    await world.turn()
    saga = await world.saga()
    assert saga.active_index == (1 if outcome is Outcome.SUCCESS else None)


async def test_a_retry_counts_only_for_the_attempt_in_flight_R7(world: World) -> None:
    first = await world.begin()
    await world.pass_time(5_000)
    await world.pass_time(1_000)
    before = await world.saga()
    world.answer(first, Outcome.RETRY)
    await world.turn()
    assert await world.saga() == before
    assert world.engine.counts["ignored_other_attempt"] == 1


async def test_a_reply_to_a_finished_saga_is_counted_and_not_set_aside_R11(world: World) -> None:
    command = await world.begin()
    world.answer(command, Outcome.FAILURE)
    world.answer(command, Outcome.FAILURE)
    await world.turn()
    assert world.engine.counts["ignored_finished"] == 1
    assert world.dead_letters("inventory.replies") == []


async def test_a_late_success_is_one_log_row_and_its_compensation_goes_on_R11(world: World) -> None:
    command = await world.begin()
    for _ in range(7):
        await world.pass_time(5_000)
    assert (await world.saga()).state is SagaState.COMPENSATING
    world.answer(command)
    world.answer(command)
    await world.turn()
    assert (await world.statuses()).count("LATE_SUCCESS") == 1
    world.answer(world.sent("releaseItems")[-1], effect=Effect.DONE)
    await world.turn()
    assert (await world.saga()).state is SagaState.COMPENSATED
