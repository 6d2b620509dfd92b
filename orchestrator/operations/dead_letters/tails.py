"""The ends of partitions with dead letters, merged by time: which comes next, and what must be read to know it."""

from __future__ import annotations

import heapq
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from operator import attrgetter
from typing import Any, NamedTuple

from kafka_saga.messaging.records import TopicPartition
from kafka_saga.orchestrator.operations.dead_letters.marks import Position

_NEIGHBOURS = 50
"""Reading so many records that nobody wants is sooner done than asking twice."""


class Kept(NamedTuple):
    """A dead letter that was read: where it lies, when it was set aside, and what a list shows of it."""

    offset: int
    timestamp: int
    letter: dict[str, Any]


class Tail(NamedTuple):
    """What was read of a partition: every record from `first` to before `end`, oldest first."""

    first: int
    end: int
    kept: list[Kept]

    def joined(self, new: Tail) -> Tail:
        """Both, where one follows the other; else the new one alone."""
        if new.end == self.first:
            return Tail(new.first, self.end, new.kept + self.kept)
        if new.first == self.end:
            return Tail(self.first, new.end, self.kept + new.kept)
        return new

    def cut(self, most: int) -> Tail:
        """The newest `most` of it."""
        if len(self.kept) <= most:
            return self
        kept = self.kept[-most:]
        return Tail(kept[0].offset, self.end, kept)


def rounds(positions: Iterable[Position]) -> Iterator[dict[TopicPartition, tuple[int, int]]]:
    """Windows that have all of `positions`: of each partition one at a time, and neighbours in one."""
    left: dict[TopicPartition, list[int]] = {}
    for at in sorted(positions, reverse=True):
        left.setdefault(at.partition_of, []).append(at.offset)
    while left:
        windows = {}
        for tp, offsets in [*left.items()]:
            first = last = offsets.pop()
            while offsets and offsets[-1] - last <= _NEIGHBOURS:
                last = offsets.pop()
            windows[tp] = (first, last + 1)
            if not offsets:
                del left[tp]
        yield windows


class Walk:
    """A way back through partitions, the newest first.

    Attributes:
        bounds: where each partition is read on: before this offset. One that is read to its start is gone from it.
        tails: what was read; it grows.
        unread: partitions of which nobody knows the next letter before somebody reads `windows`.

    """

    def __init__(
        self, bounds: Mapping[TopicPartition, int], tails: Mapping[TopicPartition, Tail], firsts: Mapping[Any, int]
    ) -> None:
        self.bounds = dict(bounds)
        self.tails = dict(tails)
        self.unread: set[TopicPartition] = set()
        self._firsts = firsts
        self._next: list[tuple[int, TopicPartition, Kept]] = []
        self._look_at([*self.bounds])

    def windows(self, records_max: int, share_min: int) -> dict[TopicPartition, tuple[int, int]]:
        """What to read next: from which offset to before which, so many records in all."""
        share = max(share_min, records_max // max(1, len(self.unread)))
        found = {}
        for tp in self.unread:
            end, tail = self.bounds[tp], self.tails.get(tp)
            first = max(self._firsts[tp], end - share)
            found[tp] = (max(first, tail.end) if tail is not None and tail.end < end else first, end)
        return found

    def add(self, read: Mapping[TopicPartition, Tail]) -> None:
        """Take what was read of `windows`."""
        for tp, new in read.items():
            old = self.tails.get(tp)
            self.tails[tp] = new if old is None else old.joined(new)
        self._look_at(read)

    def pop(self) -> Kept | None:
        """The newest letter that is left; None where none is, or something must be read first."""
        if self.unread or not self._next:
            return None
        _timestamp, tp, kept = heapq.heappop(self._next)
        self.bounds[tp] = kept.offset
        self._look_at([tp])
        return kept

    def _look_at(self, partitions: Iterable[TopicPartition]) -> None:
        for tp in partitions:
            self.unread.discard(tp)
            tail = self.tails.get(tp)
            if tail is not None and tail.first < self.bounds[tp] <= tail.end:
                place = bisect_left(tail.kept, self.bounds[tp], key=attrgetter("offset")) - 1
                if place >= 0 and tail.kept[place].offset >= self._firsts[tp]:
                    kept = tail.kept[place]
                    heapq.heappush(self._next, (-kept.timestamp, tp, kept))
                    continue
                self.bounds[tp] = tail.first
            if self.bounds[tp] > self._firsts[tp]:
                self.unread.add(tp)
            else:
                del self.bounds[tp]
