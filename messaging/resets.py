"""Positions that Kafka does not have any more (R23)."""

from __future__ import annotations

from typing import Literal, NamedTuple

from kafka_saga.messaging.records import TopicPartition
from kafka_saga.runtime.telemetry import log

_log = log("consumer")


class Reset(NamedTuple):
    """A position that Kafka does not have; reading goes on at `position`, the earliest that it has.

    `beyond_end`: the topic was emptied or created anew, or the broker lost what it had acknowledged; what
    comes may have been seen before. `deleted`: records were removed before they were read, by retention.
    """

    partition: TopicPartition
    wanted: int
    position: int
    reason: Literal["beyond_end", "deleted"]


def report(reset: Reset, end: int, *, embedded: bool) -> None:
    """A lost position is an alarm, except where losing everything is what the broker is known for."""
    details = {**reset._asdict(), "end": end}
    if embedded:
        why = "the embedded broker forgets its topics when it ends; reading from the start, which is safe"
        _log.info("consumer.position_forgotten", **details, why=why)
    else:
        _log.error("consumer.position_lost", **details)
