"""The real engine among fakes: a Kafka in memory, and a clock that stands still until a test moves it.

The fake reader is a turnstile: the engine waits in `poll` until `World.turn()` lets it take one batch, and the turn
ends when it polls again. So a test sees every batch by itself, and nothing depends on how fast anything is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kafka_saga.messaging.consumer import Reset
from kafka_saga.messaging.records import Message, TopicPartition
from kafka_saga.messaging.survey import Extent
from kafka_saga.orchestrator.definition import Saga as Definition
from kafka_saga.orchestrator.engine.meters import EngineMeters
from kafka_saga.orchestrator.engine.upkeep import Retention
from kafka_saga.orchestrator.engine.worker import FOR_EVER, Engine
from kafka_saga.orchestrator.machine.decision import LogEntry
from kafka_saga.orchestrator.machine.saga import Saga
from kafka_saga.orchestrator.registry import Registry
from kafka_saga.orchestrator.sagas.order import order_saga
from kafka_saga.orchestrator.store.memory import MemoryStore
from kafka_saga.orchestrator.store.port import Store
from kafka_saga.runtime.clock import Clock
from kafka_saga.runtime.errors import BrokerUnavailableError
from kafka_saga.runtime.process import Lifecycle
from kafka_saga.schemas.codec import decode_trusted, encode
from kafka_saga.schemas.envelope import CommandHead, Effect, Headers, Outcome, Reason, read_command, reply_headers
from kafka_saga.schemas.ids import SagaRef
from kafka_saga.schemas.topics import DEAD_LETTER_PREFIX, TopicNames, dead_letter_topic
from tests.contracts.stores import NOW, REQUEST

REQUESTS = "order.requests"
GROUP = "orchestrator"
REPLIES = {
    "reserveItems": {"reservation_id": "r-1"},
    "chargePayment": {"charge_id": "ch-1"},
    "createOrder": {"order_number": "A-17"},
}


@dataclass(frozen=True)
class Kept:
    """A record of the fake Kafka."""

    topic: str
    partition: int
    offset: int
    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]
    timestamp: int = 1234  # the embedded broker's; nothing may depend on it (R27)


class StillClock:
    """Stands still until `advance`; who sleeps wakes then."""

    def __init__(self) -> None:
        self.at_ms = NOW
        self.wall_ahead_ms = 0
        """How far the wall clock was set forward, or back."""
        self._sleepers: list[tuple[int, asyncio.Future[None]]] = []

    def now_ms(self) -> int:
        return self.at_ms + self.wall_ahead_ms

    def monotonic_ms(self) -> int:
        return self.at_ms

    async def sleep(self, duration_ms: int) -> None:
        waking = asyncio.get_running_loop().create_future()
        self._sleepers.append((self.at_ms + duration_ms, waking))
        await waking

    def advance(self, duration_ms: int) -> None:
        self.at_ms += duration_ms
        for at_ms, waking in self._sleepers:
            if at_ms <= self.at_ms and not waking.done():
                waking.set_result(None)
        self._sleepers = [(at_ms, waking) for at_ms, waking in self._sleepers if not waking.done()]


class FakeKafka:
    """Every topic has one partition. Also the engine's sender."""

    def __init__(self) -> None:
        self.logs: dict[str, list[Kept]] = {}
        self.away = False
        self.refusing: Exception | None = None
        """Raised once by the next publish."""
        self.publishes = 0

    def append(self, message: Message) -> Kept:
        log = self.logs.setdefault(message.topic, [])
        kept = Kept(message.topic, 0, len(log), message.key, message.value, message.headers)
        log.append(kept)
        return kept

    async def publish(self, messages: list[Message]) -> None:
        self.publishes += 1
        if self.away:
            raise BrokerUnavailableError("publishing: the broker is away")
        if self.refusing is not None:
            error, self.refusing = self.refusing, None
            raise error
        for message in messages:
            self.append(message)


