"""A process that starts while Kafka is away: it waits and says so, until it comes, is told to stop, or may not wait."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from kafka_saga.messaging import arrival
from kafka_saga.messaging.arrival import wait_for_broker
from kafka_saga.messaging.errors import BrokerRefusesError, BrokerUnreachableError
from kafka_saga.messaging.settings import KafkaSettings
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
