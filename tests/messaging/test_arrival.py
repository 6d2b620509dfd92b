"""A process that starts while Kafka is away: it waits and says so, until it comes, is told to stop, or may not wait."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import GroupLoadInProgressError
from aiokafka.protocol.commit import OffsetFetchRequest

from kafka_saga.messaging import arrival
from kafka_saga.messaging.arrival import wait_for_broker, wait_for_group
from kafka_saga.messaging.errors import BrokerRefusesError, BrokerUnreachableError
from kafka_saga.messaging.settings import KafkaSettings
from kafka_saga.messaging.topics import TopicSpec, create_topics
from kafka_saga.runtime.errors import BrokerUnavailableError, ConfigError
from tests.brokers import BrokerUnderTest

AWAY = BrokerUnreachableError("cannot reach Kafka", "is it running?")
NAMELESS = BrokerUnreachableError("the host name 'kafka' does not resolve", "correct it")


class LeapingClock:
    """Whoever sleeps has slept."""

    def __init__(self) -> None:
        self.at_ms = 0
        self.pauses: list[int] = []

    def now_ms(self) -> int:
        return self.at_ms

    def monotonic_ms(self) -> int:
        return self.at_ms

    async def sleep(self, duration_ms: int) -> None:
        self.pauses.append(duration_ms)
        self.at_ms += duration_ms


class World:
    """Probes that fail as told; None is success."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *outcomes: Exception | None) -> None:
        self.clock = LeapingClock()
        self.stopping = asyncio.Event()
        self.told: list[tuple[str, int]] = []
        self.outcomes = list(outcomes)
        self.on_probe: Callable[[], None] = lambda: None
        monkeypatch.setattr(arrival, "probe", self._probe)

    async def _probe(self, _settings: KafkaSettings) -> None:
        self.on_probe()
        outcome = self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]
        if outcome is not None:
            raise outcome

    async def wait(self, wait_ms: int | None = None) -> bool:
        return await wait_for_broker(
            KafkaSettings(),
            stopping=self.stopping,
            wait_ms=wait_ms,
            clock=self.clock,
            tell=lambda reason, waited_ms: self.told.append((str(reason), waited_ms)),
        )


async def test_it_waits_longer_and_longer_until_the_broker_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, *[AWAY] * 7, None)
    assert await world.wait()
    assert world.clock.pauses == [250, 500, 1_000, 2_000, 4_000, 5_000, 5_000]
    assert world.told == [(str(AWAY), 0)], "once, not with every attempt"


async def test_it_says_so_again_each_minute_and_when_the_reason_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, *[AWAY] * 20, NAMELESS, NAMELESS, None)
    assert await world.wait()
    assert [(reason, at_ms) for reason, at_ms in world.told if reason == str(AWAY)] == [
        (str(AWAY), 0),
        (str(AWAY), 62_750),
    ]
    assert [reason for reason, _ in world.told] == [str(AWAY), str(AWAY), str(NAMELESS)]


async def test_a_broker_that_is_there_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, None)
    assert await world.wait(0)
    assert (world.clock.pauses, world.told) == ([], [])


async def test_told_not_to_wait_it_ends_at_the_first_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, AWAY)
    with pytest.raises(BrokerUnreachableError, match="is it running"):
        await world.wait(0)
    assert (world.clock.pauses, world.told) == ([], [])


async def test_it_waits_as_long_as_it_was_told_and_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, AWAY)
    with pytest.raises(BrokerUnreachableError):
        await world.wait(1_000)
    assert world.clock.pauses == [250, 500, 250]


@pytest.mark.parametrize(
    "error", [BrokerRefusesError("Kafka refuses user 'saga'", "correct it"), ConfigError("no file")]
)
async def test_what_waiting_does_not_change_is_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    world = World(monkeypatch, AWAY, error)
    with pytest.raises(type(error)):
        await world.wait()
    assert len(world.clock.pauses) == 1


async def test_a_stop_ends_the_wait_at_once_and_without_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, AWAY)
    world.on_probe = lambda: world.stopping.set() if len(world.clock.pauses) == 3 else None
    assert not await world.wait()
    assert len(world.clock.pauses) == 3


async def test_a_stop_does_not_wait_for_a_probe_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, AWAY)
    begun = asyncio.Event()

    async def hangs(_settings: KafkaSettings) -> None:
        begun.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(arrival, "probe", hangs)
    waiting = asyncio.create_task(world.wait())
    await begun.wait()
    world.stopping.set()
    assert not await waiting


async def test_a_real_broker_is_recognised(embedded: BrokerUnderTest) -> None:
    assert await wait_for_broker(
        embedded.settings, stopping=asyncio.Event(), wait_ms=0, clock=LeapingClock(), tell=lambda *_: None
    )


def test_a_broker_that_may_come_is_told_from_one_that_refuses() -> None:
    assert (BrokerUnavailableError.retryable, AWAY.retryable, BrokerRefusesError.retryable) == (True, True, False)


class Loading:
    """A coordinator that loads its groups, and says so to so many questions."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, questions: float) -> None:
        self.left = questions
        send = AIOKafkaClient.send

        async def loading(client: AIOKafkaClient, node: int, request: Any, **options: Any) -> Any:
            answer = await send(client, node, request, **options)
            if isinstance(request, OffsetFetchRequest) and self.left > 0:
                self.left -= 1
                code = GroupLoadInProgressError.errno
                answer.topics = [(name, [(*row[:-1], code) for row in rows]) for name, rows in answer.topics]
            return answer

        monkeypatch.setattr(AIOKafkaClient, "send", loading)


async def wait_for_loaded(
    broker: BrokerUnderTest,
    topic: str,
    told: list[str],
    wait_ms: int | None = None,
    stopping: asyncio.Event | None = None,
) -> bool:
    def tell(reason: BrokerUnavailableError, _waited_ms: int) -> None:
        told.append(str(reason))
        if stopping is not None:
            stopping.set()

    stop = stopping or asyncio.Event()
    return await wait_for_group(
        broker.settings, f"{topic}.group", [topic], stopping=stop, wait_ms=wait_ms, clock=LeapingClock(), tell=tell
    )


async def a_topic(broker: BrokerUnderTest, name: str) -> str:
    await create_topics(broker.settings, [TopicSpec(name, 1)])
    return name


async def test_a_group_that_is_being_loaded_is_waited_for_however_long_it_takes(
    embedded: BrokerUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic, told = await a_topic(embedded, "arrival-loading"), list[str]()
    loading = Loading(monkeypatch, 120)

    assert await wait_for_loaded(embedded, topic, told)
    assert loading.left == 0
    assert told == [f"reading offsets of group {topic}.group: GroupLoadInProgressError"]


async def test_a_group_that_stays_loading_ends_a_start_that_may_not_wait(
    embedded: BrokerUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic, told = await a_topic(embedded, "arrival-impatient"), list[str]()
    Loading(monkeypatch, float("inf"))

    with pytest.raises(BrokerUnavailableError, match="GroupLoadInProgressError"):
        await wait_for_loaded(embedded, topic, told, wait_ms=0)
    assert not told


async def test_a_stop_ends_the_wait_for_a_group(embedded: BrokerUnderTest, monkeypatch: pytest.MonkeyPatch) -> None:
    topic = await a_topic(embedded, "arrival-stopped")
    Loading(monkeypatch, float("inf"))

    assert not await wait_for_loaded(embedded, topic, [], stopping=asyncio.Event())


async def test_topics_that_are_missing_are_left_to_who_reads_them(embedded: BrokerUnderTest) -> None:
    assert await wait_for_loaded(embedded, "arrival-not-there", [], wait_ms=0)
