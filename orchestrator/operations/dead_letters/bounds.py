"""Where a list of dead letters goes on, as a text for whoever reads on: an offset of each partition that has more."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kafka_saga.messaging.records import TopicPartition
from kafka_saga.orchestrator.operations.cursors import read_place, write_place
from kafka_saga.runtime.live_limits import LETTERS_CURSOR_LENGTH_MAX


def write_bounds(bounds: Mapping[TopicPartition, int]) -> str | None:
    """The cursor; None where nothing is left, or on so many partitions that no address takes it."""
    if not bounds:
        return None
    document: dict[str, list[int]] = {}
    for tp in sorted(bounds):
        document.setdefault(tp.topic, []).extend((tp.partition, bounds[tp]))
    text = write_place(document)
    return text if len(text) <= LETTERS_CURSOR_LENGTH_MAX else None


def read_bounds(text: str, ends: Mapping[TopicPartition, int]) -> dict[TopicPartition, int]:
    """What a cursor stands for, of partitions that still are there; none beyond its end.

    Raises:
        UsageError: it is none of ours.

    """
    found = {
        TopicPartition(topic, number): bound
        for topic, pairs in read_place(text, _is_bounds).items()
        for number, bound in zip(pairs[::2], pairs[1::2], strict=True)
    }
    return {tp: min(bound, ends[tp]) for tp, bound in found.items() if tp in ends}


def _is_bounds(found: Any) -> bool:
    return isinstance(found, dict) and all(map(_is_pairs, found.values()))


def _is_pairs(found: Any) -> bool:
    return isinstance(found, list) and len(found) % 2 == 0 and all(type(one) is int and one >= 0 for one in found)
