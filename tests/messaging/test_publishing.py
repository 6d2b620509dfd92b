from __future__ import annotations

import asyncio

import pytest
from aiokafka import errors as kafka_errors
from confluent_kafka import Producer as LibrdkafkaProducer

from kafka_saga.messaging.errors import PublishRefusedError, RefusalReason
from kafka_saga.messaging.producer import Producer
from kafka_saga.messaging.records import Message
from kafka_saga.messaging.sending import refusal_reason
from kafka_saga.messaging.settings import KafkaSettings
from kafka_saga.runtime import limits
from kafka_saga.runtime.clock import SystemClock
from kafka_saga.runtime.errors import BrokerUnavailableError
from tests.brokers import BrokerUnderTest
from tests.messaging.conftest import Read, make_topic, messages, numbers, read

pytestmark = pytest.mark.kafka


async def test_messages_of_one_key_keep_their_order_over_several_batches(
    broker: BrokerUnderTest, producer: Producer, reading: Read, topic_prefix: str
) -> None:
    topic = await make_topic(broker, topic_prefix + "orders")
    sent = messages(topic, 3_000, size=600)
    assert sum(len(m.value or b"") for m in sent) > 2 * limits.PUBLISH_BATCH_BYTES_MAX

    await producer.publish(sent[:2_000])
    await producer.publish(sent[2_000:])

    records = await read(await reading(broker, topic), 3_000)
    assert numbers(records) == list(range(3_000))
    assert len({record.partition for record in records}) == 1


async def test_key_value_and_headers_arrive_as_they_were(
    broker: BrokerUnderTest, producer: Producer, reading: Read, topic_prefix: str
) -> None:
    topic = await make_topic(broker, topic_prefix + "orders")
    headers = (("ce_id", b"order/1/a/forward/1"), ("ce_id", b"twice"), ("binary", b"\x00\xff"))
    await producer.publish([Message(topic, b"k\x00", b"\xff{}", headers)])

    (record,) = await read(await reading(broker, topic), 1)
    assert (record.key, record.value, tuple(record.headers)) == (b"k\x00", b"\xff{}", headers)


async def test_a_message_may_lack_key_or_value(
    broker: BrokerUnderTest, producer: Producer, reading: Read, topic_prefix: str
) -> None:
    topic = await make_topic(broker, topic_prefix + "orders")
    await producer.publish([Message(topic, None, b"no key"), Message(topic, b"k", None)])

    records = await read(await reading(broker, topic), 2)
    assert {(record.key, record.value) for record in records} == {(None, b"no key"), (b"k", None)}


async def test_messages_without_a_key_are_spread_over_the_partitions(
    broker: BrokerUnderTest, producer: Producer, reading: Read, topic_prefix: str
) -> None:
    topic = await make_topic(broker, topic_prefix + "orders")
    await producer.publish(messages(topic, 40, key=None))

    records = await read(await reading(broker, topic), 40)
    assert {record.partition for record in records} == {0, 1, 2, 3}
    assert await producer.partition_count(topic) == 4


async def test_the_partition_of_a_key_is_the_one_librdkafka_clients_choose(
    broker: BrokerUnderTest, producer: Producer, reading: Read, topic_prefix: str
) -> None:
    topic = await make_topic(broker, topic_prefix + "orders")
    keys = [b"order-%d" % number for number in range(50)]
    await producer.publish([Message(topic, key, b"ours") for key in keys])
    other = LibrdkafkaProducer({"bootstrap.servers": broker.bootstrap_servers})
    for key in keys:
        other.produce(topic, b"theirs", key)
    assert other.flush(30) == 0

    records = await read(await reading(broker, topic), 100)
    ours, theirs = ({r.key: r.partition for r in records if r.value == who} for who in (b"ours", b"theirs"))
    assert ours == theirs


async def test_calls_at_the_same_time_are_served_one_after_the_other(
    broker: BrokerUnderTest, producer: Producer, reading: Read, topic_prefix: str
) -> None:
    topic = await make_topic(broker, topic_prefix + "orders")
    sent = messages(topic, 100)
    await asyncio.gather(*(producer.publish(sent[start : start + 10]) for start in range(0, 100, 10)))
    assert numbers(await read(await reading(broker, topic), 100)) == list(range(100))


async def test_nothing_to_publish_needs_no_broker() -> None:
    await Producer(KafkaSettings(bootstrap_servers="127.0.0.1:1")).publish([])


async def test_no_broker_is_said_plainly() -> None:
    producer = Producer(KafkaSettings(bootstrap_servers="127.0.0.1:1"))
    with pytest.raises(BrokerUnavailableError, match=r"cannot reach Kafka at 127\.0\.0\.1:1: is it ru") as caught:
        await producer.publish([Message("t", None, b"x")])
    assert caught.value.retryable
    await producer.stop()


