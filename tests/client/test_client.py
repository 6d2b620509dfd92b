"""A client on a real broker: starting, waiting, refusals, what it says when it has to give up."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import BaseModel

from kafka_saga.client import OutcomeTimeoutError, RequestRefusedError, SagaClient, SagaRef, SagaType, reader
from kafka_saga.messaging.errors import PublishRefusedError, UnknownTopicError
from kafka_saga.messaging.topics import TopicSpec, create_topics
from kafka_saga.orchestrator.sagas.order import order_saga
from kafka_saga.runtime.errors import BrokerUnavailableError, NotFoundError, RefusedError, UsageError
from kafka_saga.schemas.codec import decode_trusted
from kafka_saga.schemas.envelope import read_actor, read_headers
from kafka_saga.schemas.events import LifecycleEvent
from kafka_saga.schemas.orders import OrderCreated, OrderRequested
from tests.brokers import BrokerUnderTest
from tests.client.conftest import ORDER, PATIENCE_MS, Teller, client_of, order
from tests.integration.processes import until

pytestmark = pytest.mark.kafka

COMPLETED, COMPENSATED, PARKED = LifecycleEvent.COMPLETED, LifecycleEvent.COMPENSATED, LifecycleEvent.PARKED


async def asked(teller: Teller, count: int) -> None:
    """Wait until so many requests are in the topic."""
    while len(await teller.requests()) < count:
        pass


async def test_what_was_started_is_stored_under_the_sagas_id(sagas: SagaClient, teller: Teller) -> None:
    assert await sagas.start(order("o-1")) == SagaRef("order", "o-1")
    refs = await sagas.start_many([order(f"o-{number}") for number in range(2, 102)])
    assert refs == [SagaRef("order", f"o-{number}") for number in range(2, 102)]
    requests = await teller.requests()
    assert {record.key for record in requests} == {b"o-1", *(ref.saga_id.encode() for ref in refs)}
    [first] = [record for record in requests if record.key == b"o-1"]
    assert decode_trusted(first.value or b"") == order("o-1").model_dump(mode="json")


async def test_who_asks_travels_with_the_request_where_it_is_said(sagas: SagaClient, teller: Teller) -> None:
    await sagas.start(order("o-1"), actor="ann@shop")
    await sagas.start_many([order("o-2")], actor="bob@shop")
    await sagas.start(order("o-3"))
    with pytest.raises(OutcomeTimeoutError):
        await sagas.run(order("o-4"), actor="cid@shop", timeout_ms=1_000)

    told = {record.key: read_actor(read_headers(record.headers)) for record in await teller.requests()}

    assert told == {b"o-1": "ann@shop", b"o-2": "bob@shop", b"o-3": None, b"o-4": "cid@shop"}


async def test_starts_that_come_together_are_published_together(
    sagas: SagaClient, teller: Teller, monkeypatch: pytest.MonkeyPatch
) -> None:
    connected = sagas._open()
    sizes, publish = [], connected.producer.publish

    async def counted(messages: list[object]) -> None:
        sizes.append(len(messages))
        await publish(messages)  # type: ignore[arg-type]

    monkeypatch.setattr(connected.producer, "publish", counted)
    await asyncio.gather(*(sagas.start(order(f"o-{number}")) for number in range(1_000)))
    assert sum(sizes) == 1_000
    assert len(sizes) <= 4, sizes
    assert len(await teller.requests()) == 1_000


async def test_an_outcome_is_what_the_last_event_says(teller: Teller) -> None:
    async with client_of(teller, types=[order_saga]) as sagas:
        waiting = asyncio.create_task(sagas.outcome("o-1", timeout_ms=PATIENCE_MS))
        await teller.tell("o-1", LifecycleEvent.STARTED, 1)
        await teller.tell("o-1", LifecycleEvent.COMPENSATING, 4, stepsExecuted=[1], error="card declined")
        told = {"stepsExecuted": [1, 2], "stepsCompensated": [2, 1], "error": "card declined"}
        await teller.tell("o-1", COMPENSATED, 7, **told)
        outcome = await waiting
    assert (outcome.state, outcome.compensated, outcome.completed, outcome.parked) == (
        "COMPENSATED",
        True,
        False,
        False,
    )
    assert (outcome.error, outcome.failed_step, outcome.failed_step_name) == ("card declined", 2, "process_payment")
    assert (outcome.steps_executed, outcome.steps_compensated, outcome.sequence) == ((1, 2), (2, 1), 7)
    assert outcome.request(OrderRequested) == order("o-1")
    with pytest.raises(NotFoundError, match="not a reply of step 'create_order'"):
        outcome.reply("create_order", OrderCreated)


async def test_an_end_from_before_the_client_is_known_and_counts_once(teller: Teller) -> None:
    replies = {"create_order": {"order_number": "n-1"}}
    data = {"request": order("o-1").model_dump(), "replies": replies}
    for _ in range(2):
        await teller.tell("o-1", COMPLETED, data=data)
    async with client_of(teller) as sagas:
        first = await sagas.outcome("o-1", timeout_ms=PATIENCE_MS)
        again = await sagas.outcome("o-1", timeout_ms=1)
    assert first == again
    assert (first.completed, first.failed_step) == (True, None)
    assert first.reply("create_order", OrderCreated) == OrderCreated(order_number="n-1")


@pytest.mark.real_kafka
async def test_what_ended_before_the_window_is_not_read_again(teller: Teller) -> None:
    await teller.tell("o-1", COMPLETED)
    async with client_of(teller, window_ms=0) as sagas:
        await sagas._open().reader.ready()
        with pytest.raises(OutcomeTimeoutError, match="did it end more than 0 ms ago") as caught:
            await sagas.outcome("o-1", timeout_ms=1_000)
    assert (caught.value.ref, caught.value.last_event) == (SagaRef("order", "o-1"), None)
    assert isinstance(caught.value, TimeoutError)


async def test_a_parked_saga_answers_and_may_end_later(sagas: SagaClient, teller: Teller) -> None:
    await teller.tell("o-1", PARKED, 5, error="refund refused")
    assert (await sagas.outcome("o-1", timeout_ms=PATIENCE_MS)).parked
    await teller.tell("o-1", COMPENSATED, 8)
    ends, ref = sagas._open().reader.ends, SagaRef("order", "o-1")
    await until("the end is read", lambda: (end := ends.end_of(ref, 0)) is not None and end.state == "COMPENSATED")
    assert (await sagas.outcome("o-1", timeout_ms=1)).compensated


async def test_run_asks_and_waits(sagas: SagaClient, teller: Teller) -> None:
    running = asyncio.create_task(sagas.run(order("o-1"), timeout_ms=PATIENCE_MS))
    await asked(teller, 1)
    await teller.tell("o-1", COMPLETED)
    assert (await running).completed
    assert (await sagas.run(order("o-1"), timeout_ms=PATIENCE_MS)).completed, "the same request is the same saga"
    assert len(await teller.requests()) == 2


async def test_a_request_for_a_saga_that_exists_with_another_one_is_a_conflict(
    sagas: SagaClient, teller: Teller
) -> None:
    await teller.tell("o-1", COMPLETED)
    await sagas.outcome("o-1", timeout_ms=PATIENCE_MS)
    with pytest.raises(RequestRefusedError, match="exists with another request") as caught:
        await sagas.run(order("o-1", amount=1), timeout_ms=PATIENCE_MS)
    assert (caught.value.cause, caught.value.ref) == ("conflict", SagaRef("order", "o-1"))
    assert isinstance(caught.value, RefusedError)


@pytest.mark.real_kafka
async def test_a_topic_of_dead_letters_that_comes_with_the_first_one_is_read(
    kafka: BrokerUnderTest, topic_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "_METADATA_AGE_MS", 100)
    teller = Teller(kafka, topic_prefix)
    await teller.prepare(with_letters=False)
    async with client_of(teller) as sagas:
        await teller.tell("o-1", COMPLETED, 1)
        assert (await sagas.outcome("o-1", timeout_ms=PATIENCE_MS)).completed
        running = asyncio.create_task(sagas.run(order("o-2"), timeout_ms=PATIENCE_MS))
        await asked(teller, 1)
        [request] = await teller.requests()
        await teller.prepare()
        await teller.set_aside(request, "bad_schema")
        with pytest.raises(RequestRefusedError, match="bad_schema"):
            await running
        await teller.tell("o-3", COMPLETED, 1)
        assert (await sagas.outcome("o-3", timeout_ms=PATIENCE_MS)).completed, "events are read on"
    await teller.producer.stop()


async def test_a_request_that_is_set_aside_ends_the_wait_for_it(sagas: SagaClient, teller: Teller) -> None:
    mine = asyncio.create_task(sagas.run(order("o-1", amount=1), timeout_ms=PATIENCE_MS))
    await asked(teller, 1)
    others = asyncio.create_task(sagas.outcome("o-1", timeout_ms=PATIENCE_MS))
    [request] = await teller.requests()
    await teller.set_aside(request, "conflict")
    with pytest.raises(RequestRefusedError, match="because of conflict") as caught:
        await mine
    assert caught.value.position is not None
    assert caught.value.position.startswith(f"dlq.{teller.topics.requests('order')}/")
    assert not others.done(), "the saga of that id has an end of its own"
    await teller.tell("o-1", COMPLETED)
    assert (await others).completed


async def test_a_request_that_nobody_could_read_is_no_saga_until_it_is_heard_of(
    sagas: SagaClient, teller: Teller
) -> None:
    await sagas.start(order("o-1"))
    [request] = await teller.requests()
    await teller.set_aside(request, "bad_schema")
    with pytest.raises(RequestRefusedError, match=r"set aside \(bad_schema\)"):
        await sagas.outcome("o-1", timeout_ms=PATIENCE_MS)
    with pytest.raises(RequestRefusedError):
        await sagas.outcome("o-1", timeout_ms=1_000)
    again = asyncio.create_task(sagas.run(order("o-1"), timeout_ms=PATIENCE_MS))
    await asked(teller, 2)
    await teller.tell("o-1", COMPLETED)
    assert (await again).completed


async def test_a_timeout_says_what_is_known(sagas: SagaClient, teller: Teller) -> None:
    with pytest.raises(OutcomeTimeoutError, match="its request is stored, and nothing was heard of it"):
        await sagas.run(order("o-1"), timeout_ms=1_500)
    with pytest.raises(OutcomeTimeoutError, match="nothing was heard of it: was it asked for") as unknown:
        await sagas.outcome("o-3", timeout_ms=1)
    assert not unknown.value.is_stored
    waiting = asyncio.create_task(sagas.outcome("o-2", timeout_ms=3_000))
    await teller.tell("o-2", LifecycleEvent.STARTED, 1)
    with pytest.raises(OutcomeTimeoutError, match="and goes on: the last it told is started") as caught:
        await waiting
    assert (caught.value.last_event, caught.value.is_stored) == ("started", True)
    assert sagas._open().reader.waiters.count == 0


async def test_who_gives_up_leaves_the_others_waiting(sagas: SagaClient, teller: Teller) -> None:
    waiting = [asyncio.create_task(sagas.outcome("o-1", timeout_ms=PATIENCE_MS)) for _ in range(3)]
    waiters = sagas._open().reader.waiters
    await until("three wait", lambda: waiters.count == 3)
    waiting[1].cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting[1]
    assert waiters.count == 2
    await teller.tell("o-1", COMPLETED)
    assert (await waiting[0], await waiting[2]) == (await waiting[2], await waiting[0])
    assert (waiters.count, waiters._of) == (0, {})


async def test_thousands_wait_on_one_reader(sagas: SagaClient, teller: Teller) -> None:
    ids = [f"o-{number}" for number in range(3_000)]
    waiting = [asyncio.create_task(sagas.outcome(saga_id, timeout_ms=PATIENCE_MS)) for saga_id in ids]
    await teller.producer.publish([teller.event(saga_id, COMPLETED, 9) for saga_id in ids])
    outcomes = await asyncio.gather(*waiting)
    assert [outcome.ref.saga_id for outcome in outcomes] == ids


async def test_more_may_not_wait_than_memory_has_room_for(sagas: SagaClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kafka_saga.client.waiters.CLIENT_WAITERS_MAX", 1)
    first = asyncio.create_task(sagas.outcome("o-1", timeout_ms=PATIENCE_MS))
    await until("one waits", lambda: sagas._open().reader.waiters.count == 1)
    with pytest.raises(RefusedError, match="1 wait for outcomes already"):
        await sagas.outcome("o-2", timeout_ms=1_000)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first


async def test_closing_tells_who_waits(teller: Teller) -> None:
    async with client_of(teller) as sagas:
        waiting = asyncio.create_task(sagas.outcome("o-1", timeout_ms=PATIENCE_MS))
        await until("one waits", lambda: sagas._open().reader.waiters.count == 1)
    with pytest.raises(RefusedError, match="the SagaClient was closed"):
        await waiting
    with pytest.raises(UsageError, match="not connected"):
        await sagas.start(order("o-2"))


async def test_a_client_that_only_starts_reads_nothing_until_it_is_asked(teller: Teller) -> None:
    async with client_of(teller, follow=False) as sagas:
        await sagas.start(order("o-1"))
        assert sagas._open().reader._task is None
        await teller.tell("o-1", COMPLETED)
        assert (await sagas.outcome("o-1", timeout_ms=PATIENCE_MS)).completed


async def test_events_come_typed_from_any_position(sagas: SagaClient, teller: Teller) -> None:
    await teller.tell("o-1", LifecycleEvent.STARTED, 1)
    async with sagas.events() as now, sagas.events(since="beginning") as all_:
        await teller.producer.publish([teller.event("o-1", COMPLETED, 5)] * 2)
        await teller.tell("o-2", PARKED, 6)
        found = [await anext(now), await anext(now)]
        assert {(event.ref.saga_id, event.kind, event.sequence) for event in found} == {
            ("o-1", "completed", 5), ("o-2", "parked", 6),
        }  # fmt: skip
        assert [event.is_end for event in sorted(found, key=lambda event: event.sequence)] == [True, False]
        position = str(now.position)
        kinds = sorted([(await anext(all_)).kind for _ in range(3)])
        assert kinds == ["completed", "parked", "started"]
    assert now not in sagas._streams
    await teller.tell("o-3", COMPLETED, 7)
    async with sagas.events(since=position) as resumed:
        after = [await anext(resumed)]
        while after[-1].ref.saga_id != "o-3":  # the copy may lie behind the position
            after.append(await anext(resumed))
    assert {(event.ref.saga_id, event.kind) for event in after} <= {("o-1", "completed"), ("o-3", "completed")}
    async with sagas.events(since=datetime(2020, 1, 1, tzinfo=UTC)) as since:
        assert len([await anext(since) for _ in range(4)]) == 4


async def test_a_stream_that_is_read_ends_with_its_client(teller: Teller) -> None:
    async with client_of(teller) as sagas:
        stream = sagas.events()
        reading = asyncio.create_task(anext(stream))
        await until("it reads", lambda: bool(stream.position.offsets))
    with pytest.raises(StopAsyncIteration):
        await reading


@pytest.mark.parametrize("since", ["yesterday", "[]", "{", 5, None, [], datetime(2026, 1, 1)])  # noqa: DTZ001
async def test_what_is_no_position_is_refused(sagas: SagaClient, since: Any) -> None:
    with pytest.raises(UsageError):
        sagas.events(since=since)


async def test_one_request_among_many_that_does_not_fit_is_named(sagas: SagaClient) -> None:
    requests = [order("o-1"), order("o-2"), order("o-3").model_copy(update={"order_id": "a b"})]
    with pytest.raises(UsageError, match=r"^request 3: .*order"):
        await sagas.start_many(requests)


async def test_no_broker_is_said_at_once() -> None:
    with pytest.raises(BrokerUnavailableError, match="cannot reach Kafka at 127"):
        await SagaClient("127.0.0.1:1").__aenter__()


@pytest.mark.real_kafka
async def test_topics_that_are_not_there_are_said_and_found_later(kafka: BrokerUnderTest, topic_prefix: str) -> None:
    teller = Teller(kafka, topic_prefix)
    async with client_of(teller) as sagas:
        with pytest.raises(UnknownTopicError, match="saga topics create"):
            await sagas.outcome("o-1", timeout_ms=PATIENCE_MS)
        with pytest.raises(UnknownTopicError, match="saga topics create"):
            await sagas.start(order("o-1"))
        await teller.prepare()
        waiting = asyncio.create_task(sagas.run(order("o-1"), timeout_ms=PATIENCE_MS))
        await asked(teller, 1)
        await teller.tell("o-1", COMPLETED)
        assert (await waiting).completed
    await teller.producer.stop()


class Shipped(BaseModel):
    parcel: str
    label: str = ""


@pytest.mark.real_kafka
async def test_one_that_the_broker_refuses_does_not_cost_the_others(teller: Teller) -> None:
    requests = [order("o-1"), Shipped(parcel="p-1"), order("o-2")]
    async with client_of(teller, types=[ORDER, SagaType("absent", Shipped, "parcel")]) as sagas:
        results = await asyncio.gather(*map(sagas.start, requests), return_exceptions=True)
    assert [results[0], results[2]] == [("order", "o-1"), ("order", "o-2")]
    assert isinstance(results[1], UnknownTopicError)
    assert sorted(record.key or b"" for record in await teller.requests()) == [b"o-1", b"o-2"]


@pytest.mark.real_kafka
async def test_what_is_too_large_for_the_topic_is_refused_alone_and_the_others_are_stored_once(teller: Teller) -> None:
    topic = teller.topics.requests("parcel")
    await create_topics(teller.settings, [TopicSpec(topic, 1, {"max.message.bytes": "2000"})])
    ids = [f"p-{number}" for number in range(20)]
    requests = [Shipped(parcel=parcel, label="x" * 5_000 if parcel == "p-7" else "") for parcel in ids]
    async with client_of(teller, types=[SagaType("parcel", Shipped, "parcel")], follow=False) as sagas:
        results = await asyncio.gather(*map(sagas.start, requests), return_exceptions=True)
    refused = {saga_id: result for saga_id, result in zip(ids, results, strict=True) if isinstance(result, Exception)}
    assert refused.keys() == {"p-7"}
    assert isinstance(refused["p-7"], PublishRefusedError)
    assert [record.key for record in await teller.requests("parcel")] == [
        saga_id.encode() for saga_id in ids if saga_id != "p-7"
    ]
