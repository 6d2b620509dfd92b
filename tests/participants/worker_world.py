"""A worker among fakes: it can be stopped, killed and started again on the same file and the same broker."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel

from kafka_saga.messaging.records import TopicPartition
from kafka_saga.participants.faults import Faults
from kafka_saga.participants.handlers import wire_type
from kafka_saga.participants.store.sqlite import SqliteStore, open_store
from kafka_saga.participants.worker import Worker
from kafka_saga.runtime.process import Lifecycle
from kafka_saga.schemas.envelope import command_headers
from kafka_saga.schemas.ids import Phase
from kafka_saga.schemas.topics import TopicNames
from tests.participants.fakes import COMMANDS, REPLIES, FakeBroker, FakeClock, FakeConsumer, FakeProducer
from tests.participants.shop import SCHEMA, Outside, Refund, Uncall, Undo, make_shop

P0, P1 = TopicPartition(COMMANDS, 0), TopicPartition(COMMANDS, 1)


@dataclass
class World:
    """A worker that can be stopped, killed and started again on the same file and the same broker."""

    path: Path
    broker: FakeBroker = field(default_factory=FakeBroker)
    clock: FakeClock = field(default_factory=FakeClock)
    outside: Outside = field(default_factory=Outside)
    faults: Faults = field(default_factory=Faults)
    records_max: int = 2_000
    store: SqliteStore = field(init=False)
    consumer: FakeConsumer = field(init=False)
    producer: FakeProducer = field(init=False)
    lifecycle: Lifecycle = field(init=False)
    task: asyncio.Task[None] | None = None

    async def start(self, *, gate: asyncio.Event | None = None) -> None:
        self.store = await open_store(self.path)
        if not await self.store.connection.fetch_all("SELECT 1 FROM sqlite_master WHERE name = 'effects'"):
            await self.store.connection.run_script(SCHEMA)
        offsets = await self.store.offsets()
        self.consumer = FakeConsumer(self.broker, offsets, records_max=self.records_max)
        self.producer = FakeProducer(self.broker, gate=gate)
        self.lifecycle = Lifecycle()
        worker = Worker(
            make_shop(self.outside, call_timeout_ms=60_000),
            store=self.store,
            stored_offsets=offsets,
            newest_ms=await self.store.newest_ms(),
            consumer=self.consumer,
            producer=self.producer,
            topics=TopicNames(),
            group="shop",
            clock=self.clock,
            lifecycle=self.lifecycle,
            faults=self.faults,
            handler_timeout_ms=50,
        )
        self.task = asyncio.create_task(worker.run())

    async def stop(self) -> None:
        assert self.task is not None
        self.lifecycle.stop()
        await self.task
        await self.lifecycle.join()
        await self.close()

    async def kill(self) -> None:
        """End it as a crash would: nothing more is written or published."""
        assert self.task is not None
        self.task.cancel()
        await asyncio.wait({self.task})
        await self.close()

    async def close(self) -> None:
        self.task = None
        await self.store.close()

    async def send(self, model: BaseModel, saga_id: str, *, attempt: int = 1, partition: int = 0) -> None:
        phase = Phase.COMPENSATE if isinstance(model, Undo | Uncall | Refund) else Phase.FORWARD
        headers = command_headers(
            f"order/{saga_id}/pay/{phase}/1",
            command_type=wire_type(type(model)),
            source="/order",
            reply_to=REPLIES,
            attempt=attempt,
            started_at_ms=self.clock.at_ms,
        )
        await self.broker.send(saga_id.encode(), model.model_dump_json().encode(), headers, partition)

    async def replied(self, count: int) -> None:
        await self.broker.signals.until(lambda: len(self.broker.replies()) >= count)

    async def idle(self) -> None:
        """Let a second pass without commands, until the offsets are written."""
        hints = self.consumer.hint_calls
        self.clock.at_ms += 1_000
        await self.broker.signals.until(lambda: self.consumer.hint_calls > hints)

    async def effects(self) -> list[tuple[str, str]]:
        rows = await self.store.connection.fetch_all("SELECT saga_id, kind FROM effects ORDER BY rowid")
        return [(saga_id, kind) for saga_id, kind in rows]

    async def stored(self) -> dict[TopicPartition, int]:
        return await self.store.offsets()

    async def stored_after_stop(self) -> dict[TopicPartition, int]:
        await self.stop()
        store = await open_store(self.path)
        try:
            return await store.offsets()
        finally:
            await store.close()