class FakeReader:
    """`Reader` over a `FakeKafka`."""

    def __init__(self, kafka: FakeKafka, topics: Iterable[str]) -> None:
        self._kafka = kafka
        self._topics = tuple(topics)
        self._next = dict.fromkeys(self._topics, 0)
        self.paused: frozenset[str] = frozenset()
        self.switches = 0
        """How often topics were paused or resumed."""
        self.hidden: set[str] = set()
        """Topics whose records do not come although they are there: a slow fetch."""
        self.stable: dict[str, int] = {}
        """How far topics can be read that a transaction of another producer is open on."""
        self.beside: dict[TopicPartition, Extent] = {}
        """Partitions that exist and are not read."""
        self.taken_up: dict[TopicPartition, int] = {}
        """How far those are read that were taken up."""
        self.refusing = ""
        """Why nobody says how far the topics reach."""
        self.records_max: int | None = None
        self.hints: dict[TopicPartition, tuple[int, str]] = {}
        self.resets: list[Reset] = []
        self.ends_wait: asyncio.Event | None = None
        self.waiting: asyncio.Future[None] | None = None
        self.arrived = asyncio.Event()
        self.stopped = False

    async def start(self, positions: Mapping[TopicPartition, int]) -> None:
        for (topic, _), offset in positions.items():
            self._next[topic] = offset

    async def stop(self) -> None:
        self.stopped = True

    async def poll(self, timeout_ms: int, records_max: int) -> list[Kept]:
        assert timeout_ms >= 0
        self.waiting = asyncio.get_running_loop().create_future()
        self.arrived.set()
        await self.waiting
        found: list[Kept] = []
        for topic in self._topics:
            if topic not in self.paused and topic not in self.hidden:
                room = min(records_max, self.records_max or records_max) - len(found)
                log = self._kafka.logs.get(topic, [])[: self.stable.get(topic)]
                taken = log[self._next[topic] :][:room]
                self._next[topic] += len(taken)
                found += taken
        return found

    def seek(self, partition: TopicPartition, offset: int) -> None:
        self._next[partition.topic] = offset

    def pause(self, topics: Iterable[str]) -> None:
        self.paused |= set(topics)
        self.switches += 1

    def resume(self, topics: Iterable[str]) -> None:
        self.paused -= set(topics)
        self.switches += 1

    def take_resets(self) -> tuple[Reset, ...]:
        taken, self.resets = self.resets, []
        return tuple(taken)

    def commit_hint(self, offsets: Mapping[TopicPartition, int], metadata: str) -> None:
        self.hints |= {tp: (offset, metadata) for tp, offset in offsets.items()}

    async def extents(self, topics: Iterable[str]) -> dict[TopicPartition, Extent]:
        if self.ends_wait is not None:
            await self.ends_wait.wait()
        if self._kafka.away or self.refusing:
            raise BrokerUnavailableError(self.refusing or "asking the cluster: the broker is away")
        found = {}
        for topic in topics:
            end = len(self._kafka.logs.get(topic, []))
            found[TopicPartition(topic, 0)] = Extent(self.stable.get(topic, end), end)
        return found | self.beside

    async def positions(self, topics: Iterable[str]) -> dict[TopicPartition, int]:
        return {TopicPartition(topic, 0): self._next[topic] for topic in topics} | self.taken_up


@dataclass(frozen=True)
class Sent:
    """A command that the engine published."""

    head: CommandHead
    message: Message

    @property
    def body(self) -> dict[str, Any]:
        body: dict[str, Any] = decode_trusted(self.message.value or b"")
        return body

    def __repr__(self) -> str:
        return f"{self.head.command_id} attempt {self.head.attempt}"


