"""A stream of events from Kafka: a consumer of its own, at its reader's pace."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Self

from kafka_saga.client.events import EventPosition, Place, SagaEvent
from kafka_saga.client.reader import GROUP
from kafka_saga.runtime.clock import Clock
from kafka_saga.runtime.errors import ContractError, UsageError
from kafka_saga.runtime.limits import BATCH_RECORDS_MAX, CLIENT_EVENT_IDS_MAX
from kafka_saga.schemas import envelope
from kafka_saga.schemas.codec import decode_object
from kafka_saga.schemas.ids import SagaRef
from kafka_saga.schemas.topics import TopicNames

if TYPE_CHECKING:
    from kafka_saga.client.port import Since
    from kafka_saga.messaging.consumer import Consumer
    from kafka_saga.messaging.records import Record, TopicPartition
    from kafka_saga.messaging.settings import KafkaSettings

_POLL_MS = 500


class KafkaEvents:
    """`EventStream` of Kafka."""

    def __init__(
        self,
        kafka: KafkaSettings,
        topics: TopicNames,
        types: Iterable[str],
        since: Since,
        *,
        clock: Clock,
        closed: Callable[[KafkaEvents], None],
    ) -> None:
        self._kafka = kafka
        self._clock = clock
        self._types = {topics.events(name): name for name in types}
        self._since = _start(since)
        self._closed = closed
        self._consumer: Consumer | None = None
        self._is_over = False
        self._offsets: dict[tuple[str, int], int] = {}
        self._read: deque[Record] = deque()
        self._seen: OrderedDict[str, None] = OrderedDict()

    @property
    def position(self) -> EventPosition:
        rows: dict[str, dict[int, int]] = {}
        for (topic, number), at in self._offsets.items():
            rows.setdefault(topic, {})[number] = at
        return EventPosition(rows)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> SagaEvent:
        while not self._is_over:
            consumer = self._consumer or await self._open()
            while self._read:
                event = self._next(self._read.popleft())
                if event is not None:
                    return event
            self._read.extend(await consumer.poll(_POLL_MS, BATCH_RECORDS_MAX))
        raise StopAsyncIteration

    async def __aenter__(self) -> Self:
        await self._open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        self._is_over = True
        consumer, self._consumer = self._consumer, None
        self._closed(self)
        if consumer is not None:
            await consumer.stop()

    async def _open(self) -> Consumer:
        from kafka_saga.messaging.consumer import Consumer  # noqa: PLC0415 -- loaded when a client connects

        positions = await self._positions()
        consumer = Consumer(self._kafka, self._types, group=GROUP, clock=self._clock)
        try:
            await consumer.start(positions)
        except BaseException:
            await consumer.stop()
            raise
        self._consumer = consumer
        self._offsets = {(*tp,): at for tp, at in (await consumer.positions(self._types)).items()}
        return consumer

    async def _positions(self) -> Mapping[TopicPartition, int]:
        from kafka_saga.messaging.looking_back import BEGINNING, offsets_since  # noqa: PLC0415
        from kafka_saga.messaging.records import TopicPartition  # noqa: PLC0415
        from kafka_saga.messaging.survey import LATEST  # noqa: PLC0415

        since = self._since
        if isinstance(since, EventPosition):
            return {
                TopicPartition(topic, number): at
                for topic, rows in since.offsets.items()
                for number, at in rows.items()
            }
        at_ms = {"now": LATEST, "beginning": BEGINNING}[since] if isinstance(since, str) else since
        back_max = 0 if since == "now" else None
        return await offsets_since(self._kafka, self._types, at_ms, clock=self._clock, records_max=back_max)

    def _next(self, record: Record) -> SagaEvent | None:
        self._offsets[record.topic, record.partition] = record.offset + 1
        event = read_event(self._types[record.topic], record)
        if event is None or event.event_id in self._seen:
            return None
        if event.event_id:
            self._seen[event.event_id] = None
            if len(self._seen) > CLIENT_EVENT_IDS_MAX:
                self._seen.popitem(last=False)
        return event


def _start(since: Since) -> EventPosition | str | int:
    """A moment in milliseconds, a position, or one of the two words.

    Raises:
        UsageError: it is none of these.

    """
    if isinstance(since, datetime):
        if since.tzinfo is None:
            raise UsageError("events(since=…): a datetime needs its time zone, as datetime.now(UTC) has it")
        return int(since.timestamp() * 1_000)
    if isinstance(since, EventPosition) or since in ("now", "beginning"):
        return since
    if not isinstance(since, str):
        kind = type(since).__name__
        raise UsageError(f"events(since=…): pass 'now', 'beginning', a datetime or a stream's position, not a {kind}")
    return EventPosition.parse(since)


def read_event(saga_type: str, record: Record) -> SagaEvent | None:
    """A record of `<saga_type>.events`; None where it is none of an orchestrator's."""
    headers = {name: (value or b"").decode(errors="replace") for name, value in record.headers}
    prefix = f"{saga_type}.saga."
    kind = headers.get(envelope.TYPE, "")
    if not kind.startswith(prefix) or record.key is None:
        return None
    try:
        body = decode_object(record.value)
    except ContractError:
        return None
    sequence = headers.get(envelope.SEQUENCE, "")
    return SagaEvent(
        ref=SagaRef(saga_type, record.key.decode(errors="replace")),
        kind=kind.removeprefix(prefix),
        event_id=headers.get(envelope.ID, ""),
        sequence=int(sequence) if sequence.isdecimal() else 0,
        at_ms=record.timestamp,
        state=str(body.get("state")),
        current_step=number if isinstance(number := body.get("currentStep"), int) else 0,
        steps_executed=tuple(body.get("stepsExecuted") or ()),
        steps_compensated=tuple(body.get("stepsCompensated") or ()),
        error=body.get("error"),
        data=body.get("data") or {},
        place=Place(record.topic, record.partition, record.offset),
    )
