"""Lag for pages: one question at a time for all who look, nobody waits for Kafka, and the last answer stays."""

from __future__ import annotations

import asyncio

import pytest

from kafka_saga.messaging.records import TopicPartition
from kafka_saga.orchestrator.http.lag_gauge import LagGauge, LagReading
from kafka_saga.orchestrator.operations.kafka.lag import Groups, PartitionLag, TopicLag
from kafka_saga.runtime.errors import BrokerUnavailableError
from kafka_saga.runtime.live_limits import LAG_AGE_MS_MAX
from tests.engine.world import StillClock

AWAY = BrokerUnavailableError("no broker answers at 127.0.0.1:1")


def groups(*behind: int) -> Groups:
    return Groups([PartitionLag("pay", TopicPartition("t", number), 0, 0, end) for number, end in enumerate(behind)])


class Kafka:
    """Answers when it is told to."""

    def __init__(self) -> None:
        self.asked = 0
        self.answers: asyncio.Queue[Groups | BrokerUnavailableError] = asyncio.Queue()

    async def ask(self) -> Groups:
        self.asked += 1
        answer = await self.answers.get()
        self.answers.task_done()
        if isinstance(answer, BrokerUnavailableError):
            raise answer
        return answer


@pytest.fixture
def kafka() -> Kafka:
    return Kafka()


async def test_nobody_waits_and_all_who_look_share_one_question(kafka: Kafka) -> None:
    clock = StillClock()
    gauge = LagGauge(clock, kafka.ask)

    assert [await gauge.read() for _ in range(3)] == [LagReading()] * 3
    clock.advance(10 * LAG_AGE_MS_MAX)
    assert await gauge.read() == LagReading(), "it is asked once, however long that takes"
    kafka.answers.put_nowait(groups(3, 4))
    await kafka.answers.join()
    found = await gauge.read()

    assert (found.behind, found.at, found.trouble) == (7, clock.now_ms(), None)
    assert found.groups.by_topic() == [TopicLag("t", "pay", [3, 4])]
    clock.advance(LAG_AGE_MS_MAX - 1)
    kafka.answers.put_nowait(groups(1))
    assert (await gauge.read()).behind == 7
    assert kafka.asked == 1
    clock.advance(1)
    assert (await gauge.read()).behind == 7, "who looks while it is asked has what was said before"
    await kafka.answers.join()
    assert (kafka.asked, (await gauge.read()).behind) == (2, 1)
    await gauge.close()


async def test_when_kafka_is_away_the_last_answer_stays_and_it_is_said(kafka: Kafka) -> None:
    clock = StillClock()
    gauge = LagGauge(clock, kafka.ask)
    kafka.answers.put_nowait(AWAY)
    await gauge.read()
    await kafka.answers.join()
    first = await gauge.read()
    assert (first.at, first.behind, first.trouble) == (None, None, str(AWAY))

    for answer in (groups(5), AWAY, groups(0)):
        clock.advance(LAG_AGE_MS_MAX)
        kafka.answers.put_nowait(answer)
        await gauge.read()
        await kafka.answers.join()
        found = await gauge.read()
        if answer is AWAY:
            assert (found.behind, found.trouble) == (5, str(AWAY))
    assert (found.behind, found.trouble) == (0, None)
    await gauge.close()


async def test_who_is_patient_and_looks_again_after_a_while_has_what_is_true_now(kafka: Kafka) -> None:
    clock = StillClock()
    gauge = LagGauge(clock, kafka.ask)
    for number, away_ms in enumerate((0, LAG_AGE_MS_MAX * 3, LAG_AGE_MS_MAX)):
        clock.advance(away_ms)
        kafka.answers.put_nowait(groups(number))
        assert (await gauge.read(60_000)).behind == min(number, 1), "who goes on looking does not wait"
    await gauge.close()


async def test_what_is_not_read_although_it_waits_is_told_since_when(kafka: Kafka) -> None:
    clock = StillClock()
    gauge = LagGauge(clock, kafka.ask)

    async def told(groups: Groups) -> dict[tuple[str, str], int]:
        clock.advance(LAG_AGE_MS_MAX)
        await gauge.read()
        kafka.answers.put_nowait(groups)
        await kafka.answers.join()
        return dict((await gauge.read()).still)

    def at(position: int, end: int) -> Groups:
        return Groups([PartitionLag("pay", TopicPartition("t", 0), position, 0, end)])

    assert await told(at(5, 5)) == {}, "nothing waits"
    assert await told(at(5, 6)) == {("t", "pay"): clock.now_ms()}
    began = clock.now_ms()
    assert await told(at(5, 9)) == {("t", "pay"): began}
    assert await told(at(6, 9)) == {}, "one was read meanwhile"
    assert await told(at(6, 9)) == {("t", "pay"): clock.now_ms()}
    assert await told(at(9, 9)) == {}
    await gauge.close()