class World:
    """An engine, and everything around it."""

    def __init__(self, store: Store | None = None, clock: StillClock | None = None) -> None:
        self.clock = clock or StillClock()
        self.kafka = FakeKafka()
        self.store: Store = store or MemoryStore(self.clock)
        self.engine: Engine
        self.reader: FakeReader
        self.lifecycle = Lifecycle()
        self.meters = EngineMeters()
        self.ended = False
        self._running: asyncio.Task[None] | None = None
        self._answered: set[tuple[str, int]] = set()

    async def start(
        self,
        *definitions: Definition,
        in_flight_max: int = 1_000,
        park_missing: bool = False,
        retention: Retention = FOR_EVER,
    ) -> World:
        """Start an engine, and let it come to its first poll."""
        registry, topics = Registry(definitions or (order_saga,)), TopicNames()
        read = [topics.requests(saga_type) for saga_type in registry.saga_types]
        read += [topics.replies_of(service) for service in registry.services]
        self.reader = FakeReader(self.kafka, read)
        self.lifecycle = Lifecycle()
        clock: Clock = self.clock
        self.engine = Engine(
            store=self.store,
            reader=self.reader,
            sender=self.kafka,
            registry=registry,
            topics=topics,
            clock=clock,
            group=GROUP,
            chance=lambda: 0.5,
            in_flight_max=in_flight_max,
            park_missing=park_missing,
            retention=retention,
            meters=self.meters,
        )
        self._running = asyncio.create_task(self.engine.run(self.lifecycle))
        await self._rest()
        return self

    async def stop(self) -> None:
        """A clean stop, as by SIGTERM."""
        self.ended = True
        self.lifecycle.stop()
        self.kafka.away = False
        self.clock.advance(60_000)
        self.let_go()
        if self._running is not None:
            await self._running

    async def crash(self) -> None:
        """The process dies between two batches; what it published last may not be noted."""
        assert self._running is not None
        self.ended = True
        self._running.cancel()
        await asyncio.wait([self._running])
        for task in list(self.lifecycle._tasks):
            task.cancel()
            await asyncio.wait([task])

    async def turn(self, times: int = 1) -> None:
        """Let the engine take so many batches, and its publisher do what it can."""
        for _ in range(times):
            await self._rest()
            self.let_go()
            await self._rest()

    async def pass_time(self, duration_ms: int, turns: int = 4) -> None:
        """Time passes, and the engine looks around: a timer's probe, its answer, the timer, the admission."""
        self.clock.advance(duration_ms)
        await self.turn(turns)

    def request(self, saga_id: str = "order-1", **fields: Any) -> Kept:
        """Somebody asks for an order: a bare JSON object, no headers, no key."""
        return self.put(REQUESTS, encode({**REQUEST, "order_id": saga_id, **fields}))

    def put(self, topic: str, value: bytes | None, key: bytes | None = None, headers: Headers = ()) -> Kept:
        return self.kafka.append(Message(topic, key, value, headers))

    def sent(self, command_type: str | None = None) -> list[Sent]:
        """The commands published so far, oldest first per service."""
        found = []
        for topic, log in self.kafka.logs.items():
            if topic.endswith(".commands") and not topic.startswith(DEAD_LETTER_PREFIX):
                for kept in log:
                    head = read_command(dict(kept.headers), kept.key)
                    if command_type in (None, head.command_type):
                        found.append(Sent(head, Message(kept.topic, kept.key, kept.value, tuple(kept.headers))))
        return found

    def answer(
        self,
        sent: Sent,
        outcome: Outcome = Outcome.SUCCESS,
        *,
        body: dict[str, Any] | bytes | None = None,
        effect: Effect = Effect.DONE,
        reason: Reason | None = None,
        topic: str | None = None,
    ) -> Kept:
        """The service answers a command."""
        if body is None:
            body = REPLIES.get(sent.head.command_type, {}) if outcome is Outcome.SUCCESS else {"error": "no"}
        value = body if isinstance(body, bytes) else encode(body)
        headers = reply_headers(
            sent.head, reply_type="reply", source="/test", outcome=outcome, effect=effect, reason=reason
        )
        return self.put(topic or sent.head.reply_to, value, sent.message.key, headers)

    def answer_all(self) -> None:
        """Every service answers every command it has not answered yet."""
        for sent in self.sent():
            if (sent.head.command_id, sent.head.attempt) not in self._answered:
                self._answered.add((sent.head.command_id, sent.head.attempt))
                self.answer(sent)

    async def succeed(self, command_type: str) -> None:
        """The service answers the latest such command with success, and the engine takes it."""
        self.answer(self.sent(command_type)[-1])
        await self.turn()

    async def begin(self, saga_id: str = "order-1", **fields: Any) -> Sent:
        """A saga whose first command is out."""
        self.request(saga_id, **fields)
        await self.turn(2)
        return self.sent("reserveItems")[-1]

    async def saga(self, saga_id: str = "order-1") -> Saga:
        ref = SagaRef("order", saga_id)
        return (await self.store.load([ref]))[ref].saga

    async def log(self, saga_id: str = "order-1") -> list[LogEntry]:
        assert isinstance(self.store, MemoryStore)
        return await self.store.log(SagaRef("order", saga_id))

    async def statuses(self, saga_id: str = "order-1") -> list[str]:
        return [entry.status.value for entry in await self.log(saga_id)]

    def dead_letters(self, topic: str) -> list[tuple[str, Kept]]:
        """Causes and records of what was set aside from `topic`."""
        log = self.kafka.logs.get(dead_letter_topic(topic), [])
        return [((dict(kept.headers)["__saga.errors.cause"] or b"").decode(), kept) for kept in log]

    def let_go(self) -> None:
        """Let the engine take one batch, without waiting for it."""
        self.reader.arrived.clear()
        if self.reader.waiting is not None and not self.reader.waiting.done():
            self.reader.waiting.set_result(None)

    async def _rest(self) -> None:
        """Wait until the engine polls, or has ended; then let the publisher do what it can."""
        assert self._running is not None
        polls = asyncio.create_task(self.reader.arrived.wait())
        await asyncio.wait([polls, self._running], return_when=asyncio.FIRST_COMPLETED)
        polls.cancel()
        if self._running.done() and not self._running.cancelled():
            self._running.result()
        await self.settle()

    async def settle(self) -> None:
        """Let everything that can go on without a poll go on."""
        for _ in range(10):
            await _yield()


async def _yield() -> None:
    loop = asyncio.get_running_loop()
    turn = loop.create_future()
    loop.call_soon(turn.set_result, None)
    await turn
