"""Which partitions are called stuck, and when; a real one that an open transaction holds is in test_widening.py."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import pytest
from aiokafka import TopicPartition
from structlog.testing import capture_logs

from kafka_saga.messaging.fetching import Fetching
from kafka_saga.messaging.stuck import OPEN_TRANSACTION, STUCK_MS, Stuck

ONE, TWO = TopicPartition("order.replies", 0), TopicPartition("order.replies", 1)


@dataclass
class Fetched:
    """What fetches have brought, of `TWO`; `ONE` is always well."""

    now_ms: int = 0
    answers: bool = True
    answered_ms: int = 0
    led: bool = True
    buffered: bool = False
    position: int = 3
    behind_transaction: bool = False

    def last_poll_timestamp(self, partition: TopicPartition) -> int:
        return self.answered_ms if partition == TWO else self.now_ms

    def has_fetched(self, partition: TopicPartition) -> bool:
        return partition == TWO and self.buffered

    def leader(self, _partition: TopicPartition) -> int | None:
        return 1 if self.led else None

    def position_now(self, _partition: TopicPartition) -> int:
        return self.position

    def highwater(self, _partition: TopicPartition) -> int:
        return 7

    def waits_for_transaction(self, partition: TopicPartition) -> bool:
        return partition == TWO and self.behind_transaction


def watch(stuck: Stuck, fetched: Fetched, seconds: int) -> list[Any]:
    """What is said while time passes."""
    with capture_logs() as logs:
        for _ in range(seconds):
            fetched.now_ms += 1_000
            if fetched.answers:
                fetched.answered_ms = fetched.now_ms
            stuck.look(cast("Fetching", fetched), [ONE, TWO], fetched.now_ms)
    return [entry for entry in logs if entry["event"].startswith("consumer.partition")]


@pytest.mark.parametrize(
    ("led", "why"), [(True, "its leader does not let it be fetched"), (False, "no broker leads it")]
)
def test_a_partition_that_is_not_fetched_while_others_are_is_named_again_and_again(led: bool, why: str) -> None:
    stuck, fetched = Stuck(), Fetched(led=led)
    assert watch(stuck, fetched, 60) == []
    fetched.answers = False
    told = watch(stuck, fetched, 60)
    assert [(entry["partition"], entry["position"], entry["end"], entry["why"]) for entry in told] == [
        ("order.replies[1]", 3, 7, why)
    ] * 2
    fetched.answers = True
    (over,) = watch(stuck, fetched, 60)
    assert over["event"] == "consumer.partition_goes_on"
    assert over["lasted_ms"] > STUCK_MS


def test_records_that_wait_to_be_taken_are_not_stuck() -> None:
    assert watch(Stuck(), Fetched(answers=False, buffered=True), 60) == []


def test_a_transaction_that_stays_open_is_named_and_one_after_another_is_not() -> None:
    stuck, fetched = Stuck(), Fetched(behind_transaction=True)
    assert [entry["why"] for entry in watch(stuck, fetched, 20)] == [OPEN_TRANSACTION]
    stuck, busy = Stuck(), Fetched(behind_transaction=True)
    for _ in range(10):
        assert watch(stuck, busy, 5) == []
        busy.position += 1
