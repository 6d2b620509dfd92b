"""One reader of `<type>.events` for all who wait, and of the requests' dead letters.

It begins a while before now, so that what ended before it was asked about is known too, and goes on for as long as the
client lives. It belongs to no consumer group: every client sees every end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from kafka_saga.client.ends import End, Ends, Refusal
from kafka_saga.client.errors import RequestRefusedError
from kafka_saga.client.outcome import COMPENSATED, COMPLETED, PARKED, turned_at
from kafka_saga.client.waiters import Waiters
from kafka_saga.runtime.clock import Clock
from kafka_saga.runtime.errors import BrokerUnavailableError, ContractError, RefusedError
from kafka_saga.runtime.limits import BATCH_RECORDS_MAX, CLIENT_LOOK_BACK_RECORDS_MAX
from kafka_saga.schemas import envelope
from kafka_saga.schemas.codec import decode_object
from kafka_saga.schemas.events import LifecycleEvent, event_type
from kafka_saga.schemas.ids import SagaRef
from kafka_saga.schemas.topics import TopicNames, dead_letter_topic

if TYPE_CHECKING:
    from kafka_saga.messaging.cluster import Cluster
    from kafka_saga.messaging.consumer import Consumer
    from kafka_saga.messaging.records import Record, TopicPartition
    from kafka_saga.messaging.settings import KafkaSettings

GROUP = "saga-client"
"""Never committed: it only names us."""

_POLL_MS = 200
_METADATA_AGE_MS = 5_000
"""How often to look for added partitions, and for topics of dead letters that are not there yet. There may be a
thousand clients, and both come once a year."""

_SKEW_MS = 1_000
_STATES = {
    LifecycleEvent.COMPLETED: COMPLETED,
    LifecycleEvent.COMPENSATED: COMPENSATED,
    LifecycleEvent.PARKED: PARKED,
}


class EventReader:
    """Reads until it is closed. Every method may be called by any number of tasks at once."""

    def __init__(
        self, kafka: KafkaSettings, topics: TopicNames, types: Iterable[str], *, clock: Clock, window_ms: int
    ) -> None:
        self.waiters = Waiters()
        self.ends = Ends(window_ms)
        self.window_ms = window_ms
        self._kafka = kafka
        self._clock = clock
        self._events = {topics.events(name): name for name in types}
        self._letters = {dead_letter_topic(topics.requests(name)): name for name in self._events.values()}
        self._kinds = {
            topic: {event_type(name, event).encode(): event for event in LifecycleEvent}
            for topic, name in self._events.items()
        }
        self._task: asyncio.Task[None] | None = None
        self._standing: asyncio.Future[None] | None = None
        self._consumer: Consumer | None = None
        self._behind: dict[TopicPartition, int] = {}
        self._awaited: set[str] = set()
        self._look_at_ms = 0
        self._closed = False

    async def ready(self) -> None:
        """Return when it reads, so that whatever ends from now on is seen; begin, where it does not yet.

        Raises:
            UnknownTopicError: there is no topic of events.
            BrokerUnavailableError: no broker answers.
            RefusedError: this user may not read the topic, or the client is closed.

        """
        if self._closed:
            raise RefusedError("this SagaClient is closed: ask inside its `async with`")
        await asyncio.shield(self.begin())

    def begin(self) -> asyncio.Future[None]:
        """Begin to read, where it does not yet; what is done once it reads."""
        if self._standing is None or self._task is None or self._task.done():
            self._standing = asyncio.get_running_loop().create_future()
            self._task = asyncio.create_task(self._run(self._standing), name="client.events")
        return self._standing

    @property
    def silent_ms(self) -> int:
        """For how long no broker has answered, in milliseconds; 0 where it does not read yet."""
        return 0 if self._consumer is None else self._consumer.silent_ms

    @property
    def is_behind(self) -> bool:
        """Whether what was told before it began is still being read."""
        return self._consumer is None or bool(self._behind)

    async def close(self) -> None:
        """Read no more; whoever waits is told."""
        self._closed = True
        self.waiters.fail(RefusedError("the SagaClient was closed while an outcome was awaited"))
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _run(self, standing: asyncio.Future[None]) -> None:
        from kafka_saga.messaging.cluster import Cluster  # noqa: PLC0415 -- loaded when a client connects

        cluster = Cluster(self._kafka, clock=self._clock)
        try:
            positions, topics = await self._places()
            consumer = await self._reading(topics, positions)
            self._behind = await consumer.end_offsets(topics)
            standing.set_result(None)
            while True:
                self.take(await consumer.poll(_POLL_MS, BATCH_RECORDS_MAX))
                if self._behind:
                    await self._catch_up(consumer)
                if self._awaited and self._clock.monotonic_ms() >= self._look_at_ms:
                    consumer = await self._with_new_topics(consumer, cluster)
        except Exception as error:  # noqa: BLE001 -- whatever it is, those who wait must hear of it
            self.waiters.fail(error)
            if not standing.done():
                standing.set_exception(error)
                standing.exception()  # seen, where nobody waits for it
        finally:
            if not standing.done():  # closed before it began: no reason to cancel whoever waits for it
                standing.set_exception(RefusedError("the SagaClient was closed while it connected"))
                standing.exception()
            reading, self._consumer = self._consumer, None
            if reading is not None:
                await reading.stop()
            await cluster.close()

    async def _reading(self, topics: Sequence[str], positions: Mapping[TopicPartition, int]) -> Consumer:
        """Who reads `topics` from now on."""
        from kafka_saga.messaging.consumer import Consumer  # noqa: PLC0415

        consumer = Consumer(self._kafka, topics, group=GROUP, clock=self._clock, metadata_age_ms=_METADATA_AGE_MS)
        try:
            await consumer.start(positions)
        except BaseException:
            await consumer.stop()
            raise
        before, self._consumer = self._consumer, consumer
        if before is not None:
            await before.stop()
        self._awaited = self._letters.keys() - set(topics)
        return consumer

    async def _with_new_topics(self, consumer: Consumer, cluster: Cluster) -> Consumer:
        """Who reads the topics of dead letters, too, that were created meanwhile: they come with the first letter."""
        self._look_at_ms = self._clock.monotonic_ms() + _METADATA_AGE_MS
        try:
            found = await cluster.partition_counts(self._awaited, wait_ms=0)
            if not found:
                return consumer
            topics = [*self._events, *(self._letters.keys() - self._awaited), *found]
            return await self._reading(topics, consumer.read_to)
        except BrokerUnavailableError:
            return consumer  # who was reading says so, and the next look comes

    async def _places(self) -> tuple[Mapping[TopicPartition, int], Sequence[str]]:
        """Where to begin, and in which topics: of dead letters only in those that exist."""
        from kafka_saga.messaging.looking_back import offsets_since  # noqa: PLC0415

        positions = await offsets_since(
            self._kafka,
            [*self._events, *self._letters],
            self._clock.now_ms() - self.window_ms,
            clock=self._clock,
            records_max=CLIENT_LOOK_BACK_RECORDS_MAX,
        )
        there = {tp.topic for tp in positions}
        return positions, [*self._events, *(topic for topic in self._letters if topic in there)]

    async def _catch_up(self, consumer: Consumer) -> None:
        positions = await consumer.positions({tp.topic for tp in self._behind})
        self._behind = {tp: end for tp, end in self._behind.items() if positions.get(tp, end) < end}

    def take(self, records: Iterable[Record]) -> None:
        """Note what was read, and answer who waits for it."""
        now_ms = self._clock.monotonic_ms()
        for record in records:
            if record.key is None:
                continue
            saga_type = self._events.get(record.topic)
            if saga_type is not None:
                self._event(SagaRef(saga_type, record.key.decode(errors="replace")), record, now_ms)
            else:
                self._letter(SagaRef(self._letters[record.topic], record.key.decode(errors="replace")), record)

    def _event(self, ref: SagaRef, record: Record, now_ms: int) -> None:
        kind, sequence = b"", 0
        for name, value in record.headers:
            if name == envelope.TYPE:
                kind = value or b""
            elif name == envelope.SEQUENCE and value is not None and value.isdigit():
                sequence = int(value)
        event = self._kinds[record.topic].get(kind)
        if event is None:
            return  # nobody but an orchestrator writes events; a stranger's is not ours to judge
        state = _STATES.get(event)
        if state is None:
            self.ends.goes_on(ref, sequence)
            if event is LifecycleEvent.COMPENSATING and (told := _object(record.value)) is not None:
                self.ends.turned(ref, turned_at(told))
            for waiter in self.waiters.of(ref):
                waiter.last_event = event.value
            return
        end = End(state, sequence, record.value or b"", record.timestamp, now_ms, self.ends.turned_at(ref))
        if self.ends.ended(ref, end):
            for waiter in self.waiters.of(ref):
                waiter.answer(end)

    def _letter(self, ref: SagaRef, letter: Record) -> None:
        from kafka_saga.messaging import dead_letters  # noqa: PLC0415

        headers = {name: (value or b"").decode(errors="replace") for name, value in letter.headers}
        cause = headers.get(dead_letters.CAUSE, "")
        message = headers.get(dead_letters.MESSAGE, "")
        refusal = Refusal(cause, message, f"{letter.topic}/{letter.partition}/{letter.offset}")
        of_nobody = cause != "conflict"  # where it is one, there is a saga of this id, and it has its own outcome
        if of_nobody:
            self.ends.refused(ref, refusal)
        for waiter in self.waiters.of(ref):
            is_new = not self.is_behind or letter.timestamp >= waiter.asked_at_ms - _SKEW_MS
            mine = waiter.request is not None and letter.value == waiter.request and is_new
            if mine or (waiter.request is None and of_nobody):
                waiter.fail(refused(ref, refusal))


def refused(ref: SagaRef, refusal: Refusal) -> RequestRefusedError:
    """The refusal of a request, as whoever waits for its saga is told."""
    text = f"the request for saga {ref} was set aside ({refusal.cause}): {refusal.message}"
    return RequestRefusedError(ref, refusal.cause, text, refusal.position)


def _object(value: bytes | None) -> dict[str, Any] | None:
    try:
        return decode_object(value)
    except ContractError:
        return None
