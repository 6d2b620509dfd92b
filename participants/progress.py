"""How far the commands are done: what may be written as the next offset, and what must not be passed yet.

The log is the outbox. A reply is not stored to be sent; the command that caused it stays unread, as far as the store
is concerned, until its reply is known to be published. After a crash it is read again, and the fence answers with the
stored reply. So an offset moves only after publication, in a later transaction than the command's own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from kafka_saga.messaging.records import TopicPartition

Source = tuple[TopicPartition, int]


class Progress:
    """Offsets per partition: stored, published, and held by commands that are not answered yet."""

    def __init__(self, stored: Mapping[TopicPartition, int]) -> None:
        self._stored = dict(stored)
        self._published = dict(stored)
        self._held: dict[TopicPartition, set[int]] = {}
        self.tenure = 0
        """Counts how often the partitions were given back: what was begun before is not marked after (R60)."""

    def begin(self, positions: Mapping[TopicPartition, int]) -> None:
        """Partitions were assigned, and these are the stored positions of those that have one."""
        self._stored |= positions
        self._published |= positions

    def end(self) -> None:
        """All partitions are given back: nothing of them is ours to mark."""
        self.tenure += 1
        self._stored, self._published, self._held = {}, {}, {}

    def correct(self, stored: Mapping[TopicPartition, int]) -> None:
        """What we took for stored was not: another worker has written, or a commit of ours was in doubt."""
        for partition, offset in list(self._published.items()):
            theirs = stored.get(partition)
            self._stored.pop(partition, None)
            if theirs is not None:
                self._stored[partition] = theirs
                self._published[partition] = max(offset, theirs)

    def hold(self, source: Source) -> None:
        """A command's reply will come later (an external call, a late answer): its offset must not be passed."""
        partition, offset = source
        self._held.setdefault(partition, set()).add(offset)

    @property
    def holds_any(self) -> bool:
        """Whether any command at all is held; while none is, there is nothing to release."""
        return bool(self._held)

    def publish(
        self, following: Mapping[TopicPartition, int], released: Iterable[Source] = (), *, tenure: int = 0
    ) -> None:
        """All replies before the `following` offsets are out, but for held ones; those of `released` are out too.

        Nothing is marked of what was begun in another tenure.
        """
        if tenure != self.tenure:
            return
        self._published |= following
        for partition, offset in released:
            held = self._held.get(partition, set())
            held.discard(offset)
            if not held:
                self._held.pop(partition, None)

    def reset(self, partition: TopicPartition, position: int) -> None:
        """The topic does not have the stored offset any more; reading goes on at `position`."""
        self._published[partition] = position
        self._held.pop(partition, None)

    def positions(self) -> dict[TopicPartition, int]:
        """The next offset to read after a crash."""
        return {
            partition: min(offset, *held) if (held := self._held.get(partition)) else offset
            for partition, offset in self._published.items()
        }

    def unwritten(self) -> dict[TopicPartition, int]:
        """The positions that differ from what is stored."""
        return {
            partition: offset for partition, offset in self.positions().items() if self._stored.get(partition) != offset
        }

    @property
    def stored(self) -> Mapping[TopicPartition, int]:
        """What the store holds, by our knowledge: the expected side of compare-and-set (R23)."""
        return self._stored

    def written(self, offsets: Mapping[TopicPartition, int]) -> None:
        """A transaction that moved the stored offsets was committed."""
        self._stored |= offsets
