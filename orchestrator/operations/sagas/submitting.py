"""Publishing requests, and following their sagas to the end on `<type>.events`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from kafka_saga.messaging import dead_letters
from kafka_saga.messaging.cluster import Cluster
from kafka_saga.messaging.consumer import Consumer
from kafka_saga.messaging.errors import PublishRefusedError, UnknownTopicError
from kafka_saga.messaging.producer import Producer
from kafka_saga.messaging.records import Record
from kafka_saga.messaging.settings import KafkaSettings
from kafka_saga.messaging.topics import list_topics
from kafka_saga.orchestrator.machine.saga import record as saga_record
from kafka_saga.orchestrator.machine.states import TERMINAL, SagaState
from kafka_saga.orchestrator.masking import Masks
from kafka_saga.orchestrator.operations.kafka.messages import text_of
from kafka_saga.orchestrator.operations.kafka.reading import check_answering, open_topics
from kafka_saga.orchestrator.operations.sagas.requests import Request
from kafka_saga.orchestrator.operations.sagas.show import purged_document
from kafka_saga.orchestrator.operations.sagas.starting import request_hash
from kafka_saga.orchestrator.registry import Registry
from kafka_saga.orchestrator.store.location import StoreLocation, may_be_there
from kafka_saga.orchestrator.store.reader import StoreReader
from kafka_saga.runtime.clock import Clock
from kafka_saga.runtime.errors import ContractError, UnavailableError
from kafka_saga.runtime.limits import BATCH_RECORDS_MAX
from kafka_saga.schemas.agreement import another_request, contradicts
from kafka_saga.schemas.causes import Cause
from kafka_saga.schemas.codec import decode_object
from kafka_saga.schemas.topics import TopicNames, dead_letter_topic

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
    """What has happened so far.

    Attributes:
        total: how many requests there are.
        sent: how many are sent.
        ended: how sagas ended, by their ids.
        refused: why a request is none of a saga's, by the saga's id: most of all, it exists with another one.
        throttled: whether sending had to wait for sagas to end.

    """

    total: int
    sent: int = 0
    ended: dict[str, Ended] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    throttled: bool = False

    def has(self, saga_id: str) -> bool:
        """Whether it is known what became of a saga's request."""
        return saga_id in self.ended or saga_id in self.refused


