"""Dead letters on topics of the test's own, and what became of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from kafka_saga.messaging.dead_letters import dead_letter
from kafka_saga.messaging.producer import Producer
from kafka_saga.messaging.records import Message, Record
from kafka_saga.messaging.topics import TopicSpec, create_topics
from kafka_saga.orchestrator.operations.dead_letters.letters import DeadLetterFilter, read_dead_letters
from kafka_saga.orchestrator.operations.dead_letters.marks import Position
from kafka_saga.orchestrator.operations.dead_letters.redriving import Author, Plan, Progress, plan_for, redrive
from kafka_saga.orchestrator.operations.kafka.reading import open_topics, until_end
from kafka_saga.runtime.clock import SystemClock
from kafka_saga.schemas.topics import TopicNames, dead_letter_topic
from tests.brokers import BrokerUnderTest

EVERY = DeadLetterFilter()
AUTHOR = Author("alice@desk", "the model is mended")


@dataclass(frozen=True)
class Poison:
    """A record that somebody sets aside."""

    topic: str
    offset: int
    key: bytes | None = b"order-1"
    value: bytes | None = b"not json"
    headers: tuple[tuple[str, bytes | None], ...] = (("ce_id", b"42"),)
    partition: int = 0
    timestamp: int = 0


@dataclass
class Letters:
    """A broker with topics under a prefix of the test's own."""

    broker: BrokerUnderTest
    topics: TopicNames
    producer: Producer
    made: int = 0
    progress: list[int] = field(default_factory=list)

    @property
    def requests(self) -> str:
        return self.topics.requests("order")

    async def create(self, *names: str, **config: str) -> None:
        settings = {name.replace("_", "."): value for name, value in config.items()}
        await create_topics(self.broker.settings, [TopicSpec(name, 1, settings) for name in names])

    async def set_aside(self, *values: bytes | None, topic: str = "", cause: str = "bad_json", **more: Any) -> None:
        """A dead letter of each of `values`, in this order."""
        messages = []
        for value in values:
            self.made += 1
            poison = Poison(topic or self.requests, self.made, value=value, **more)
            messages.append(
                dead_letter(
                    poison,
                    cause=cause,
                    message="no good",
                    stage="decode",
                    group="g",
                    at_ms=1_700_000_000_000 + self.made,
                )
            )
        await self.create(dead_letter_topic(topic or self.requests))
        await self.producer.publish(messages)

    async def plan(self, wanted: DeadLetterFilter | Position = EVERY, limit: int = 100_000, **more: bool) -> Plan:
        return await plan_for(self.broker.settings, self.topics, "redriven", wanted, limit, **more)

    async def redrive(self, plan: Plan | None = None) -> Progress:
        return await redrive(
            self.broker.settings,
            self.topics,
            plan or await self.plan(),
            author=AUTHOR,
            clock=SystemClock(),
            on_progress=lambda progress: self.progress.append(progress.handled),
        )

    async def listed(self, wanted: DeadLetterFilter = EVERY) -> list[dict[str, Any]]:
        found = await read_dead_letters(self.broker.settings, self.topics, wanted, 100_000, oldest=True)
        assert found.total == len(found.letters)
        return found.letters

    async def on(self, topic: str) -> list[Record]:
        """Everything that lies on a topic."""
        async with open_topics(self.broker.settings, [topic]) as consumer:
            return [record async for record in until_end(consumer, [topic])]

    async def put(self, message: Message) -> None:
        await self.producer.publish([message])
