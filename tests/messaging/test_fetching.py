from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest
from aiokafka.client import AIOKafkaClient
from aiokafka.conn import AIOKafkaConnection
from aiokafka.consumer.fetcher import PartitionRecords
from aiokafka.errors import KafkaConnectionError

from kafka_saga.messaging import fetching
from kafka_saga.messaging.consumer import Consumer
from kafka_saga.messaging.producer import Producer
from kafka_saga.runtime.errors import BrokerUnavailableError
from tests.brokers import BrokerUnderTest
from tests.messaging.conftest import PATIENCE_S, Read, first_read, make_topic, messages

pytestmark = pytest.mark.kafka


async def test_many_topics_are_found_out_about_at_once(
    broker: BrokerUnderTest, reading: Read, topic_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pause after each would be too long where an operator reads the dead letters of a large cluster."""
    topics = [await make_topic(broker, f"{topic_prefix}{number}") for number in range(20)]
    asked = 0
    ask = AIOKafkaClient._metadata_update

    async def counting(client: AIOKafkaClient, *arguments: Any) -> Any:
        nonlocal asked
        asked += 1
        return await ask(client, *arguments)

    monkeypatch.setattr(AIOKafkaClient, "_metadata_update", counting)
    consumer = await reading(broker, *topics)

    assert {partition.topic for partition in consumer.partitions} == set(topics)
    assert asked < 10


async def test_while_a_partition_has_no_leader_one_is_asked_for_now_and_then_and_not_all_the_time(
    broker: BrokerUnderTest, reading: Read, topic_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = await make_topic(broker, topic_prefix + "orders", 1)
    consumer = await reading(broker, topic)
    asked = 0
    ask = AIOKafkaClient._metadata_update

    async def without_leader(client: AIOKafkaClient, metadata: Any, topics: Any) -> Any:
        nonlocal asked
        asked += 1
        answer = await ask(client, metadata, topics)
        for number, partition in metadata._partitions[topic].items():
            metadata._partitions[topic][number] = partition._replace(leader=-1)
        return answer

    monkeypatch.setattr(AIOKafkaClient, "_metadata_update", without_leader)
    await consumer._running()._client.force_metadata_update()
    for _ in range(5):
        assert await consumer.poll(200, 10) == []
    assert 1 < asked < 100  # it was as often as it was answered: a thousand times


async def test_a_consumer_that_does_not_find_out_about_its_topics_is_closed(
    broker: BrokerUnderTest, topic_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is built anew again and again while brokers are away: none may stay behind."""
    topic = await make_topic(broker, topic_prefix + "orders")
    closed: list[AIOKafkaClient] = []
    close = AIOKafkaClient.close

    async def noting(client: AIOKafkaClient) -> None:
        closed.append(client)
        await close(client)

    async def failing(client: AIOKafkaClient, _topics: object) -> None:
        await asyncio.sleep(0)  # noqa: TID251 -- lets the others run, no time passes
        raise KafkaConnectionError(f"{client} lost its broker")

    consumer = Consumer(broker.settings, [topic], group=topic)
    monkeypatch.setattr(AIOKafkaClient, "close", noting)
    monkeypatch.setattr(AIOKafkaClient, "set_topics", failing)
    with pytest.raises(BrokerUnavailableError):
        await consumer.start({})
    assert len(set(closed)) == 1
    await consumer.stop()


async def test_fetched_records_that_a_pause_drops_are_freed_at_once(
    broker: BrokerUnderTest, producer: Producer, reading: Read, topic_prefix: str
) -> None:
    """Whatever waits for the search for garbage is bounded by nothing: it counts objects, not their megabytes."""
    topic = await make_topic(broker, topic_prefix + "orders")
    await producer.publish(messages(topic, 50))
    consumer = await reading(broker, topic)
    await first_read(consumer, 5)
    assert fetched_of(topic)
    gc.disable()
    try:
        consumer.pause([topic])
        await consumer.poll(100, 5)
        assert fetched_of(topic) == []
    finally:
        gc.enable()


def fetched_of(topic: str) -> list[PartitionRecords]:
    return [one for one in gc.get_objects() if isinstance(one, PartitionRecords) and one._tp.topic == topic]


async def test_an_answer_goes_out_before_more_is_asked_for(
    broker: BrokerUnderTest,
    producer: Producer,
    reading: Read,
    topic_prefix: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked, answers = [await make_topic(broker, topic_prefix + name) for name in ("asked", "answers")]
    await producer.publish(messages(answers, 1))
    consumer = await reading(broker, asked)
    sent = note_requests(monkeypatch)
    tries: list[list[str]] = []
    # A fetch that the broker had waited with for long enough may come between; hardly three times.
    while len(tries) < 3 and ["ProduceRequest", "FetchRequest"] not in tries:
        await producer.publish(messages(asked, 1))
        await first_read(consumer, 10)
        sent.clear()
        # As the workers do: what follows from the records is handed to a task that publishes, and the next poll begins.
        answering = asyncio.create_task(producer.publish(messages(answers, 1)))
        await consumer.poll(100, 10)
        await answering
        tries.append([name for name in sent if name in {"ProduceRequest", "FetchRequest"}][:2])
    assert ["ProduceRequest", "FetchRequest"] in tries


@pytest.mark.parametrize(("taken", "asked_again"), [(fetching.CROWD, True), (fetching.CROWD + 1, False)])
async def test_where_many_come_some_gather_before_more_is_asked_for(  # noqa: PLR0917 -- fixtures and cases
    broker: BrokerUnderTest,
    producer: Producer,
    reading: Read,
    topic_prefix: str,
    monkeypatch: pytest.MonkeyPatch,
    taken: int,
    asked_again: bool,
) -> None:
    """Told apart by a time to gather that does not pass."""
    topic = await make_topic(broker, topic_prefix + "orders", partitions=1)
    monkeypatch.setattr(fetching, "GATHER_MS", PATIENCE_S * 1000)
    consumer = await reading(broker, topic)
    consumer._running()._fetcher._fetcher_timeout = PATIENCE_S  # it looks again after 0.2 s otherwise
    sent = note_requests(monkeypatch)
    tries: list[bool] = []
    # A fetch that the broker had waited with for long enough may come between; hardly three times.
    while len(tries) < 3 and asked_again not in tries:
        await producer.publish(messages(topic, taken))
        assert len(await first_read(consumer, 100)) == taken
        sent.clear()
        await consumer.poll(100, 100)
        tries.append("FetchRequest" in sent)
    assert asked_again in tries


def note_requests(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of all requests sent to brokers from now on, in their order."""
    sent: list[str] = []
    send = AIOKafkaConnection.send

    def noting(connection: AIOKafkaConnection, request: Any, *more: Any, **options: Any) -> Any:
        sent.append(type(request).__name__)
        return send(connection, request, *more, **options)

    monkeypatch.setattr(AIOKafkaConnection, "send", noting)
    return sent
