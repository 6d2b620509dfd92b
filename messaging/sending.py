"""How a filled batch reaches its partition, and how a producer is closed for good: aiokafka's inner side."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from aiokafka import AIOKafkaProducer
from aiokafka import errors as kafka_errors
from aiokafka.producer.message_accumulator import BatchBuilder

from kafka_saga.messaging.connecting import close_for_good
from kafka_saga.messaging.errors import RefusalReason
from kafka_saga.messaging.records import Message
from kafka_saga.runtime.failpoints import failpoint


class InvalidRecordError(kafka_errors.BrokerResponseError):  # type: ignore[misc] # aiokafka has no types
    """A rule of the topic's: a compacted one takes no record without a key."""

    errno = 87
    message = "INVALID_RECORD"
    description = "the topic's own rules do not allow the record"


# aiokafka's table (0.14) ends before this code.
_INVALID_RECORD = kafka_errors.kafka_errors.setdefault(InvalidRecordError.errno, InvalidRecordError)

# What no repetition can change.
_REFUSALS: dict[type[BaseException], RefusalReason] = {
    kafka_errors.MessageSizeTooLargeError: "too_large",
    kafka_errors.RecordListTooLargeError: "too_large",
    kafka_errors.TopicAuthorizationFailedError: "not_authorised",
    kafka_errors.ClusterAuthorizationFailedError: "not_authorised",
    kafka_errors.InvalidTopicError: "refused",
    kafka_errors.InvalidTimestampError: "timestamp",
    kafka_errors.PolicyViolationError: "refused",
    kafka_errors.UnsupportedForMessageFormatError: "refused",
    _INVALID_RECORD: "refused",
}

# A new producer has a new session, and with it none of these.
_OF_A_SESSION = (
    kafka_errors.OutOfOrderSequenceNumber,
    kafka_errors.InvalidProducerEpoch,
    kafka_errors.UnknownProducerId,
    kafka_errors.InvalidProducerIdMapping,
)

Lane = tuple[str, int]
"""Topic and partition."""


@dataclass(slots=True)
class Batch:
    """Messages of one partition, in Kafka's own form and in ours."""

    builder: BatchBuilder
    messages: list[Message] = field(default_factory=list)
    at_ms: int = 0
    """The time that its messages carry."""

    def add(self, message: Message, now_ms: int) -> bool:
        """Append `message`; False when the batch is full."""
        added = self.builder.append(
            timestamp=now_ms, key=message.key, value=message.value, headers=list(message.headers)
        )
        if added is None:
            return False
        self.messages.append(message)
        self.at_ms = now_ms
        return True


Lanes = dict[Lane, list[Batch]]


class Failure(NamedTuple):
    """Batch number `batch` of `lane` was not stored, nor any after it."""

    lane: Lane
    batch: int
    error: BaseException


def refusal_reason(error: BaseException) -> RefusalReason | None:
    """Why the broker does not take a message; None when the same may pass in a moment, by another producer.

    A leader that moves and the like never get here, because aiokafka tries these again itself.
    """
    reason = _REFUSALS.get(type(error))
    if reason is None and isinstance(error, kafka_errors.BrokerResponseError) and type(error) not in _OF_A_SESSION:
        return "unexplained"
    return reason


async def send(producer: AIOKafkaProducer, lanes: Lanes) -> list[Failure]:
    """Send all lanes side by side and each lane's batches one after the other; wait for all of them.

    A lane ends at its first failure: what comes after must not overtake what failed.
    """
    # Queued without a pause between them, the first batches of all lanes leave in one request per broker.
    firsts = {lane: await _queue(producer, lane, batches[0]) for lane, batches in lanes.items()}
    failpoint("publish.half")
    await asyncio.wait(firsts.values())
    failures: list[Failure] = []
    longer: list[Lane] = []
    for lane, future in firsts.items():
        error = future.exception()
        if error is not None:
            failures.append(Failure(lane, 0, error))
        elif len(lanes[lane]) > 1:
            longer.append(lane)
    rests = await asyncio.gather(*(_send_rest(producer, lane, lanes[lane]) for lane in longer))
    return failures + [failure for failure in rests if failure is not None]


async def _send_rest(producer: AIOKafkaProducer, lane: Lane, batches: list[Batch]) -> Failure | None:
    for number, batch in enumerate(batches[1:], start=1):
        future = await _queue(producer, lane, batch)
        await asyncio.wait({future})
        error = future.exception()
        if error is not None:
            return Failure(lane, number, error)
    return None


async def _queue(producer: AIOKafkaProducer, lane: Lane, batch: Batch) -> asyncio.Future[Any]:
    topic, partition = lane
    future: asyncio.Future[Any] = await producer.send_batch(batch.builder, topic, partition=partition)
    return future


async def close_producer(producer: AIOKafkaProducer) -> None:
    """Close `producer` without sending what it still holds.

    Its own stop() first flushes, which waits for ever while brokers are away (#1101), and delivers late
    copies when they return. So the sender ends first; then whoever still waits for a batch is told.
    """
    sender = producer._sender.sender_task  # noqa: SLF001
    if sender is not None:
        sender.cancel()
    await producer.stop()
    await close_for_good(producer.client)
    accumulator = producer._message_accumulator  # noqa: SLF001
    left = accumulator._pending_batches  # noqa: SLF001
    for queued in accumulator._batches.values():  # noqa: SLF001
        left.update(queued)  # each batch takes itself out of this set when it is done, and fails if it is not there
    for batch in tuple(left):
        batch.failure(kafka_errors.ProducerClosed())
        # Looked at, or the loop would report them as errors that nobody saw.
        for future in (batch.future, batch._drain_waiter):  # noqa: SLF001
            if future.done():
                future.exception()
