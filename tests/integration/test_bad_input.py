"""Bad input from end to end: it is kept with its cause, harms nobody, and blocks nothing (I19)."""

from __future__ import annotations

import pytest

from kafka_saga.schemas.codec import encode
from kafka_saga.schemas.envelope import Headers
from tests.integration.world import World, order

pytestmark = [pytest.mark.kafka, pytest.mark.processes]

BAD_REQUESTS: list[tuple[bytes | None, str]] = [
    (b'{"order_id": "order-1"', "bad_json"),
    (b"\xff\xfe", "bad_json"),
    (None, "null_value"),
    (encode(order("order-1", amount="4990")), "bad_schema"),
    (encode(order("order-1", items=[{"sku": "lamp", "quantity": -1}])), "bad_schema"),
    (encode(order("order-1", items=[{"sku": "lamp", "quantity": 10_001}])), "bad_schema"),
    (encode(order("order 1")), "bad_schema"),
    (encode(order("order-1", note="x" * 300_000)), "too_large"),
    (encode(order("order-1"))[:-1] + b',"amount":1}', "bad_json"),
    (b"\xef\xbb\xbf" + encode(order("order-1")), "bad_json"),
    (b"\0\0\0\0\x07" + encode(order("order-1")), "bad_json"),
]


async def test_bad_requests_are_set_aside_and_the_good_one_between_them_runs(world: World) -> None:
    await world.start()
    requests = world.topics.requests("order")
    for value, _ in BAD_REQUESTS[:4]:
        await world.publish(requests, value, b"one key", (("shop", b"berlin"),))
    await world.publish(requests, encode(order("order-good")), b"one key")
    for value, _ in BAD_REQUESTS[4:]:
        await world.publish(requests, value, b"one key")
    await world.ended(1)

    letters = await world.dead_letters(requests, len(BAD_REQUESTS))
    assert [cause for cause, _ in letters] == [cause for _, cause in BAD_REQUESTS]
    assert [letter.value for _, letter in letters] == [value for value, _ in BAD_REQUESTS]
    first = letters[0][1]
    headers = {name: (text or b"").decode() for name, text in first.headers}
    assert first.key == b"one key"
    assert headers["shop"] == "berlin"
    assert headers["__dlq.errors.topic"] == requests
    assert headers["__dlq.errors.offset"] == "0"
    assert headers["__dlq.errors.group"] == f"{world.topics.prefix}orchestrator"
    assert headers["__saga.errors.stage"] == "decode"
    assert "JSON" in headers["__dlq.errors.message"]
    assert set(world.books.states()) == {"order-good"}
    world.books.check(world.outcomes)


async def test_another_order_with_a_known_id_is_a_conflict_and_the_same_one_is_not_R3(world: World) -> None:
    await world.start()
    await world.order("order-1")
    await world.order("order-1")
    await world.order("order-1", amount=1)
    await world.ended(1)
    [(cause, letter)] = await world.dead_letters(world.topics.requests("order"), 1)
    assert (cause, letter.value) == ("conflict", encode(order("order-1", amount=1)))
    world.books.check(world.outcomes)


async def test_bad_replies_are_set_aside_and_the_saga_goes_on_R6_R11(world: World) -> None:
    await world.start()
    await world.order("order-1")
    await world.ended(1)
    causation = b"order/order-1/create_order/forward/1"
    replies = world.topics.replies_of("payment")
    bad: list[tuple[Headers, bytes, str]] = [
        ((), b"order-1", "missing_header"),
        ((("ce_causationid", causation), ("ce_sagaoutcome", b"success")), b"order-1", "wrong_topic"),
        (
            (("ce_causationid", causation.replace(b"order-1", b"order-9")), ("ce_sagaoutcome", b"success")),
            b"order-9",
            "unknown_saga",
        ),
    ]
    before = world.show("order-1")
    for headers, key, _ in bad:
        await world.publish(replies, b"{}", key, headers)
    letters = await world.dead_letters(replies, len(bad))
    assert sorted(cause for cause, _ in letters) == sorted(cause for _, _, cause in bad)
    assert world.show("order-1") == before
    await world.order("order-2")
    await world.ended(2)
    world.books.check(world.outcomes)


async def test_a_bad_command_is_set_aside_by_its_participant_and_others_are_handled_R12(world: World) -> None:
    await world.start()
    commands = world.topics.commands("payment")
    await world.publish(commands, b"not json", b"order-1", (("ce_id", b"nonsense"),))
    await world.order("order-2")
    await world.ended(1)
    [(cause, letter)] = await world.dead_letters(commands, 1)
    assert (cause, letter.value) == ("bad_id", b"not json")
    world.books.check(world.outcomes)
