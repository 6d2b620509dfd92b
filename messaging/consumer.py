"""Reading: every partition of some topics, from positions that the caller's own store knows."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence

from aiokafka import AIOKafkaConsumer
from aiokafka import TopicPartition as KafkaPartition
from aiokafka import errors as kafka_errors

from kafka_saga.messaging import decompression, fetching
from kafka_saga.messaging.claims import Claimant, claim_of
from kafka_saga.messaging.cluster import Cluster
from kafka_saga.messaging.errors import NotAllowedError, UnknownTopicError
from kafka_saga.messaging.hints import CommitHints
from kafka_saga.messaging.records import Record, TopicPartition
from kafka_saga.messaging.resets import Reset, report
from kafka_saga.messaging.settings import KafkaSettings
from kafka_saga.messaging.stuck import Stuck
from kafka_saga.messaging.survey import Extent
from kafka_saga.messaging.unreadable import UnreadableRecord, is_parse_error, read_singly
from kafka_saga.messaging.waiting import abandon, describe, within
from kafka_saga.messaging.widening import Widening
from kafka_saga.runtime import limits
from kafka_saga.runtime.clock import Clock, SystemClock
from kafka_saga.runtime.errors import BrokerUnavailableError, ConfigError
from kafka_saga.runtime.telemetry import log

__all__ = ["Consumer", "Reset"]

_log = log("consumer")

FETCH_WAIT_MS = 100
METADATA_AGE_MS = 1_000
"""How often to look for added partitions: one small request. The timers look whenever they must know (R21), but a
participant has none, and a command that lies on a new partition is waited for from the moment it was published."""

SILENCE_MS_MAX = 30_000
_LOOK_INTERVAL_MS = 1_000
_ERROR_PAUSE_MS = 1_000
_EMBEDDED_WAIT_MS = 10


class Consumer:
    """Reads all partitions of its topics, with positions under the caller's control (R22, R23).

    It belongs to no group and never rebalances: `group` only names the offsets it commits as a hint for lag tools.
    Brokers may come and go; `poll` returns nothing meanwhile and goes on afterwards. One task polls; the other
    methods may be called between polls or, where they are `async`, beside one.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        topics: Iterable[str],
        *,
        group: str,
        claimant: Claimant | None = None,
        clock: Clock | None = None,
        fetch_wait_ms: int = FETCH_WAIT_MS,
        metadata_age_ms: int = METADATA_AGE_MS,
    ) -> None:
        """Nothing is sent before `start`.

        Args:
            settings: how to reach Kafka.
            topics: what to read.
            group: under which name offsets are committed.
            claimant: the store that the group is to belong to from the start on; nobody's when not given.
            clock: the machine's when not given.
            fetch_wait_ms: how long the broker may hold back an empty answer; a resumed topic waits at most this long.
                On the embedded broker, which does not wake up for new records, it is 10 at most.
            metadata_age_ms: how often to look for added partitions, in milliseconds.

        """
        self._settings = settings
        self._topics = tuple(sorted(set(topics)))
        self._group = group
        self._clock = clock or SystemClock()
        self._fetch_wait_ms = fetch_wait_ms
        self._metadata_age_ms = metadata_age_ms
        self._cluster = Cluster(settings, clock=self._clock)
        self.claim = claim_of(self._cluster, group, claimant, self._clock)
        self._hints = CommitHints(self._cluster, group, self._clock, self.claim)
        self._widening = Widening(settings, self._topics, self._clock)
        self._stuck = Stuck()
        self._consumer: AIOKafkaConsumer | None = None
        self._positions: dict[TopicPartition, int] = {}
        self._paused: frozenset[str] = frozenset()
        self._resets: list[Reset] = []
        self._stopped = self._embedded = False
        self._looked_at_ms = self._compared_at_ms = 0
        self._last_answer = self._answered_at_ms = self._rebuilt_at_ms = 0

    async def start(self, positions: Mapping[TopicPartition, int]) -> None:
        """Connect and take position: `positions` holds the next offset per partition.

        A partition without one starts at its earliest record. One beyond the end or before the start does
        too, with an alarm and a `Reset` (see `take_resets`).

        Raises:
            UnknownTopicError: topics that do not exist; it names them all.
            StoreRefusedError: the group is another store's.
            BrokerUnavailableError: no broker answers.

        """
        self._embedded = not await self._cluster.administers_topics()
        partitions = await self._partitions()
        await self.claim.check(partitions)
        self._consumer = await self._connect()
        await self._take_position(self._consumer, partitions, positions)
        await self.claim.take(self._positions)
        self._assign(self._consumer)
        self._answered_at_ms = self._looked_at_ms = self._compared_at_ms = self._clock.monotonic_ms()

    async def stop(self) -> None:
        """Send the last hint and close, each within STOP_TIMEOUT_MS; a poll in progress returns nothing."""
        if self._stopped:
            return
        self._stopped = True
        await self._hints.stop()
        closing = [self._cluster.close(), self._widening.stop()]
        if self._consumer is not None:
            closing.append(within(limits.STOP_TIMEOUT_MS, "closing the consumer", self._consumer.stop()))
        for result in await asyncio.gather(*closing, return_exceptions=True):
            if isinstance(result, BaseException):
                _log.warning("consumer.stop_abandoned", error=describe(result))

    async def poll(self, timeout_ms: int, records_max: int) -> list[Record]:
        """Records that have come, at most `records_max`; waits up to `timeout_ms` for the first.

        Records of one partition come in order. No broker is no error: the list is empty then. Cancelling a
        poll loses nothing (without a group aiokafka keeps no books of who is polling). A record that cannot
        be parsed at all comes as an `UnreadableRecord`, without key and value.

        Raises:
            NotAllowedError: this user may not read one of the topics.
            ConfigError: records are compressed in a way that needs a library which is not installed.

        """
        if self._stopped:
            return []
        await self._look_after(self._running())
        decompression.allowance.begin()
        try:
            fetched = await self._fetch(timeout_ms, records_max)
        except Exception as error:  # noqa: BLE001 - a record's bytes can raise anything
            return await self._recover(error, records_max)
        records: list[Record] = []
        for tp, batch in fetched.items():
            self._positions[TopicPartition(tp.topic, tp.partition)] = batch[-1].offset + 1
            records += batch
        return records

    async def _fetch(self, timeout_ms: int, records_max: int) -> Mapping[KafkaPartition, list[Record]]:
        running = self._running()
        taken: dict[KafkaPartition, list[Record]] = await running.getmany(
            timeout_ms=timeout_ms, max_records=records_max
        )
        return taken

    async def _recover(self, error: Exception, records_max: int) -> list[Record]:
        """What a failed poll returns instead, after the cause was seen to."""
        if isinstance(error, kafka_errors.ConsumerStoppedError):
            return []
        if isinstance(error, kafka_errors.OffsetOutOfRangeError):
            await self._reset(error.args[0])
            return []
        if isinstance(error, kafka_errors.TopicAuthorizationFailedError):
            raise NotAllowedError.to_read(self._settings.principal, error.args[0]) from error
        if isinstance(error, kafka_errors.UnsupportedCodecError):
            raise ConfigError(f"cannot read compressed records: {describe(error)} (pip install cramjam)") from error
        if is_parse_error(error):
            return await self._read_around(error, records_max)
        _log.error("consumer.poll_failed", error=describe(error))
        await self._clock.sleep(_ERROR_PAUSE_MS)
        await self._rebuild()
        return []

    async def _read_around(self, error: Exception, records_max: int) -> list[Record]:
        """Records up to and with the one that cannot be parsed; reading goes on after it."""
        consumer = self._running()
        decompression.allowance.begin()
        self._assign(consumer)  # back to our positions: the failed poll has dropped good records
        records: list[Record] = []
        try:
            ends = await self.end_offsets(set(self._topics) - self._paused)
        except BrokerUnavailableError:
            return records  # the next poll fails the same way, and comes here again
        for partition, end in ends.items():
            position, room = self._positions[partition], records_max - len(records)
            records += await read_singly(consumer, partition, position, end, room)
            if not records:
                continue
            last = records[-1]
            if (last.topic, last.partition) == partition:
                self._positions[partition] = last.offset + 1
            if isinstance(last, UnreadableRecord):
                _log.error(
                    "consumer.record_unreadable",
                    topic=last.topic,
                    partition=last.partition,
                    offset=last.offset,
                    error=last.error,
                )
                self.seek(partition, last.offset + 1)
                return records
        if isinstance(error, decompression.AllowanceSpentError):
            _log.warning("consumer.poll_cut_short", records=len(records), decompressed=decompression.allowance.spent)
            return records
        _log.error("consumer.unreadable_record_not_found", error=describe(error), records=len(records))
        return records

    def seek(self, partition: TopicPartition, offset: int) -> None:
        """Read `partition` from `offset` next; what was fetched from it before is dropped."""
        assert partition in self._positions, f"{partition} is not read by this consumer"
        self._positions[partition] = offset
        self._running().seek(KafkaPartition(*partition), offset)

    def pause(self, topics: Iterable[str]) -> None:
        """Return no records of `topics` until they are resumed; what was fetched is fetched again then."""
        self._paused |= set(topics) & set(self._topics)
        self._running().pause(*(KafkaPartition(*tp) for tp in self._positions if tp.topic in self._paused))

    def resume(self, topics: Iterable[str]) -> None:
        """Return records of `topics` again."""
        self._paused -= set(topics)
        self._running().resume(*(KafkaPartition(*tp) for tp in self._positions if tp.topic not in self._paused))

    @property
    def paused(self) -> frozenset[str]:
        """The paused topics."""
        return self._paused

    @property
    def partitions(self) -> frozenset[TopicPartition]:
        """All partitions that are read; it grows when partitions are added to a topic."""
        return frozenset(self._positions)

    @property
    def read_to(self) -> Mapping[TopicPartition, int]:
        """The next offset to read of each of them."""
        return self._positions

    @property
    def silent_ms(self) -> int:
        """For how long no broker has answered a fetch, in milliseconds.

        Seen while polling, once a second: more than a few seconds are an outage.
        """
        return self._clock.monotonic_ms() - self._answered_at_ms

    def take_resets(self) -> tuple[Reset, ...]:
        """The positions that had to be given up since the last call; to be asked after `start` and each poll."""
        resets, self._resets = tuple(self._resets), []
        return resets

    async def end_offsets(self, topics: Iterable[str]) -> dict[TopicPartition, int]:
        """The offset after the last readable record, per partition of `topics`.

        Raises:
            BrokerUnavailableError: no answer within REQUEST_TIMEOUT_MS.

        """
        wanted = set(topics)
        partitions = [KafkaPartition(*tp) for tp in self._positions if tp.topic in wanted]
        ends = await within(limits.REQUEST_TIMEOUT_MS, "reading end offsets", self._running().end_offsets(partitions))
        return {TopicPartition(*tp): offset for tp, offset in ends.items()}

    async def extents(self, topics: Iterable[str]) -> dict[TopicPartition, Extent]:
        """How far every partition of `topics` reaches that exists now, by the brokers' own word (R21).

        Those that are not read yet are in it, and the next poll takes them up, from their first record on.

        Raises:
            BrokerUnavailableError: not all of them answered within REQUEST_TIMEOUT_MS; it names one.

        """
        return await self._widening.extents(frozenset(topics), tuple(self._positions))

    async def positions(self, topics: Iterable[str]) -> dict[TopicPartition, int]:
        """The next offset to read, per partition of `topics`: a partition is drained when it reached its end.

        It may be beyond the last record: transactions leave marks that are offsets, but not records.
        """
        wanted = set(topics)
        consumer = self._running()
        read = [tp for tp in self._positions if tp.topic in wanted]
        return {tp: await consumer.position(KafkaPartition(*tp)) for tp in read}

    def commit_hint(self, offsets: Mapping[TopicPartition, int], metadata: str) -> None:
        """Tell Kafka the next `offsets`, for lag tools; returns at once, never fails, the latest wins."""
        self._hints.put(offsets, metadata)

    def _running(self) -> AIOKafkaConsumer:
        assert self._consumer is not None, "start() first"
        return self._consumer

    async def _partitions(self) -> list[TopicPartition]:
        # The embedded broker creates a topic when it is asked for, and in no other way.
        counts = await self._cluster.partition_counts(self._topics, create=self._embedded, right="Read")
        missing = [topic for topic in self._topics if topic not in counts]
        if missing:
            raise UnknownTopicError(missing)
        return [TopicPartition(topic, number) for topic in self._topics for number in range(counts[topic])]

    async def _connect(self) -> AIOKafkaConsumer:
        decompression.install()
        wait_ms = min(self._fetch_wait_ms, _EMBEDDED_WAIT_MS) if self._embedded else self._fetch_wait_ms
        return await fetching.connect(self._settings, self._topics, wait_ms)

    async def _take_position(
        self,
        consumer: AIOKafkaConsumer,
        partitions: Sequence[TopicPartition],
        wanted: Mapping[TopicPartition, int],
    ) -> None:
        """Set `_positions` of `partitions` to what is wanted, or to the earliest where Kafka has no such offset."""
        theirs = [KafkaPartition(*tp) for tp in partitions]
        firsts = await within(limits.REQUEST_TIMEOUT_MS, "reading first offsets", consumer.beginning_offsets(theirs))
        ends = await within(limits.REQUEST_TIMEOUT_MS, "reading end offsets", consumer.end_offsets(theirs))
        for tp, their in zip(partitions, theirs, strict=True):
            first, end, position = firsts[their], ends[their], wanted.get(tp)
            if position is not None and not first <= position <= end:
                reset = Reset(tp, position, first, "beyond_end" if position > end else "deleted")
                self._resets.append(reset)
                report(reset, end, embedded=self._embedded)
                position = None
            self._positions[tp] = first if position is None else position

    def _assign(self, consumer: AIOKafkaConsumer) -> None:
        """Give `consumer` all partitions, with our positions and pauses: it forgets both at each assignment."""
        consumer.assign([KafkaPartition(*tp) for tp in self._positions])
        for tp, offset in self._positions.items():
            consumer.seek(KafkaPartition(*tp), offset)
        consumer.pause(*(KafkaPartition(*tp) for tp in self._positions if tp.topic in self._paused))

    async def _reset(self, lost: Mapping[KafkaPartition, int]) -> None:
        partitions = [TopicPartition(*tp) for tp in lost]
        consumer = self._running()
        try:
            await self._take_position(consumer, partitions, {TopicPartition(*tp): at for tp, at in lost.items()})
        except BrokerUnavailableError as error:
            _log.warning("consumer.reset_delayed", error=str(error))  # the next fetch fails the same way
            return
        for tp in partitions:
            consumer.seek(KafkaPartition(*tp), self._positions[tp])

    async def _look_after(self, consumer: AIOKafkaConsumer) -> None:
        """Take up added partitions; once in a while look for them, and replace a consumer that went silent."""
        if self._widening.added or self._widening.gone:
            self._take_up(consumer)
        now_ms = self._clock.monotonic_ms()
        if now_ms - self._looked_at_ms < _LOOK_INTERVAL_MS:
            return
        self._looked_at_ms = now_ms
        active = [KafkaPartition(*tp) for tp in self._positions if tp.topic not in self._paused]
        last_answer = max((consumer.last_poll_timestamp(tp) or 0 for tp in active), default=None)
        if last_answer is None or last_answer != self._last_answer:
            self._last_answer, self._answered_at_ms = last_answer or 0, now_ms
        elif now_ms - max(self._answered_at_ms, self._rebuilt_at_ms) > SILENCE_MS_MAX:
            await self._rebuild()
        if self.silent_ms < SILENCE_MS_MAX:  # else it is all of them, and no broker
            self._stuck.look(self._running(), active, now_ms)
        if now_ms - self._compared_at_ms >= self._metadata_age_ms:
            self._compared_at_ms = now_ms
            self._widening.look(tuple(self._positions))

    def _take_up(self, consumer: AIOKafkaConsumer) -> None:
        """Read from now on what was found beside the polls, where nobody else changes positions."""
        added, self._widening.added = self._widening.added, {}
        gone = self._widening.gone & self._positions.keys()
        if gone:
            _log.error("consumer.partitions_gone", partitions=_named(gone), why="the topic was made anew with fewer")
            self._positions = {tp: at for tp, at in self._positions.items() if tp not in gone}
        self._widening.forget(gone)
        if added:
            self.claim.cover(added)
            _log.info("consumer.partitions_added", partitions=_named(added))
            self._positions = {**added, **self._positions}
        self._assign(consumer)

    async def _rebuild(self) -> None:
        """Replace the aiokafka consumer by a new one at the same positions (it can get stuck, #1154)."""
        self._rebuilt_at_ms = self._clock.monotonic_ms()
        try:
            fresh = await self._connect()
        except BrokerUnavailableError as error:
            _log.warning("consumer.broker_away", silent_ms=self.silent_ms, error=str(error))
            return
        old, self._consumer = self._running(), fresh
        self._assign(fresh)
        abandon(asyncio.ensure_future(old.stop()))
        _log.warning("consumer.rebuilt", silent_ms=self.silent_ms)


def _named(partitions: Iterable[TopicPartition]) -> list[str]:
    return [f"{topic}[{number}]" for topic, number in sorted(partitions)]
