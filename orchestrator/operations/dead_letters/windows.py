"""Windows of partitions, read by one consumer that stays open, and costs nothing while it is paused between looks."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from kafka_saga.messaging.consumer import Consumer
from kafka_saga.messaging.inspection import EARLIEST, LATEST, Inspection
from kafka_saga.messaging.records import Record, TopicPartition
from kafka_saga.messaging.settings import KafkaSettings
from kafka_saga.orchestrator.operations.kafka.reading import GROUP, POLL_MS, check_answering
from kafka_saga.runtime.clock import Clock
from kafka_saga.schemas.topics import TopicNames, dead_letter_topic

_RECORDS_PER_POLL = 100
"""Few at a time: whoever else works in this process is let through in between."""

_FETCH_WAIT_MS = 20
"""A broker that has nothing more answers after this: a window that is read next must not wait for longer."""

Take = Callable[[TopicPartition, Record], None]


class Windows:
    """The dead letter topics with our prefix, and that of the marks.

    Attributes:
        there: every topic that exists.
        firsts, ends: where each partition with dead letters begins, and ends.
        marks: where the topic of marks ends. It has one partition, but on the embedded broker.

    """

    def __init__(self, kafka: KafkaSettings, topics: TopicNames, clock: Clock) -> None:
        self._kafka = kafka
        self._clock = clock
        self._prefix = dead_letter_topic(topics.prefix)
        self._inspection: Inspection | None = None
        self._consumer: Consumer | None = None
        self._topics: tuple[str, ...] = ()
        self.there: frozenset[str] = frozenset()
        self.firsts: dict[TopicPartition, int] = {}
        self.ends: dict[TopicPartition, int] = {}
        self.marks: dict[TopicPartition, int] = {}
        self._marks_topic = topics.handled_dead_letters

    async def see(self) -> None:
        """Ask which topics there are, and where they end.

        Raises:
            BrokerUnavailableError: no broker answers.

        """
        inspection = self._inspection = self._inspection or Inspection(self._kafka, clock=self._clock)
        there = await inspection.partitions()
        topics = {name: states for name, states in there.items() if name.startswith(self._prefix)}
        read = topics | {name: there[name] for name in (self._marks_topic,) if name in there}
        ends = await inspection.offsets(read, LATEST) if read else {}
        firsts = await inspection.offsets(topics, EARLIEST) if topics else {}
        if tuple(sorted(read)) != self._topics:
            await self._open(tuple(sorted(read)), ends)
        self.there = frozenset(there)
        self.marks = {tp: end for tp, end in ends.items() if tp.topic == self._marks_topic}
        self.ends = {tp: end for tp, end in ends.items() if tp in firsts}
        self.firsts = firsts

    async def read(self, windows: Mapping[TopicPartition, tuple[int, int]], take: Take) -> None:
        """Hand every record of `windows` to `take`: of each partition from an offset to before another.

        Raises:
            BrokerUnavailableError: the broker went away meanwhile.

        """
        consumer, topics = self._consumer, {tp.topic for tp in windows}
        assert consumer is not None, "see() first"
        await consumer.poll(0, 1)  # nothing is asked for: so it learns that its silence was ours
        for tp, (first, _end) in windows.items():
            consumer.seek(tp, first)
        consumer.resume(topics)
        left = {tp: end for tp, (_first, end) in windows.items()}
        try:
            while left:
                for record in await consumer.poll(POLL_MS, _RECORDS_PER_POLL):
                    tp = TopicPartition(record.topic, record.partition)
                    if record.offset < left.get(tp, 0):
                        take(tp, record)
                positions = await consumer.positions(topics)
                for tp in [tp for tp, end in left.items() if positions.get(tp, end) >= end]:
                    self._park(consumer, tp, left.pop(tp))
                check_answering(consumer)
        finally:
            for tp, end in left.items():
                self._park(consumer, tp, end)
            consumer.pause(topics)

    async def close(self) -> None:
        """Let Kafka go."""
        consumer, self._consumer = self._consumer, None
        inspection, self._inspection = self._inspection, None
        self._topics = ()
        if consumer is not None:
            await consumer.stop()
        if inspection is not None:
            await inspection.close()

    def _park(self, consumer: Consumer, tp: TopicPartition, end: int) -> None:
        """What lies behind a window is not wanted, and would come with the next one."""
        consumer.seek(tp, max(end, self.ends.get(tp, 0)))

    async def _open(self, topics: tuple[str, ...], ends: Mapping[TopicPartition, int]) -> None:
        if self._consumer is not None:
            await self._consumer.stop()
        self._consumer, self._topics = None, ()
        if topics:
            consumer = Consumer(self._kafka, topics, group=GROUP, clock=self._clock, fetch_wait_ms=_FETCH_WAIT_MS)
            self._consumer = consumer
            await consumer.start({})
            for tp in consumer.partitions:
                consumer.seek(tp, ends.get(tp, 0))
            consumer.pause(topics)
        self._topics = topics
