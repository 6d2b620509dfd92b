"""The way back through partitions: every letter once, the newest first, whatever is read in which pieces."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Iterable, Iterator
from random import Random  # noqa: TID251 -- seeded: worlds to walk through
from typing import Any

import pytest

from kafka_saga.messaging.records import TopicPartition
from kafka_saga.orchestrator.operations.dead_letters.bounds import read_bounds, write_bounds
from kafka_saga.orchestrator.operations.dead_letters.marks import Position
from kafka_saga.orchestrator.operations.dead_letters.tails import Kept, Tail, Walk, rounds
from kafka_saga.runtime.errors import UsageError
from kafka_saga.schemas.codec import encode

Log = dict[TopicPartition, list[Kept]]


def made(random: Random) -> tuple[Log, dict[TopicPartition, int], dict[TopicPartition, int]]:
    """Partitions with letters, some with holes or empty; where each begins, and ends."""
    log, firsts, ends = Log(), dict[TopicPartition, int](), dict[TopicPartition, int]()
    for number in range(random.randint(1, 5)):
        tp, first = TopicPartition(f"dlq.{number % 2}", number), random.choice([0, 0, 7])
        offsets = [at for at in range(first, first + random.choice([0, 1, 5, 60])) if random.random() < 0.9]
        times = sorted(random.randint(0, 40) for _ in offsets)
        log[tp] = [Kept(at, time, {"at": time}) for at, time in zip(offsets, times, strict=True)]
        firsts[tp], ends[tp] = first, (offsets[-1] + 1 if offsets else first) + random.choice([0, 0, 3])
    return log, firsts, ends


def walked(walk: Walk, log: Log, random: Random, most: int = 10_000) -> Iterator[Kept]:
    """What comes, read in pieces of any size."""
    while walk.bounds and most:
        if walk.unread:
            windows = walk.windows(random.randint(1, 30), random.randint(1, 10))
            assert set(windows) == walk.unread
            walk.add({tp: Tail(first, end, _between(log[tp], first, end)) for tp, (first, end) in windows.items()})
        elif (kept := walk.pop()) is not None:
            most -= 1
            yield kept


def _between(kept: Iterable[Kept], first: int, end: int) -> list[Kept]:
    return [one for one in kept if first <= one.offset < end]


@pytest.mark.parametrize("seed", range(200))
def test_every_letter_comes_once_newest_first_whatever_was_kept_before(seed: int) -> None:
    random = Random(seed)
    log, firsts, ends = made(random)
    everything = sorted((one for kept in log.values() for one in kept), key=lambda one: -one.timestamp)
    first = Walk(ends, {}, firsts)
    some = list(walked(first, log, random, random.randint(0, 40)))
    rest = list(walked(Walk(first.bounds, {}, firsts), log, random))  # the next page, by somebody who kept nothing
    found = some + rest
    assert [one.timestamp for one in found] == [one.timestamp for one in everything]
    assert sorted(map(id, found)) == sorted(map(id, everything))

    for tp in log:  # more comes, and the newest are looked at again with what was kept
        more = [Kept(ends[tp] + number, 41 + number, {}) for number in range(random.choice([0, 1, 30]))]
        log[tp] += more
        ends[tp] += len(more)
    kept = {tp: tail.cut(random.randint(1, 20)) for tp, tail in first.tails.items()}
    again = list(walked(Walk(ends, kept, firsts), log, random))
    assert sorted(map(id, again)) == sorted(id(one) for kept in log.values() for one in kept)
    assert [one.timestamp for one in again] == sorted((one.timestamp for one in again), reverse=True)


def test_what_retention_removed_is_not_shown_from_memory() -> None:
    tp = TopicPartition("dlq.x", 0)
    kept = [Kept(offset, offset, {}) for offset in range(10)]
    walk = Walk({tp: 10}, {tp: Tail(0, 10, kept)}, {tp: 6})
    found = []
    while (one := walk.pop()) is not None:
        found.append(one.offset)
    assert (found, walk.bounds, walk.unread) == ([9, 8, 7, 6], {}, set())


def test_positions_are_read_in_windows_that_have_them_all() -> None:
    wanted = [Position("a", 0, at) for at in (3, 5, 1_000, 1_049, 1_100)] + [Position("a", 1, 7)]
    found = list(rounds(wanted))
    assert found == [
        {TopicPartition("a", 1): (7, 8), TopicPartition("a", 0): (3, 6)},
        {TopicPartition("a", 0): (1_000, 1_050)},
        {TopicPartition("a", 0): (1_100, 1_101)},
    ] or found == [
        {TopicPartition("a", 0): (3, 6), TopicPartition("a", 1): (7, 8)},
        {TopicPartition("a", 0): (1_000, 1_101)},
    ]


ENDS = {TopicPartition("dlq.a", 0): 10, TopicPartition("dlq.a", 3): 20, TopicPartition("dlq.b", 0): 5}


def test_a_cursor_says_where_each_partition_goes_on() -> None:
    bounds = {TopicPartition("dlq.a", 3): 12, TopicPartition("dlq.b", 0): 5}
    cursor = write_bounds(bounds)
    assert cursor is not None
    assert read_bounds(cursor, ENDS) == bounds
    assert read_bounds(cursor, {TopicPartition("dlq.a", 3): 4}) == {TopicPartition("dlq.a", 3): 4}, "made anew since"
    assert write_bounds({}) is None
    assert write_bounds({TopicPartition(f"dlq.{number}", 0): 1 for number in range(1_000)}) is None


def _cursor(document: Any) -> str:
    return urlsafe_b64encode(encode(document)).decode()


@pytest.mark.parametrize(
    "cursor",
    [
        "x",
        "é",
        "a\x00b",
        "",
        *map(
            _cursor, ([], "a", {"a": 1}, {"a": [1]}, {"a": [0, -1]}, {"a": [0, 1.5]}, {"a": [True, 1]}, {"a": [[0], 1]})
        ),
    ],
)
def test_what_is_no_cursor_of_ours_is_refused(cursor: str) -> None:
    with pytest.raises(UsageError, match="none of ours"):
        read_bounds(cursor, ENDS)
