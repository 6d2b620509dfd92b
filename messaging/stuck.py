"""Partitions that bring nothing although something may be in them: seen in what fetches bring, and said in the log."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from aiokafka import TopicPartition

from kafka_saga.messaging.fetching import Fetching
from kafka_saga.runtime.reminding import Reminder
from kafka_saga.runtime.telemetry import log

_log = log("consumer")

STUCK_MS = 10_000
"""Leaders move, and transactions end, within a few seconds."""

OPEN_TRANSACTION = "an open transaction of another producer holds it back"
"""What the timers and `saga doctor` say too."""

_UNANSWERED_MS = 2_000
"""Fetches come back within a tenth of a second, with or without records."""


class _Place(NamedTuple):
    """Where a partition is stuck, and why: another one is another story."""

    partition: TopicPartition
    position: int | None
    why: str


class Stuck:
    """Watches partitions, once a second, and tells of each that is stuck: after a while, again, and when it is over."""

    def __init__(self) -> None:
        self._answers: dict[TopicPartition, tuple[int | None, int]] = {}
        self._known: dict[_Place, Reminder] = {}

    def look(self, consumer: Fetching, partitions: Iterable[TopicPartition], now_ms: int) -> None:
        """Compare what `partitions` have brought with the last look."""
        stuck = {
            _Place(tp, consumer.position_now(tp), why)
            for tp in partitions
            if (why := self._reason(consumer, tp, now_ms)) is not None
        }
        for place in stuck:
            if self._known.setdefault(place, Reminder(STUCK_MS)).goes_on(now_ms):
                end = consumer.highwater(place.partition)
                _log.warning("consumer.partition_stuck", **_described(place), end=end)
        for place in self._known.keys() - stuck:
            lasted_ms = self._known.pop(place).ended(now_ms)
            if lasted_ms is not None:
                _log.info("consumer.partition_goes_on", **_described(place), lasted_ms=lasted_ms)

    def _reason(self, consumer: Fetching, tp: TopicPartition, now_ms: int) -> str | None:
        answer = consumer.last_poll_timestamp(tp)
        known, since_ms = self._answers.setdefault(tp, (answer, now_ms))
        if answer != known:
            self._answers[tp] = (answer, now_ms)
        elif now_ms - since_ms >= _UNANSWERED_MS and not consumer.has_fetched(tp):
            return "no broker leads it" if consumer.leader(tp) is None else "its leader does not let it be fetched"
        return OPEN_TRANSACTION if consumer.waits_for_transaction(tp) else None


def _described(place: _Place) -> dict[str, object]:
    (topic, number), position, why = place
    return {"partition": f"{topic}[{number}]", "position": position, "why": why}
