"""Publishing: many messages at once, in order per partition, known to be stored when the call returns."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from zlib import crc32

from aiokafka import AIOKafkaProducer
from aiokafka import errors as kafka_errors
from aiokafka.producer.message_accumulator import BatchBuilder

from kafka_saga.messaging.connecting import opened
from kafka_saga.messaging.errors import GRANT, NotAllowedError, PublishRefusedError, RefusalReason, lacking
from kafka_saga.messaging.records import Message
from kafka_saga.messaging.sending import Batch, Failure, Lanes, close_producer, refusal_reason, send
from kafka_saga.messaging.settings import KafkaSettings
from kafka_saga.messaging.skew import BrokerTimestamps
from kafka_saga.messaging.waiting import abandon, describe, within
from kafka_saga.runtime import limits
from kafka_saga.runtime.clock import Clock, SystemClock
from kafka_saga.runtime.errors import BrokerUnavailableError
from kafka_saga.runtime.telemetry import log

_log = log("producer")

_TOPIC_WAIT_MS = 2_000  # a topic that was just created reaches the brokers one after the other
_RETRY_MS = 100
_NO_COMPRESSION = 0
_SMALL_BATCH_BYTES = 16 * 1024


class Producer:
    """Publishes messages, one call at a time.

    A failure of any kind ends the underlying producer, because aiokafka's idempotent producer does not
    recover from a final error (#1017) and waits for ever while brokers are away (#1101). The next call to
    `publish` builds a new one, so a caller simply publishes again. What was stored already is then stored
    twice: receivers take a second copy of an id as a duplicate.
    """

    def __init__(self, settings: KafkaSettings, *, clock: Clock | None = None) -> None:
        self._settings = settings
        self._clock = clock or SystemClock()
        self._producer: AIOKafkaProducer | None = None
        self._one_at_a_time = asyncio.Lock()
        self._batch_bytes: dict[str, int] = {}  # of topics whose own limit turned out to be below ours
        self._missing: set[str] = set()  # nobody waits again for those to appear
        self._singly: set[str] = set()  # topics that refused a batch of which one message may be to blame
        self._time = BrokerTimestamps(settings, self._clock)
        self._keyless = 0

    async def start(self) -> None:
        """Connect. Optional: `publish` connects when it must.

        Raises:
            BrokerUnavailableError: no broker answers.

        """
        await self._connected()

    async def stop(self) -> None:
        """Close the connections within STOP_TIMEOUT_MS; whatever hangs longer is left behind."""
        producer, self._producer = self._producer, None
        if producer is None:
            return
        closing = asyncio.ensure_future(close_producer(producer))
        abandon(closing)
        await asyncio.wait({closing}, timeout=limits.STOP_TIMEOUT_MS / 1000)
        if not closing.done():
            _log.warning("producer.stop_abandoned", after_ms=limits.STOP_TIMEOUT_MS)

    async def publish(self, messages: Sequence[Message]) -> None:
        """Store all `messages` on the brokers (acks=all) before returning; per partition in the given order.

        After an error some of them may be stored: publish all of them again.

        Raises:
            BrokerUnavailableError: no success within PUBLISH_TIMEOUT_MS, or the connection failed. Try again.
            PublishRefusedError: one topic does not take some of them; the error says which and why, and which others
                are not stored yet.

        """
        async with self._one_at_a_time:
            self._singly.clear()
            left: Sequence[Message] = messages
            while left:
                left = await self._publish_once(left)

    async def partition_count(self, topic: str) -> int:
        """How many partitions `topic` has.

        Raises:
            BrokerUnavailableError: no broker answers.
            PublishRefusedError: the topic does not exist, or this user may not see it.

        """
        producer = await self._connected()
        return await within(limits.REQUEST_TIMEOUT_MS, "reading partitions", self._count(producer, topic))

    async def _publish_once(self, messages: Sequence[Message]) -> Sequence[Message]:
        """Publish; return what must be sent again in smaller batches (usually nothing)."""
        try:
            producer = await self._connected()
        except NotAllowedError as error:  # to write to any topic: to this one, neither
            topic = messages[0].topic
            refused = [message for message in messages if message.topic == topic]
            others = [message for message in messages if message.topic != topic]
            detail = _not_allowed(self._settings.principal, topic)
            raise PublishRefusedError(topic, "not_authorised", detail, refused, others) from error
        work = self._fill_and_send(producer, messages)
        try:
            lanes, failures = await within(limits.PUBLISH_TIMEOUT_MS, "publishing", work)
        except PublishRefusedError as error:
            refused = [message for message in messages if message.topic == error.topic]
            others = [message for message in messages if message.topic != error.topic]
            raise PublishRefusedError(error.topic, error.reason, error.detail, refused, others) from error
        except BaseException:
            self._abandon()
            raise
        if not failures:
            return ()
        self._abandon()
        return await self._after(lanes, failures)

    async def _fill_and_send(
        self, producer: AIOKafkaProducer, messages: Sequence[Message]
    ) -> tuple[Lanes, list[Failure]]:
        counts = {topic: await self._count(producer, topic) for topic in {message.topic for message in messages}}
        lanes = self._fill(messages, counts)
        return lanes, await send(producer, lanes)

    def _fill(self, messages: Sequence[Message], counts: dict[str, int]) -> Lanes:
        """Messages into batches per partition. The hot loop: a hundred thousand turns a second."""
        lanes: Lanes = {}
        now_ms = self._time.now_ms()
        for message in messages:
            topic, key = message.topic, message.key
            if key is None:
                self._keyless += 1
                partition = self._keyless % counts[topic]
            else:
                # librdkafka's default partitioner, so that clients in other languages agree with us.
                partition = crc32(key) % counts[topic]
            batches = lanes.get((topic, partition))
            if batches is None:
                batches = lanes[topic, partition] = [self._new_batch(topic)]
            if not batches[-1].add(message, now_ms):
                batches.append(self._new_batch(topic))
                batches[-1].add(message, now_ms)  # an empty batch takes a message of any size
        return lanes

    def _new_batch(self, topic: str) -> Batch:
        size = 1 if topic in self._singly else self._batch_bytes.get(topic, limits.PUBLISH_BATCH_BYTES_MAX)
        return Batch(BatchBuilder(size, _NO_COMPRESSION))

    async def _after(self, lanes: Lanes, failures: Sequence[Failure]) -> list[Message]:
        """What to send again in another way, if that may help; raises when it cannot."""
        final: tuple[Failure, RefusalReason] | None = None
        passing: Failure | None = None
        again: list[Message] = []
        for failure in failures:
            unsent = lanes[failure.lane][failure.batch :]
            reason = refusal_reason(failure.error)
            if reason is None:
                passing = failure
            elif not await self._otherwise(failure.lane[0], reason, unsent[0]):
                final = final or (failure, reason)
            again += [message for batch in unsent for message in batch.messages]
        if final is not None:
            failure, reason = final
            refused = lanes[failure.lane][failure.batch].messages
            raise _refused(failure, reason, refused, again, self._settings.principal) from failure.error
        if passing is None:
            return again
        if len(failures) < len(lanes):  # the broker is there: only these topics are in trouble
            topic = passing.lane[0]
            of_topic = [message for message in again if message.topic == topic]
            raise _refused(passing, "unavailable", of_topic, again, self._settings.principal) from passing.error
        topic, partition = passing.lane
        raise BrokerUnavailableError(
            f"publishing to {topic}[{partition}]: {describe(passing.error)}"
        ) from passing.error

    async def _otherwise(self, topic: str, reason: RefusalReason, refused: Batch) -> bool:
        """Whether the refused batch can be sent in another way, which is then used from here on."""
        if reason == "timestamp":
            return await self._time.adjust(refused.at_ms)
        if len(refused.messages) == 1:
            return False
        if reason == "too_large":
            self._shrink_batches(topic)
        elif reason in {"refused", "unexplained"}:
            self._singly.add(topic)  # one of them must not cost the others
        else:
            return False
        return True

    def _shrink_batches(self, topic: str) -> None:
        """The topic takes less than our batches (its max.message.bytes): approach its limit from above."""
        size = self._batch_bytes.get(topic, limits.PUBLISH_BATCH_BYTES_MAX)
        self._batch_bytes[topic] = size // 4 if size > _SMALL_BATCH_BYTES else 1
        _log.warning("producer.batches_shrunk", topic=topic, bytes=self._batch_bytes[topic])

    async def _connected(self) -> AIOKafkaProducer:
        if self._producer is None:
            options = self._settings.client_options()
            producer = AIOKafkaProducer(**options, acks="all", enable_idempotence=True, linger_ms=0)
            self._producer = await opened(producer, close_producer, self._settings)
        return self._producer

    def _abandon(self) -> None:
        producer, self._producer = self._producer, None
        if producer is not None:
            abandon(asyncio.ensure_future(close_producer(producer)))

    async def _count(self, producer: AIOKafkaProducer, topic: str) -> int:
        """Partitions of `topic`; like aiokafka's own look-up, but it gives up long before a request times out."""
        cluster = producer.client.cluster
        known: set[int] | None = cluster.partitions_for_topic(topic)
        deadline = self._clock.monotonic_ms() + (0 if topic in self._missing else _TOPIC_WAIT_MS)
        while known is None:
            given_up = producer is not self._producer
            if given_up:
                raise kafka_errors.ProducerClosed  # nobody waits for this any more
            producer.client.add_topic(topic)
            answered = await producer.client.force_metadata_update()
            known = cluster.partitions_for_topic(topic)
            if known is None and answered and self._clock.monotonic_ms() >= deadline:
                self._missing.add(topic)
                hidden_from = self._settings.principal if topic in cluster.unauthorized_topics else None
                raise _unknown(topic, hidden_from)
            if known is None:
                await self._clock.sleep(_RETRY_MS)
        if self._missing:
            self._missing.discard(topic)
        return len(known)


def _refused(
    failure: Failure, reason: RefusalReason, messages: Sequence[Message], unsent: Sequence[Message], principal: str
) -> PublishRefusedError:
    refused = {id(message) for message in messages}
    left = [message for message in unsent if id(message) not in refused]
    topic, said = failure.lane[0], describe(failure.error)
    if reason == "not_authorised":
        detail = _not_allowed(principal, topic)
    else:
        detail = f"{_IN_WORDS[reason]} ({said})" if reason in _IN_WORDS else said
    return PublishRefusedError(topic, reason, detail, messages, left)


_IN_WORDS: dict[RefusalReason, str] = {
    "too_large": "it is larger than the topic's max.message.bytes allows",
    "timestamp": "the topic takes no record of this time",
    "refused": "a rule of the broker's or the topic's is against it",
    "unexplained": "the broker does not say why in terms known here",
}


def _not_allowed(principal: str, topic: str) -> str:
    return f"{lacking(principal, 'Write', 'topic', topic)}: {GRANT}"


def _unknown(topic: str, hidden_from: str | None) -> PublishRefusedError:
    """Of a topic that is not there, or that the broker does not show to who lacks every right on it."""
    if hidden_from is None:
        return PublishRefusedError(topic, "unknown_topic", "it does not exist. Create with: saga topics create", ())
    return PublishRefusedError(topic, "not_authorised", _not_allowed(hidden_from, topic), ())
