"""Dead letters go back where they came from, once, whatever happens on the way."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from kafka_saga.messaging.producer import Producer
from kafka_saga.messaging.records import Message
from kafka_saga.orchestrator.operations.dead_letters import redriving
from kafka_saga.orchestrator.operations.dead_letters.letters import DeadLetterFilter, count_dead_letters, read_one
from kafka_saga.orchestrator.operations.dead_letters.marks import (
    Mark,
    Position,
    fingerprint,
    parse_position,
    read_marks,
    write_marks,
)
from kafka_saga.orchestrator.operations.dead_letters.redriving import Progress, discard, plan_for, refusal, send_all
from kafka_saga.runtime.clock import SystemClock
from kafka_saga.runtime.errors import BrokerUnavailableError, NotFoundError
from kafka_saga.schemas.codec import encode
from kafka_saga.schemas.topics import TopicNames
from tests.brokers import BrokerUnderTest
from tests.operations.dead_letters.letters import AUTHOR, EVERY, Letters, Poison

HANDLED = DeadLetterFilter(handled=True)


@pytest.fixture
async def letters(kafka: BrokerUnderTest, topic_prefix: str) -> AsyncIterator[Letters]:
    producer = Producer(kafka.settings)
    yield Letters(kafka, TopicNames(prefix=topic_prefix), producer)
    await producer.stop()


LETTER: dict[str, Any] = {
    "topic": "dlq.order.requests",
    "from": "order.requests",
    "message": "no good",
    "truncated": None,
    "replays": 0,
    "handled": None,
}
MARKED = {"verdict": "discarded", "actor": "bob@desk", "at": "2026-11-23T10:00:00.000Z"}


@pytest.mark.parametrize(
    ("letter", "flags", "why"),
    [
        ({}, {}, None),
        ({"from": None}, {}, None),
        ({"replays": 1}, {}, None),
        ({"replays": 2}, {}, "it came back after 2 redrives: mend what refuses it first (no good), then use --force"),
        ({"replays": 2}, {"force": True}, None),
        ({"from": "payment.commands"}, {"force": True}, "its headers say that it came from payment.commands"),
        (
            {"truncated": "value=2000000"},
            {"force": True},
            "only the first bytes (at most 64 KiB) of a value of 2000000",
        ),
        ({"truncated": "headers=30016"}, {"force": True}, "it was cut to fit (headers=30016)"),
        ({"truncated": "record=unreadable"}, {"force": True}, "no client could read the record's bytes"),
        ({"topic": "dlq.gone", "from": "gone"}, {"force": True}, "its topic gone does not exist any more"),
        ({"handled": MARKED}, {"force": True}, "it was discarded by bob@desk at 2026-11-23T10:00:00.000Z"),
        ({"handled": MARKED}, {"again": True}, None),
    ],
)
def test_what_cannot_go_back_is_refused_with_the_reason(
    letter: dict[str, Any], flags: dict[str, bool], why: str | None
) -> None:
    said = refusal({**LETTER, **letter}, {"order.requests"}, **{"again": False, "force": False, **flags})
    assert said == why if why is None else why in str(said)


def test_fingerprints_tell_letters_apart_that_only_join_alike() -> None:
    one = Poison("t", 1, key=b"ab", value=b"c", headers=(("x", None),))
    others = [
        Poison("t", 1, key=b"a", value=b"bc", headers=(("x", None),)),
        Poison("t", 1, key=b"ab", value=b"c", headers=(("x", b""),)),
        Poison("t", 1, key=None, value=b"c", headers=(("x", None),)),
    ]
    assert len({fingerprint(letter) for letter in [one, *others]}) == 4
    assert fingerprint(one) == fingerprint(Poison("elsewhere", 9, key=b"ab", value=b"c", headers=(("x", None),)))


pytestmark = pytest.mark.kafka


async def test_a_redriven_letter_is_the_original_record_and_is_no_longer_open(letters: Letters) -> None:
    await letters.create(letters.requests)
    await letters.set_aside(b'{"n": 1}', b"\xff", None)
    assert len(await letters.listed()) == 3

    progress = await letters.redrive()

    assert (progress.handled, progress.failed) == (3, [])
    found = await letters.on(letters.requests)
    assert [record.value for record in found] == [b'{"n": 1}', b"\xff", None]
    assert {record.key for record in found} == {b"order-1"}
    assert {tuple(record.headers) for record in found} == {(("ce_id", b"42"), ("dlq_replay_count", b"1"))}
    assert await letters.listed() == []
    assert await count_dead_letters(letters.broker.settings, letters.topics, EVERY, "cause") == []
    shown = await letters.listed(HANDLED)
    assert [letter["handled"]["verdict"] for letter in shown] == ["redriven"] * 3
    assert {(letter["handled"]["actor"], letter["handled"]["reason"]) for letter in shown} == {
        ("alice@desk", "the model is mended")
    }
    one = await read_one(letters.broker.settings, letters.topics, shown[0]["position"])
    assert (one["value"], one["handled"]) == ({"n": 1}, shown[0]["handled"])


async def test_what_was_redriven_is_not_sent_again_unless_somebody_insists(letters: Letters) -> None:
    await letters.create(letters.requests)
    await letters.set_aside(b"1")
    await letters.redrive()
    assert (await letters.plan()).letters == ()
    position = parse_position((await letters.listed(HANDLED))[0]["position"])
    plan = await letters.plan(position)
    assert "it was redriven by alice@desk" in plan.refused[0][1]
    assert (await letters.redrive(plan)).handled == 0
    assert (await letters.redrive(await letters.plan(position, again=True))).handled == 1
    assert len(await letters.on(letters.requests)) == 2


async def test_a_redrive_that_ends_half_way_goes_on_where_it_was(
    letters: Letters, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redriving, "REPLAY_BATCH_LETTERS_MAX", 10)
    await letters.create(letters.requests)
    await letters.set_aside(*(b"%d" % number for number in range(45)))
    written = 0

    async def marks_until_killed(*arguments: Any) -> None:
        nonlocal written
        written += 1
        if written == 3:
            raise KeyboardInterrupt  # sent, and killed before it was marked
        await write_marks(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(redriving, "write_marks", marks_until_killed)
        with pytest.raises(KeyboardInterrupt):
            await letters.redrive()
    assert len(await letters.listed()) == 25

    progress = await letters.redrive()

    assert (progress.handled, progress.failed) == (25, [])
    sent = [int(record.value or b"") for record in await letters.on(letters.requests)]
    assert sorted(sent) == sorted([*range(45), *range(20, 30)]), "only what was not marked is sent twice"
    assert await letters.listed() == []


async def test_a_broker_that_goes_away_half_way_leaves_the_rest_open(
    letters: Letters, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redriving, "REPLAY_BATCH_LETTERS_MAX", 2)
    await letters.create(letters.requests)
    await letters.set_aside(b"1", b"2", b"3", b"4", b"5")
    calls = 0

    async def send_until_away(*arguments: Any) -> list[Position]:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise BrokerUnavailableError("publishing: no answer")
        return await send_all(*arguments)

    monkeypatch.setattr(redriving, "send_all", send_until_away)
    progress = await letters.redrive()
    assert (progress.handled, {why for _at, why in progress.failed}) == (2, {"publishing: no answer"})
    assert len(progress.failed) == len(await letters.listed()) == 3

    monkeypatch.setattr(redriving, "send_all", send_all)
    assert (await letters.redrive()).handled == 3


async def test_the_oldest_that_are_wanted_go_and_the_plan_says_how_many_there_are(letters: Letters) -> None:
    replies = letters.topics.replies_of("payment")
    await letters.create(letters.requests, replies)
    await letters.set_aside(b"1", b"2", b"3")
    await letters.set_aside(b"4", b"5", cause="bad_schema", topic=replies)
    await letters.set_aside(b"6", cause="conflict")

    plan = await letters.plan(DeadLetterFilter(topic=letters.requests), 2)
    assert (len(plan.letters), plan.total) == (2, 4)
    assert plan.counts() == [{"topic": f"dlq.{letters.requests}", "cause": "bad_json", "redriven": 2, "refused": 0}]
    await letters.redrive(plan)
    assert [record.value for record in await letters.on(letters.requests)] == [b"1", b"2"]
    assert (await letters.plan(DeadLetterFilter(cause="bad_schema"))).total == 2
    moments = [letter["at"] for letter in await letters.listed()]
    assert (await letters.plan(DeadLetterFilter(since=moments[-1]))).total >= 1
    assert (await letters.plan(DeadLetterFilter(until=moments[0]))).total == 0
    assert (await letters.plan(DeadLetterFilter(saga_id="order-1"))).total == 4
    assert (await letters.plan(DeadLetterFilter(saga_id="order-2"))).total == 0


async def test_letters_whose_topic_is_gone_are_refused_and_the_others_go(letters: Letters) -> None:
    await letters.create(letters.requests)
    await letters.set_aside(b"1")
    await letters.set_aside(b"2", topic=letters.topics.commands("nobody"))
    await letters.set_aside(b"3" * 1_000_000)
    plan = await letters.plan()
    assert [letter["cause"] for letter in plan.letters] == ["bad_json"]
    gone, cut = sorted((why for _letter, why in plan.refused), key=lambda why: "does not exist" not in why)
    assert gone == f"its topic {letters.topics.prefix}nobody.commands does not exist any more"
    assert "a value of 1000000 were kept" in cut
    assert (await letters.redrive(plan)).handled == 1
    assert len(await letters.listed()) == 2


@pytest.mark.real_kafka
async def test_what_the_broker_refuses_fails_and_the_others_go(letters: Letters) -> None:
    await letters.create(letters.requests, max_message_bytes="10000")
    await letters.set_aside(b"1", b"2" * 50_000, b"3")
    progress = await letters.redrive()
    assert progress.handled == 2
    [(position, why)] = progress.failed
    assert "refused" in why
    assert [record.value for record in await letters.on(letters.requests)][-2:] == [b"1", b"3"]
    assert [letter["position"] for letter in await letters.listed()] == [position]


async def test_discarded_letters_are_marked_and_nothing_is_sent(letters: Letters) -> None:
    await letters.create(letters.requests)
    await letters.set_aside(b"1", b"2")
    kafka, topics = letters.broker.settings, letters.topics
    plan = await plan_for(kafka, topics, "discarded", EVERY, 1)
    seen: list[Progress] = []
    await discard(kafka, topics, plan, author=AUTHOR, clock=SystemClock(), on_progress=seen.append)
    assert seen[-1].handled == 1
    assert await letters.on(letters.requests) == []
    assert len(await letters.listed()) == 1
    again = await plan_for(kafka, topics, "discarded", parse_position(plan.letters[0]["position"]), 1)
    assert [why for _letter, why in again.refused] == ["it was discarded already"]


async def test_a_mark_is_for_one_letter_not_for_whatever_lies_at_its_position(letters: Letters) -> None:
    await letters.create(letters.requests)
    await letters.set_aside(b"1")
    [letter] = await letters.listed()
    mark = Mark("discarded", "bob", "", "2026-11-23T10:00:00.000Z", "of another letter")
    await redriving.ensure_marks_topic(letters.broker.settings, letters.topics)
    await write_marks(letters.producer, letters.topics, [(parse_position(letter["position"]), mark)])
    assert len(await letters.listed()) == 1


async def test_marks_that_make_no_sense_leave_letters_open_and_a_tombstone_takes_one_back(letters: Letters) -> None:
    await letters.create(letters.requests)
    await letters.set_aside(b"1")
    [letter] = await letters.listed()
    await redriving.ensure_marks_topic(letters.broker.settings, letters.topics)
    name, key = letters.topics.handled_dead_letters, letter["position"].encode()
    good = encode(AUTHOR.mark("discarded", letter["letter"], 0).document())
    for bad in (b"no json", b"{}", b'{"verdict": "forgiven"}', good.replace(b'"alice@desk"', b"7")):
        await letters.put(Message(name, key, bad))
    await letters.put(Message(name, b"\xff", good))
    assert len(await letters.listed()) == 1
    await letters.put(Message(name, key, good))
    assert await letters.listed() == []
    assert set(await read_marks(letters.broker.settings, letters.topics)) == {parse_position(letter["position"])}
    await letters.put(Message(name, key, None))
    assert len(await letters.listed()) == 1


async def test_only_dead_letters_of_ours_can_be_named(letters: Letters) -> None:
    await letters.create(letters.requests)
    await letters.put(Message(letters.requests, b"k", b"{}"))
    with pytest.raises(NotFoundError, match="none of our dead letter topics"):
        await letters.plan(Position(letters.requests, 0, 0))
