from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from pydantic import BaseModel

from messaging.consumer import Reset
from messaging.dead_letters import CAUSE, ERROR_HEADERS, STAGE
from messaging.errors import PublishRefusedError
from messaging.records import Message, TopicPartition
from participants.faults import Faults
from participants.handlers import wire_type
from participants.store.sqlite import SqliteStore, open_store
from participants.worker import Worker
from runtime.errors import BrokerUnavailableError
from runtime.process import Lifecycle
from schemas.causes import Cause
from schemas.codec import decode_object
from schemas.envelope import REPLY_TO, TYPE, Effect, Outcome, Reason, command_headers, read_headers
from schemas.ids import Phase
from schemas.topics import TopicNames
from tests.participants.fakes import COMMANDS, REPLIES, FakeBroker, FakeClock, FakeConsumer, FakeProducer
from tests.participants.shop import SCHEMA, Call, Do, Outside, Uncall, Undo, make_shop

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
        phase = Phase.COMPENSATE if isinstance(model, Undo | Uncall) else Phase.FORWARD
        headers = command_headers(
            f"order/{saga_id}/pay/{phase}/1",
            command_type=wire_type(type(model)).encode(),
            source=b"/order",
            reply_to=REPLIES.encode(),
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


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    world = World(tmp_path / "shop.db")
    yield world
    if world.task is not None:
        await world.kill()


async def test_commands_in_replies_out(world: World) -> None:
    await world.start()
    await world.send(Do(), "order-1")
    await world.send(Do(mode="reject"), "order-2", partition=1)
    await world.replied(2)
    await world.send(Undo(), "order-1")
    await world.send(Undo(), "order-3")
    await world.replied(4)
    replies = {str(head.command): (head, message) for head, message in world.broker.replies()}
    head, message = replies["order/order-1/pay/forward/1"]
    assert (head.outcome, head.attempt, head.message_id) == (Outcome.SUCCESS, 1, "order/order-1/pay/forward/1/r1")
    assert (message.key, decode_object(message.value)) == (b"order-1", {"text": "well"})
    assert read_headers(message.headers)[TYPE] == b"done"
    head, message = replies["order/order-2/pay/forward/1"]
    assert (head.outcome, head.reason) == (Outcome.FAILURE, Reason.REJECTED)
    assert read_headers(message.headers)[TYPE] == b"do.failure"
    assert decode_object(message.value) == {"error": "Database connection failed"}
    assert replies["order/order-1/pay/compensate/1"][0].effect is Effect.DONE
    assert replies["order/order-3/pay/compensate/1"][0].effect is Effect.NONE
    assert await world.stored_after_stop() == {P0: 3, P1: 1}
    assert world.consumer.hints == {P0: 3, P1: 1}
    assert world.consumer.hint_metadata == world.store.store_id


async def test_after_a_crash_before_the_replies_went_out_they_are_sent_and_nothing_runs_again(world: World) -> None:
    """The log is the outbox: the offset had not moved, so the commands come again and meet the fence."""
    await world.start(gate=asyncio.Event())
    for number in range(5):
        await world.send(Do(), f"order-{number}")
    await world.broker.signals.until(lambda: world.producer.attempts > 0)
    assert len(await world.effects()) == 5
    assert world.broker.published == []
    await world.kill()

    await world.start()
    assert await world.stored() == {}
    await world.replied(5)
    assert world.broker.outcomes() == [(f"order-{number}", Outcome.SUCCESS) for number in range(5)]
    assert len(await world.effects()) == 5


async def test_offsets_never_pass_commands_whose_replies_are_not_published(world: World) -> None:
    world.records_max = 1
    gate = asyncio.Event()
    await world.start(gate=gate)
    for number in range(4):
        await world.send(Do(), f"order-{number}")
    await world.broker.signals.until(lambda: world.producer.attempts > 0)
    assert await world.stored() == {}
    gate.set()
    await world.replied(4)
    assert await world.stored_after_stop() == {P0: 4}


async def test_a_broker_that_is_away_stops_the_intake_and_gets_the_same_replies_later(world: World) -> None:
    world.records_max = 1
    world.clock.gate = asyncio.Event()
    await world.start()
    world.producer.failures = [BrokerUnavailableError("away")] * 8
    for number in range(20):
        await world.send(Do(), f"order-{number}")
    await world.broker.signals.until(lambda: world.producer.attempts > 0)
    # One batch is being published, two wait, one was handled: nothing more is read.
    await world.broker.signals.until(lambda: world.consumer.positions[P0] == 4)
    assert world.task is not None
    await asyncio.wait({world.task}, timeout=0.1)
    assert world.consumer.positions[P0] == 4
    world.clock.gate.set()
    await world.replied(20)
    assert dict(world.broker.outcomes()) == {f"order-{number}": Outcome.SUCCESS for number in range(20)}
    assert world.clock.slept[:8] == [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000]
    assert len(await world.effects()) == 20


async def test_a_reply_that_the_broker_refuses_is_given_up_and_the_rest_goes_out(world: World) -> None:
    await world.start()
    world.producer.refused_key = b"order-1"
    await world.send(Do(), "order-1")
    await world.send(Do(), "order-2")
    await world.replied(1)
    assert world.broker.outcomes() == [("order-2", Outcome.SUCCESS)]
    assert await world.stored_after_stop() == {P0: 2}


async def test_a_reply_topic_that_is_missing_ends_the_process(world: World) -> None:
    """Every reply would be lost, and each of them is a saga that times out."""
    await world.start()
    world.producer.failures = [PublishRefusedError(REPLIES, "unknown_topic", "no such topic", [_message()])]
    await world.send(Do(), "order-1")
    assert world.task is not None
    await world.task
    with pytest.raises(PublishRefusedError):
        await world.lifecycle.join()
    assert await world.stored() == {}


def _message() -> Message:
    return Message(REPLIES, None, None)


async def test_poison_becomes_dead_letters_and_blocks_nothing(world: World) -> None:
    """R12, R13."""
    await world.start()
    good = command_headers(
        "order/order-1/pay/forward/1",
        command_type=b"do",
        source=b"/order",
        reply_to=REPLIES.encode(),
        attempt=1,
        started_at_ms=0,
    )
    without = [(name, value) for name, value in good if name != REPLY_TO]
    elsewhere = [(name, b"bank.replies" if name == REPLY_TO else value) for name, value in good]
    await world.broker.send(b"order-1", b"{}", without)
    await world.broker.send(b"order-1", b"{}", elsewhere)
    await world.broker.send(b"order-2", b"{}", good)
    await world.broker.send(b"order-1", b"{}", [*good[:3], (TYPE, b"undo"), *good[4:]])
    await world.broker.send(b"\xff", None, [("x", None)])
    await world.send(Do(), "order-9")
    await world.replied(1)
    assert world.broker.outcomes() == [("order-9", Outcome.SUCCESS)]
    letters = world.broker.dead_letters()
    assert {letter.topic for letter in letters} == {f"dlq.{COMMANDS}"}
    assert [read_headers(letter.headers)[CAUSE].decode() for letter in letters] == [
        Cause.MISSING_HEADER,
        Cause.BAD_REPLY_TOPIC,
        Cause.BAD_HEADER,
        Cause.BAD_HEADER,
        Cause.MISSING_HEADER,
    ]
    assert letters[1].value == b"{}"
    assert tuple(header for header in letters[1].headers if header[0] not in ERROR_HEADERS) == tuple(elsewhere)
    assert await world.stored_after_stop() == {P0: 6}


async def test_a_bad_body_is_a_dead_letter_and_an_answer_at_once(world: World) -> None:
    """R12."""
    await world.start()
    await world.send(Do(), "order-1")
    record = world.broker.logs[P0][0]
    await world.replied(1)
    headers = [(name, value.replace(b"order-1", b"order-2") if value else value) for name, value in record.headers]
    await world.broker.send(b"order-2", b"{not json", headers)
    await world.replied(2)
    head, _ = world.broker.replies()[1]
    assert (head.outcome, head.reason) == (Outcome.FAILURE, Reason.UNREADABLE)
    [letter] = world.broker.dead_letters()
    assert read_headers(letter.headers)[STAGE] == b"validate"
    assert read_headers(letter.headers)[CAUSE] == Cause.BAD_JSON.encode()


async def test_an_unknown_type_is_answered_with_retry(world: World) -> None:
    class Later(BaseModel):
        pass

    await world.start()
    await world.send(Later(), "order-1")
    await world.replied(1)
    assert world.broker.outcomes() == [("order-1", Outcome.RETRY)]
    assert world.broker.dead_letters() == []


async def test_offsets_are_written_soon_when_nothing_more_comes(world: World) -> None:
    await world.start()
    await world.send(Do(), "order-1")
    await world.replied(1)
    assert await world.stored() == {}
    await world.idle()
    assert await world.stored() == {P0: 1}


async def test_a_topic_that_lost_its_end_is_read_from_its_start_and_nothing_runs_again(world: World) -> None:
    """R23: the store's offset is beyond the topic's end."""
    await world.start()
    for number in range(3):
        await world.send(Do(), f"order-{number}")
    await world.replied(3)
    assert await world.stored_after_stop() == {P0: 3}
    world.broker.logs[P0].pop()
    await world.start()
    world.consumer.positions[P0] = 0
    world.consumer.resets = [Reset(P0, 3, 0, "beyond_end")]
    await world.replied(5)
    assert len(await world.effects()) == 3
    assert await world.stored_after_stop() == {P0: 2}


async def test_a_call_outside_holds_up_nobody_and_its_offset_waits_for_it(world: World) -> None:
    """R17."""
    world.outside.gate = asyncio.Event()
    await world.start()
    await world.send(Call(), "order-1")
    await world.send(Do(), "order-2")
    await world.send(Uncall(), "order-1")
    await world.replied(2)
    assert world.broker.outcomes() == [("order-2", Outcome.SUCCESS), ("order-1", Outcome.RETRY)]
    await world.outside.began.wait()
    await world.send(Call(), "order-1", attempt=2)
    await world.send(Do(), "order-3")
    await world.replied(3)
    assert (await world.stored()).get(P0, 0) == 0
    world.outside.gate.set()
    await world.replied(5)
    assert [(head.attempt, head.outcome) for head, _ in world.broker.replies()[3:]] == [
        (1, Outcome.SUCCESS),
        (2, Outcome.SUCCESS),
    ]
    assert world.outside.calls == ["order/order-1/pay/forward/1"]
    assert await world.stored_after_stop() == {P0: 5}


async def test_a_crash_during_a_call_makes_it_again_with_the_same_key(world: World) -> None:
    """R17: the offset never passed the command, so the next start reads it again."""
    world.outside.gate = asyncio.Event()
    await world.start()
    await world.send(Do(), "order-0")
    await world.send(Call(), "order-1")
    await world.send(Do(), "order-2")
    await world.outside.began.wait()
    await world.replied(2)
    await world.idle()
    assert await world.stored() == {P0: 1}
    await world.kill()

    world.outside.gate.set()
    await world.start()
    await world.broker.signals.until(lambda: ("order-1", Outcome.SUCCESS) in world.broker.outcomes())
    assert set(world.outside.calls) == {"order/order-1/pay/forward/1"}
    assert await world.effects() == [("order-0", "do"), ("order-2", "do"), ("order-1", "call")]
    assert await world.stored_after_stop() == {P0: 3}


async def test_a_stop_settles_the_calls_that_end_in_time(world: World) -> None:
    world.outside.gate = asyncio.Event()
    await world.start()
    await world.send(Call(), "order-1")
    await world.outside.began.wait()
    world.lifecycle.stop()
    world.outside.gate.set()
    assert await world.stored_after_stop() == {P0: 1}
    assert world.broker.outcomes() == [("order-1", Outcome.SUCCESS)]


async def test_an_abandoned_call_is_settled_when_its_compensation_comes(world: World) -> None:
    world.outside.mode = "raise"
    await world.start()
    await world.send(Call(), "order-1")
    await world.replied(1)
    world.outside.mode = "ok"
    await world.send(Uncall(), "order-1")
    await world.replied(3)
    await world.send(Uncall(), "order-1", attempt=2)
    await world.replied(4)
    assert [(str(head.command.phase), head.outcome) for head, _ in world.broker.replies()] == [
        ("forward", Outcome.RETRY),
        ("compensate", Outcome.RETRY),
        ("forward", Outcome.SUCCESS),
        ("compensate", Outcome.SUCCESS),
    ]
    assert await world.effects() == [("order-1", "call"), ("order-1", "uncall")]


async def test_late_and_lost_replies_hold_up_nobody(world: World) -> None:
    environment = {"SAGA_ALLOW_FAULTS": "1", "SAGA_FAULT_LATE": "do:saga=order-1:first=1:ms=6000"}
    environment["SAGA_FAULT_LOSE"] = "do:saga=order-2:first=1"
    world.faults = Faults.from_environment(environment)
    world.clock.gate = asyncio.Event()
    await world.start()
    for number in (1, 2, 3):
        await world.send(Do(), f"order-{number}")
    await world.replied(1)
    assert world.broker.outcomes() == [("order-3", Outcome.SUCCESS)]
    assert world.clock.slept == [6_000]
    await world.send(Do(), "order-2", attempt=2)
    await world.replied(2)
    world.clock.gate.set()
    await world.replied(3)
    assert [saga_id for saga_id, _ in world.broker.outcomes()] == ["order-3", "order-2", "order-1"]
    assert len(await world.effects()) == 3
    assert await world.stored_after_stop() == {P0: 4}


async def test_a_late_reply_that_the_stop_overtakes_is_sent_after_the_next_start(world: World) -> None:
    environment = {"SAGA_ALLOW_FAULTS": "1", "SAGA_FAULT_LATE": "do:saga=order-1:first=1:ms=6000"}
    world.faults = Faults.from_environment(environment)
    world.clock.gate = asyncio.Event()
    await world.start()
    await world.send(Do(), "order-0")
    await world.send(Do(), "order-1")
    await world.replied(1)
    assert await world.stored_after_stop() == {P0: 1}
    world.faults = Faults()
    await world.start()
    await world.replied(2)
    assert world.broker.outcomes() == [("order-0", Outcome.SUCCESS), ("order-1", Outcome.SUCCESS)]
    assert len(await world.effects()) == 2


async def test_the_crash_fault_kills_after_the_commit_and_before_the_reply(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def kill(process: int, _number: int) -> None:
        assert process == os.getpid()
        raise Killed

    monkeypatch.setattr(os, "kill", kill)
    world.faults = Faults.from_environment({"SAGA_ALLOW_FAULTS": "1", "SAGA_FAULT_CRASH": "do:every=2"})
    await world.send(Do(), "order-1")
    await world.send(Do(), "order-2")
    await world.start()
    assert world.task is not None
    [ended], _ = await asyncio.wait({world.task})
    assert isinstance(ended.exception(), Killed)
    assert world.broker.published == []
    await world.close()

    await world.start()  # the commands come again, do not run, and are not counted: no crash loop
    await world.replied(2)
    assert len(await world.effects()) == 2