@pytest.mark.real_kafka
async def test_publish_fails_while_the_broker_is_down_and_the_same_messages_pass_afterwards(
    stoppable: BrokerUnderTest,
    real_producer: Producer,
    reading: Read,
    topic_prefix: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert stoppable.process is not None
    topic = await make_topic(stoppable, topic_prefix + "orders")
    await real_producer.publish(messages(topic, 1))
    monkeypatch.setattr(limits, "PUBLISH_TIMEOUT_MS", 500)

    stoppable.process.kill()
    for _ in range(3):
        with pytest.raises(BrokerUnavailableError):
            await real_producer.publish(messages(topic, 5))
    stoppable.process.start()
    monkeypatch.undo()

    await real_producer.publish(messages(topic, 5))
    assert numbers(await read(await reading(stoppable, topic), 6)) == [0, 0, 1, 2, 3, 4]


@pytest.mark.real_kafka
async def test_a_broker_that_hangs_costs_the_deadline_and_nothing_else(
    stoppable: BrokerUnderTest,
    real_producer: Producer,
    reading: Read,
    topic_prefix: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert stoppable.process is not None
    topic = await make_topic(stoppable, topic_prefix + "orders")
    await real_producer.publish(messages(topic, 1))
    monkeypatch.setattr(limits, "PUBLISH_TIMEOUT_MS", 300)

    stoppable.process.pause()
    with pytest.raises(BrokerUnavailableError, match="within 300 ms"):
        await real_producer.publish(messages(topic, 5))
    stoppable.process.resume()
    monkeypatch.undo()
    await real_producer.publish([Message(topic, b"order-1", b"99")])

    consumer = await reading(stoppable, topic)
    seen: list[int] = []
    while 99 not in seen:
        seen += numbers(await consumer.poll(1_000, 100))
    # What the broker had received before it froze may have been stored: then all of it, in order, once.
    assert seen in ([0, 99], [0, 0, 1, 2, 3, 4, 99], [0, 99, 0, 1, 2, 3, 4])


@pytest.mark.real_kafka
async def test_a_message_the_broker_will_never_take_is_named_and_does_not_stop_the_others(
    kafka: BrokerUnderTest, real_producer: Producer, reading: Read, topic_prefix: str
) -> None:
    topic = await make_topic(kafka, topic_prefix + "orders")
    huge = Message(topic, b"order-1", b"x" * 2_000_000)
    with pytest.raises(PublishRefusedError, match=f"topic {topic}") as caught:
        await real_producer.publish([Message(topic, b"order-1", b"1"), huge, Message(topic, b"order-1", b"2")])
    assert caught.value.reason == "too_large"
    assert caught.value.messages == (huge,)
    assert not caught.value.retryable

    await real_producer.publish([Message(topic, b"order-1", b"1"), Message(topic, b"order-1", b"2")])
    consumer = await reading(kafka, topic)
    seen: list[int] = []
    while seen[-2:] != [1, 2]:
        seen += numbers(await consumer.poll(1_000, 100))
    assert set(seen) == {1, 2}


@pytest.mark.real_kafka
async def test_batches_shrink_to_what_the_topic_takes(
    kafka: BrokerUnderTest, real_producer: Producer, reading: Read, topic_prefix: str
) -> None:
    topic = await make_topic(kafka, topic_prefix + "small", max_message_bytes="20000")
    await real_producer.publish(messages(topic, 300, size=1_000))
    assert numbers(await read(await reading(kafka, topic), 300)) == list(range(300))


class WrongClock(SystemClock):
    """Set wrong by `off_ms`."""

    def __init__(self, off_ms: int) -> None:
        self.off_ms = off_ms

    def now_ms(self) -> int:
        return super().now_ms() + self.off_ms


@pytest.mark.real_kafka
@pytest.mark.parametrize("off_ms", [65 * 60_000, 30 * 86_400_000, -40 * 86_400_000])
async def test_a_wrong_clock_costs_no_message(
    kafka: BrokerUnderTest, reading: Read, topic_prefix: str, off_ms: int
) -> None:
    topic = await make_topic(kafka, topic_prefix + "orders")
    producer = Producer(KafkaSettings(bootstrap_servers=kafka.bootstrap_servers), clock=WrongClock(off_ms))
    try:
        await producer.publish(messages(topic, 300, size=100))
        await producer.publish(messages(topic, 300, size=100))
    finally:
        await producer.stop()
    assert numbers(await read(await reading(kafka, topic), 600)) == [*range(300), *range(300)]


@pytest.mark.real_kafka
async def test_a_missing_topic_is_named_with_the_remedy_and_its_messages(
    kafka: BrokerUnderTest, real_producer: Producer, topic_prefix: str
) -> None:
    there = await make_topic(kafka, topic_prefix + "there")
    lost = Message(topic_prefix + "missing", None, b"x")
    with pytest.raises(PublishRefusedError, match=r"missing.*saga topics create") as caught:
        await real_producer.publish([Message(there, None, b"x"), lost])
    assert (caught.value.reason, caught.value.messages) == ("unknown_topic", (lost,))


@pytest.mark.real_kafka
@pytest.mark.parametrize("beside", [True, False])
async def test_what_a_rule_of_its_topic_is_against_is_refused_and_named_alone(
    kafka: BrokerUnderTest, real_producer: Producer, topic_prefix: str, *, beside: bool
) -> None:
    topic = await make_topic(kafka, topic_prefix + "compacted", cleanup_policy="compact")
    keyless, keyed = Message(topic, None, b"no key"), [Message(topic, b"k%d" % number, b"x") for number in range(8)]
    with pytest.raises(PublishRefusedError, match="a rule of the broker's or the topic's is against it") as caught:
        await real_producer.publish([*keyed, keyless] if beside else [keyless])
    assert (caught.value.reason, caught.value.messages) == ("refused", (keyless,))
    await real_producer.publish(keyed)


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (kafka_errors.for_code(87)(), "refused"),
        (kafka_errors.for_code(29)("t"), "not_authorised"),
        (kafka_errors.for_code(12_345)(), "unexplained"),  # of a Kafka that is not there yet
        (kafka_errors.UnknownError(), "unexplained"),
        (kafka_errors.OutOfOrderSequenceNumber(), None),
        (kafka_errors.KafkaConnectionError(), None),
    ],
)
def test_every_final_answer_of_a_broker_has_a_reason(error: BaseException, reason: RefusalReason | None) -> None:
    assert refusal_reason(error) == reason