@dataclass(slots=True)
class Submission:
    """Sends requests and, where it follows, learns how their sagas end."""

    producer: Producer
    follower: Consumer | None
    letters: str
    is_embedded: bool
    clock: Clock
    progress: Progress
    on_progress: Callable[[Progress], None]
    _sent_at: dict[str, int] = field(default_factory=dict)
    _asked: dict[str, list[Request]] = field(default_factory=dict)

    async def send(self, requests: Sequence[Request]) -> None:
        """Publish all requests of which nothing is known yet; on the embedded broker only as fast as their sagas end.

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
            new = [request for request in batch if not self.progress.has(request.saga_id)]
            for request in new:
                self._sent_at[request.saga_id] = now
                self._asked.setdefault(request.saga_id, []).append(request)
            try:
                await self.producer.publish([request.message for request in new])
            except PublishRefusedError as error:
                if error.reason == "unknown_topic":
                    raise UnknownTopicError([error.topic]) from error
                raise
            self.progress.sent += len(batch)
            await self._look(0)

    async def wait(self, timeout_ms: int) -> bool:
        """Follow until it is known what became of every request; False when it is not in time."""
        deadline = self.clock.monotonic_ms() + timeout_ms
        while self._asked:
            if self.clock.monotonic_ms() >= deadline:
                return False
            await self._look(_POLL_MS)
        return True

    def note(self, before: Before) -> None:
        """What the store knows already: no event will come of it."""
        self.progress.ended.update({saga_id: Ended(record, 0) for saga_id, record in before.ended.items()})
        self.progress.refused.update(before.refused)

    async def _wait_for_room(self, wanted: int) -> None:
        progress = self.progress
        ended, moved_at = len(progress.ended), self.clock.monotonic_ms()
        while len(self._asked) + wanted > EMBEDDED_UNFINISHED_MAX and self.follower is not None:
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
                self._note(record)
            check_answering(self.follower)
        self.on_progress(self.progress)

    def _note(self, record: Record) -> None:
        if record.topic == self.letters:
            self._set_aside(record)
            return
        try:
            told = decode_object(record.value)
        except ContractError:
            return  # nobody but an orchestrator writes events; a stranger's is not ours to judge
        saga_id = told.get("sagaId")
        if told.get("state") not in _ENDS or not isinstance(saga_id, str) or saga_id not in self._asked:
            return
        asked, data = self._asked.pop(saga_id), told.get("data")
        accepted = data.get("request") if isinstance(data, dict) else None
        if any(contradicts(request.message.value or b"", accepted) for request in asked):
            self.progress.refused[saga_id] = another_request(asked[0].ref)
        else:
            self.progress.ended[saga_id] = Ended(told, self.clock.monotonic_ms() - self._sent_at[saga_id])

    def _set_aside(self, letter: Record) -> None:
        saga_id = (letter.key or b"").decode(errors="replace")
        asked = self._asked.get(saga_id, ())
        if any(request.message.value == letter.value for request in asked):
            headers = dict(letter.headers)
            cause, why = (text_of(headers.get(name)) for name in (dead_letters.CAUSE, dead_letters.MESSAGE))
            ref = self._asked.pop(saga_id)[0].ref
            is_conflict = cause == Cause.CONFLICT
            self.progress.refused[saga_id] = another_request(ref) if is_conflict else f"saga {ref}: {cause}: {why}"


@asynccontextmanager
async def open_submission(
    kafka: KafkaSettings,
    *,
    saga_type: str,
    topics: TopicNames,
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
    events, letters = topics.events(saga_type), dead_letter_topic(topics.requests(saga_type))
    async with AsyncExitStack() as stack:
        embedded = await is_embedded(kafka)
        follower: Consumer | None = None
        if follows or (embedded and total > EMBEDDED_UNFINISHED_MAX):
            followed = [events, *({letters} & (await list_topics(kafka)).keys())]
            follower = await stack.enter_async_context(open_topics(kafka, followed, from_end=True))
        producer = Producer(kafka, clock=clock)
        stack.push_async_callback(producer.stop)
        yield Submission(producer, follower, letters, embedded, clock, Progress(total), on_progress)


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


@dataclass(frozen=True, slots=True)
class Before:
    """What was known of requests before they were sent: how sagas had ended, and which ones have another request."""

    ended: dict[str, dict[str, Any]] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)


async def look_before(store: StoreLocation, registry: Registry, requests: Sequence[Request]) -> Before:
    """What the orchestrator's store knows of their sagas, where it can be asked."""
    before = Before()
    if len(requests) > LOOKED_UP_MAX or not may_be_there(store):
        return before
    reader = await StoreReader.open(store, Masks(registry))
    try:
        for request in requests:
            hashed, gone = await reader.request_hash(request.ref), None
            if hashed is None:
                gone = await reader.find_purged(*reversed(request.ref))
                hashed = None if gone is None else gone.request_hash
            if hashed is None:
                continue
            if hashed != request_hash(request):
                before.refused[request.saga_id] = another_request(request.ref)
            elif gone is not None:
                before.ended[request.saga_id] = purged_document(gone)
            elif (saga := await reader.get(request.ref)) is not None and saga.state.value in _ENDS:
                definition = registry.get(saga.ref.saga_type, saga.definition_version)
                before.ended[request.saga_id] = saga_record(definition, saga).model_dump()
    finally:
        await reader.close()
    return before


def count_states(ended: Collection[Ended]) -> dict[str, int]:
    """How many sagas ended in each way."""
    states = [str(item.record["state"]) for item in ended]
    return {state: states.count(state) for state in sorted(set(states))}
