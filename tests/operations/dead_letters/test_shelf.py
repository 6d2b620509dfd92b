"""The shelf of dead letters: what a look shows, what it costs, and that nothing is missed between two looks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from kafka_saga.messaging.errors import BrokerUnreachableError
from kafka_saga.messaging.producer import Producer
from kafka_saga.messaging.records import Message
from kafka_saga.messaging.settings import KafkaSettings
from kafka_saga.orchestrator.operations.dead_letters import shelf as shelf_module
from kafka_saga.orchestrator.operations.dead_letters.letters import DeadLetterFilter
from kafka_saga.orchestrator.operations.dead_letters.marks import Position, parse_position
from kafka_saga.orchestrator.operations.dead_letters.shelf import Shelf
from kafka_saga.orchestrator.operations.dead_letters.windows import Windows
from kafka_saga.orchestrator.operations.kafka.messages import NO_FIELDS
from kafka_saga.runtime import limits
from kafka_saga.runtime.clock import SystemClock
from kafka_saga.runtime.errors import NotFoundError, UsageError
from kafka_saga.schemas.topics import TopicNames, dead_letter_topic
from tests.brokers import BrokerUnderTest
from tests.operations.dead_letters.letters import EVERY, Letters

pytestmark = pytest.mark.kafka
ALSO_HANDLED = DeadLetterFilter(handled=True)


@pytest.fixture
async def letters(kafka: BrokerUnderTest, topic_prefix: str) -> AsyncIterator[Letters]:
    producer = Producer(kafka.settings)
    yield Letters(kafka, TopicNames(prefix=topic_prefix), producer)
    await producer.stop()


@pytest.fixture
async def shelf(letters: Letters, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Shelf]:
    """A shelf that asks at every look where topics end."""
    monkeypatch.setattr(shelf_module, "SHELF_AGE_MS_MAX", -1)
    opened = Shelf(letters.broker.settings, letters.topics, NO_FIELDS, SystemClock())
    yield opened
    await opened.close()


async def pages(shelf: Shelf, wanted: DeadLetterFilter, limit: int) -> list[list[str]]:
    """The positions of every page."""
    found, cursor = [], None
    while True:
        page = await shelf.look(wanted, cursor, limit)
        found.append([letter["position"] for letter in page.letters])
        cursor = page.cursor
        if cursor is None:
            return found


async def test_who_waits_for_a_look_that_fails_is_told_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "PROBE_TIMEOUT_MS", 200)
    connections = 0

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        while await reader.read(1024):
            pass
        writer.close()

    async with await asyncio.start_server(silent, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        settings = KafkaSettings(bootstrap_servers=f"127.0.0.1:{port}")
        shelf = Shelf(settings, TopicNames(), NO_FIELDS, SystemClock())
        looks = [shelf.look(EVERY, None, 10) for _ in range(20)]
        told = await asyncio.gather(*looks, return_exceptions=True)
        await shelf.close()

    assert [type(one) for one in told] == [BrokerUnreachableError] * 20
    assert connections == 2, "one that asks, and one that tells whether anybody listens"


async def test_without_any_dead_letter_topic_there_is_nothing(shelf: Shelf) -> None:
    page = await shelf.look(EVERY, None, 10)
    assert (page.letters, page.cursor, page.is_whole) == ([], None, True)
    assert await shelf.standing(EVERY) == (0, 0)
    assert (await shelf.tally(EVERY, "cause")).counts == []


@pytest.mark.real_kafka  # one partition a topic
async def test_pages_have_every_letter_once_and_what_comes_later_is_on_the_first(
    letters: Letters, shelf: Shelf
) -> None:
    await letters.set_aside(*[b"%d" % number for number in range(7)])
    requests = dead_letter_topic(letters.requests)
    assert await pages(shelf, EVERY, 3) == [
        [f"{requests}/0/{offset}" for offset in offsets] for offsets in ((6, 5, 4), (3, 2, 1), (0,))
    ]
    replies = letters.topics.replies_of("payment")
    await letters.set_aside(b"new", topic=replies, cause="unknown_saga")
    first = await shelf.look(EVERY, None, 2)
    assert first.letters[0]["position"] == f"{dead_letter_topic(replies)}/0/0", "a new topic"
    tally = await shelf.tally(EVERY, "cause")
    assert (tally.counts, tally.looked_at, tally.is_whole) == ([("bad_json", 7), ("unknown_saga", 1)], 8, True)
    assert await pages(shelf, DeadLetterFilter(cause="unknown_saga"), 5) == [[f"{dead_letter_topic(replies)}/0/0"]]


@pytest.mark.real_kafka  # one partition a topic
async def test_what_was_handled_leaves_the_open_ones_and_is_known_with_its_author(
    letters: Letters, shelf: Shelf
) -> None:
    await letters.create(letters.requests)
    await letters.set_aside(b"1", b"2", b"3")
    assert await shelf.standing(EVERY) == (3, 3)
    plan = await letters.plan(limit=2)
    assert (await letters.redrive(plan)).handled == 2
    [left] = (await shelf.look(EVERY, None, 10)).letters
    assert left["position"].endswith("/2")
    handled = (await shelf.look(DeadLetterFilter(handled=True, unhandled=False), None, 10)).letters
    assert [letter["handled"]["actor"] for letter in handled] == ["alice@desk", "alice@desk"]
    assert await shelf.standing(EVERY) == (3, 1)
    assert len((await shelf.look(ALSO_HANDLED, None, 10)).letters) == 3
    taken_back = Message(letters.topics.handled_dead_letters, handled[0]["position"].encode(), None)
    await letters.put(taken_back)
    assert await shelf.standing(EVERY) == (3, 2)


@pytest.mark.real_kafka  # one partition a topic
async def test_a_second_look_reads_nothing_that_it_has_seen(
    letters: Letters, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    await letters.set_aside(*[b"%d" % number for number in range(30)])
    await shelf.look(EVERY, None, 30)
    read = list[dict[object, tuple[int, int]]]()
    whole = Windows.read

    async def noting(windows: Windows, wanted: dict[object, tuple[int, int]], take: object) -> None:
        read.append(wanted)
        await whole(windows, wanted, take)  # type: ignore[arg-type]

    monkeypatch.setattr(Windows, "read", noting)
    assert len((await shelf.look(EVERY, None, 30)).letters) == 30
    assert read == []
    await letters.set_aside(b"new")
    assert len((await shelf.look(EVERY, None, 50)).letters) == 31
    assert [list(wanted.values()) for wanted in read] == [[(30, 31)]]


async def test_a_look_ends_when_enough_was_looked_at_and_the_next_one_goes_on(
    letters: Letters, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    await letters.set_aside(b"old", cause="conflict")
    await letters.set_aside(*[b"%d" % number for number in range(200)])
    monkeypatch.setattr(shelf_module, "LETTERS_LOOKED_AT_MAX", 20)
    monkeypatch.setattr(shelf_module, "LETTERS_AT_ONCE_MAX", 20)
    wanted, cursor, looks = DeadLetterFilter(cause="conflict"), None, 0
    while True:
        page = await shelf.look(wanted, cursor, 5)
        looks, cursor = looks + 1, page.cursor
        if page.letters:
            break
        assert not page.is_whole
    assert [letter["cause"] for letter in page.letters] == ["conflict"]
    assert looks > 3
    assert not (await shelf.tally(EVERY, "cause")).is_whole


@pytest.mark.real_kafka  # one partition a topic
async def test_letters_are_found_by_their_positions_and_only_ours(letters: Letters, shelf: Shelf) -> None:
    await letters.set_aside(*[b"%d" % number for number in range(120)])
    topic = dead_letter_topic(letters.requests)
    found = await shelf.at([Position(topic, 0, at) for at in (119, 0, 60)])
    assert [record.value for _letter, record in found] == [b"119", b"0", b"60"]
    for position in (f"{topic}/0/120", f"{topic}/7/0", f"{letters.requests}/0/0", "dlq.others/0/0"):
        with pytest.raises(NotFoundError):
            await shelf.at([parse_position(position)])
    assert len((await shelf.look(EVERY, None, 10)).letters) == 10, "a wrong question breaks nothing"
    with pytest.raises(UsageError):
        await shelf.look(EVERY, "x", 10)


async def test_what_nobody_looks_at_is_let_go_and_taken_up_again(
    letters: Letters, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shelf_module, "SHELF_IDLE_MS_MAX", 1)
    await letters.set_aside(b"1")
    assert len((await shelf.look(EVERY, None, 10)).letters) == 1
    retiring = shelf._retiring
    assert retiring is not None
    await retiring
    assert (shelf._windows._consumer, shelf._tails, shelf._retiring) == (None, {}, None)
    assert len((await shelf.look(EVERY, None, 10)).letters) == 1
