"""How many records a process has not read yet, for its metrics.

It is asked at most every few seconds, and on a connection of its own, so that reading never waits for it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from prometheus_client.core import Metric

from kafka_saga.messaging.consumer import Consumer
from kafka_saga.messaging.records import TopicPartition
from kafka_saga.messaging.settings import KafkaSettings
from kafka_saga.messaging.survey import Survey
from kafka_saga.runtime.clock import Clock
from kafka_saga.runtime.metrics import Meter

LAG: Final = Meter(
    "saga_kafka_consumer_lag_messages",
    "Records that this process has not read yet, of the partitions that it reads",
    ("topic", "partition"),
)

_INTERVAL_MS = 5_000


class Lag:
    """The distance of a consumer from the topics' ends."""

    def __init__(self, settings: KafkaSettings, clock: Clock, consumer: Consumer) -> None:
        """Nothing is asked before `read`."""
        self._survey = Survey(settings, clock=clock)
        self._clock = clock
        self._consumer = consumer
        self._ends: dict[TopicPartition, int] = {}
        self._read_at_ms: int | None = None

    async def read(self) -> None:
        """Ask where the topics end, unless that is known well enough.

        Raises:
            BrokerUnavailableError: no answer.

        """
        now_ms = self._clock.monotonic_ms()
        if self._read_at_ms is not None and now_ms - self._read_at_ms < _INTERVAL_MS:
            return
        self._read_at_ms = now_ms
        leaders = await self._survey.leaders({tp.topic for tp in self._consumer.read_to})
        self._ends = {tp: extent.end for tp, extent in (await self._survey.extents(leaders)).items()}

    def families(self) -> Iterator[Metric]:
        """What a scrape shows."""
        ends = self._ends
        values = {
            (tp.topic, str(tp.partition)): max(0, ends[tp] - position)
            for tp, position in self._consumer.read_to.items()
            if tp in ends
        }
        yield LAG.measured(values)

    async def close(self) -> None:
        """Close the connection."""
        await self._survey.close()
