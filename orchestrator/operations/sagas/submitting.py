"""Publishing requests, and following their sagas to the end on `<type>.events`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from kafka_saga.messaging.cluster import Cluster
from kafka_saga.messaging.consumer import Consumer
from kafka_saga.messaging.errors import PublishRefusedError, UnknownTopicError
from kafka_saga.messaging.producer import Producer
from kafka_saga.messaging.settings import KafkaSettings
from kafka_saga.orchestrator.machine.saga import record as saga_record
from kafka_saga.orchestrator.machine.states import TERMINAL, SagaState
from kafka_saga.orchestrator.masking import Masks
from kafka_saga.orchestrator.operations.kafka.reading import check_answering, open_topics
from kafka_saga.orchestrator.operations.sagas.requests import Request
from kafka_saga.orchestrator.registry import Registry
from kafka_saga.orchestrator.store.location import StoreLocation, may_be_there
from kafka_saga.orchestrator.store.reader import StoreReader
from kafka_saga.runtime.clock import Clock
from kafka_saga.runtime.errors import ContractError, NotFoundError, UnavailableError
from kafka_saga.runtime.limits import BATCH_RECORDS_MAX
from kafka_saga.schemas.codec import decode_object

BATCH = 500
EMBEDDED_UNFINISHED_MAX = 2_000
"""The embedded broker keeps about 5 MiB a partition and then drops the oldest records without a word. A saga's
messages are some 8 KB over all topics, so this many unfinished ones stay far below that."""

STALLED_MS_MAX = 30_000
LOOKED_UP_MAX = 1_000
_POLL_MS = 100
_ENDS = frozenset({state.value for state in TERMINAL} | {SagaState.PARKED.value})


@dataclass(frozen=True, slots=True)
class Ended:
    """How one saga ended: its record, and how long after its request was sent."""

    record: dict[str, Any]
    after_ms: int


@dataclass(slots=True)
class Progress:
    """What has happened so far."""

    total: int
    sent: int = 0
    ended: dict[str, Ended] = field(default_factory=dict)
    throttled: bool = False


@dataclass(slots=True)
class Submission:
    """Sends requests and, where it follows, learns how their sagas end."""

    producer: Producer
    follower: Consumer | None
    is_embedded: bool
    clock: Clock
    progress: Progress
    on_progress: Callable[[Progress], None]
    _sent_at: dict[str, int] = field(default_factory=dict)

    async def send(self, requests: Sequence[Request]) -> None:
        """Publish all requests; on the embedded broker only as fast as their sagas end.

        Raises:
            UnknownTopicError: there is no topic for them.
            PublishRefusedError, BrokerUnavailableError: the broker does not take them.
            UnavailableError: nobody carries the sagas out, and more of them would not fit into the broker.

        """
        for start in range(0, len(requests), BATCH):
            batch = requests[start : start + BATCH]
            if self.is_embedded:
                await self._wait_for_room(len(batch))
            now = self.clock.monotonic_ms()
            self._sent_at.update((request.saga_id, now) for request in batch)
            try:
                await self.producer.publish([request.message for request in batch])
            except PublishRefusedError as error:
                if error.reason == "unknown_topic":
                    raise UnknownTopicError([error.topic]) from error
                raise
            self.progress.sent += len(batch)
            await self._look(0)

    async def wait(self, timeout_ms: int) -> bool:
        """Follow until every saga has ended; False when some have not in time."""
        deadline = self.clock.monotonic_ms() + timeout_ms
        while len(self.progress.ended) < len(self._sent_at):
            if self.clock.monotonic_ms() >= deadline:
                return False
            await self._look(_POLL_MS)
        return True

    def note_ended(self, saga_id: str, record: dict[str, Any]) -> None:
        """A saga that had ended before its request was sent once more: no event will come."""
        self.progress.ended.setdefault(saga_id, Ended(record, 0))

    async def _wait_for_room(self, wanted: int) -> None:
        progress = self.progress
        ended, moved_at = len(progress.ended), self.clock.monotonic_ms()
        while len(self._sent_at) - len(progress.ended) + wanted > EMBEDDED_UNFINISHED_MAX and self.follower is not None:
            progress.throttled = True
            await self._look(_POLL_MS)
            if len(progress.ended) != ended:
                ended, moved_at = len(progress.ended), self.clock.monotonic_ms()
            elif self.clock.monotonic_ms() - moved_at > STALLED_MS_MAX:
                raise UnavailableError(
                    f"sent {progress.sent:,} of {progress.total:,}, and no saga has ended for {STALLED_MS_MAX // 1000} "
                    "s: more would not fit into the embedded broker (5 MiB a partition). Are `saga orchestrator` and "
                    "its participants running?"
                )

    async def _look(self, timeout_ms: int) -> None:
        if self.follower is not None:
            for record in await self.follower.poll(timeout_ms, BATCH_RECORDS_MAX):
                self._note(record.value)
            check_answering(self.follower)
        self.on_progress(self.progress)

    def _note(self, value: bytes | None) -> None:
        try:
            record = decode_object(value)
        except ContractError:
            return  # nobody but an orchestrator writes events; a stranger's is not ours to judge
        saga_id = record.get("sagaId")
        if record.get("state") in _ENDS and saga_id in self._sent_at and saga_id not in self.progress.ended:
            self.progress.ended[saga_id] = Ended(record, self.clock.monotonic_ms() - self._sent_at[saga_id])


@asynccontextmanager
async def open_submission(
    kafka: KafkaSettings,
    *,
    events: str,
    total: int,
    follows: bool,
    clock: Clock,
    on_progress: Callable[[Progress], None],
) -> AsyncIterator[Submission]:
    """Connect; where sagas will be followed, from this moment on, so that no end is missed.

    Raises:
        BrokerUnavailableError: no broker answers.
        UnknownTopicError: there is no events topic to follow.

    """
    async with AsyncExitStack() as stack:
        embedded = await is_embedded(kafka)
        follower: Consumer | None = None
        if follows or (embedded and total > EMBEDDED_UNFINISHED_MAX):
            follower = await stack.enter_async_context(open_topics(kafka, [events], from_end=True))
        producer = Producer(kafka, clock=clock)
        stack.push_async_callback(producer.stop)
        yield Submission(producer, follower, embedded, clock, Progress(total), on_progress)


async def is_embedded(kafka: KafkaSettings) -> bool:
    """Whether this is the embedded broker, which cannot administer topics.

    Raises:
        BrokerUnavailableError: no broker answers.

    """
    cluster = Cluster(kafka)
    try:
        return not await cluster.administers_topics()
    finally:
        await cluster.close()


async def ended_before(
    store: StoreLocation, registry: Registry, requests: Sequence[Request]
) -> dict[str, dict[str, Any]]:
    """The records of sagas that have ended already, where the orchestrator's store can be asked."""
    if len(requests) > LOOKED_UP_MAX or not may_be_there(store):
        return {}
    reader = await StoreReader.open(store, Masks(registry))
    found: dict[str, dict[str, Any]] = {}
    try:
        for request in requests:
            try:
                saga = await reader.find(request.saga_id, request.saga_type)
            except NotFoundError:
                continue
            if saga.state.value in _ENDS:
                definition = registry.get(saga.ref.saga_type, saga.definition_version)
                found[request.saga_id] = saga_record(definition, saga).model_dump()
    finally:
        await reader.close()
    return found


def count_states(ended: Collection[Ended]) -> dict[str, int]:
    """How many sagas ended in each way."""
    states = [str(item.record["state"]) for item in ended]
    return {state: states.count(state) for state in sorted(set(states))}
