"""Lives, beats and heirs in PostgreSQL (R61-R63, R70, R73)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from kafka_saga.messaging.records import TopicPartition
from kafka_saga.orchestrator.store import rows
from kafka_saga.orchestrator.store.members import Horizon, Joining, Lanes, Peer, Sums
from kafka_saga.orchestrator.store.port import Counted, OutboxId, OutboxRow
from kafka_saga.orchestrator.store.postgres.batches import sendable
from kafka_saga.orchestrator.store.postgres.schema import newest_schema
from kafka_saga.orchestrator.store.postgres.session import Session
from kafka_saga.runtime.errors import ConflictError
from kafka_saga.schemas.codec import decode_trusted

if TYPE_CHECKING:
    from asyncpg import Connection

    from kafka_saga.orchestrator.store.postgres.store import PostgresStore

BURIAL_LOCK_MS = 500
"""A life's last transaction may be open when it is judged: then it is tried again at the next beat (R61)."""

ENDED_KEPT_MS = 7 * 24 * 3_600_000
ENDED_MAX = 1_000
"""Ended lives are kept for people who ask what happened, and for those who wake up after days (R75)."""

_T = TypeVar("_T")


class PostgresMembers:
    """`Members`. Beats have a connection of their own: a batch that waits must not look dead."""

    def __init__(self, store: PostgresStore, reader: Session, beats: Session) -> None:
        self._store = store
        self._reader = reader
        self._beats = beats
        self._follows: set[int] = set()
        """Ended lives whose rows were handed out."""
        self.replica = 0
        self.lanes = 0
        self.window = 0

    @property
    def sums(self) -> Sums:
        return self._store.sums

    async def join(self, joining: Joining) -> None:
        self._follows.clear()
        self.window = joining.window
        self.replica = await self._reader.ask(_in_transaction(lambda connection: self._join(connection, joining)))
        self._store.begin()
        await self._reader.ask(self._compare_clocks)
        await self._store.pauses()

    async def beat(self, window: int) -> tuple[Peer, ...]:
        self.window = window
        return await self._beats.once(self._beat)

    async def bury(self, peer: Peer) -> bool:
        try:
            return await self._beats.once(_in_transaction(lambda connection: self._bury(connection, peer)))
        except ConflictError as error:
            if error.what == "life":
                raise
            return False  # its last transaction is open, or another judge is at it

    async def leave(self) -> None:
        await self._beats.once(lambda connection: connection.execute(self._sql("leave"), self.replica))

    async def inherit(self) -> list[OutboxRow]:
        follows, left = await self._reader.ask(_in_transaction(self._inherit))
        self._follows |= follows  # not before it is committed: an attempt without an answer is made again
        for row in left:
            self._store.owe(row.outbox_id, len(row.messages))
        return left

    async def withhold(self, rows: Mapping[OutboxId, str]) -> None:
        writers, numbers = [row.writer for row in rows], [row.seq for row in rows]
        await self._reader.ask(
            lambda connection: connection.execute(self._sql("withhold"), writers, numbers, list(rows.values()))
        )

    async def horizon(self) -> Horizon:
        return await self._reader.ask(self._horizon)

    def own(self, lanes: Lanes) -> None:
        self._store.own(lanes)

    async def close(self) -> None:
        """End the session of the beats."""
        await self._beats.close()

    def _sql(self, name: str) -> str:
        return self._store.sql[name]

    async def _join(self, connection: Connection, joining: Joining) -> int:
        now = self._store.now()
        who = [sendable(text) for text in (joining.name, joining.program, joining.definitions)]
        # First who must wait for the batches of others, then whom they could wait for.
        await connection.execute(self._sql("join_lanes"), joining.lanes)
        replica = int(await connection.fetchval(self._sql("join"), *who, now, joining.window, newest_schema()))
        await connection.execute(self._sql("join_beat"), replica)
        await connection.execute(self._sql("join_ended"))
        await connection.execute(self._sql("join_forget"), now - ENDED_KEPT_MS, ENDED_MAX)
        await connection.execute(self._sql("join_forget_beats"))
        await connection.execute(self._sql("join_sums"), replica)
        await self._read_sums(connection)
        return replica

    async def _beat(self, connection: Connection) -> tuple[Peer, ...]:
        await connection.execute(self._sql("beat"), self.replica)
        peers = tuple(Peer(*row) for row in await connection.fetch(self._sql("peers")))
        await self._read_sums(connection)
        await self._compare_clocks(connection)
        return peers

    async def _bury(self, connection: Connection, peer: Peer) -> bool:
        await connection.execute(f"SET LOCAL lock_timeout = {BURIAL_LOCK_MS}")
        await self._lock_lives(connection, self.replica, peer.replica)
        if await connection.execute(self._sql("bury"), self.replica, peer.replica, peer.beat) != "UPDATE 1":
            return False
        await connection.execute(self._sql("take_over"), self.replica, peer.replica)
        return True

    async def _inherit(self, connection: Connection) -> tuple[set[int], list[OutboxRow]]:
        await self._lock_lives(connection, self.replica)
        await connection.execute(self._sql("follow"), self.replica)
        follows = {replica for (replica,) in await connection.fetch(self._sql("inherited"), self.replica)}
        new = sorted(follows - self._follows)
        found = await connection.fetch(self._sql("left_behind"), new) if new else []
        await connection.execute(self._sql("owe"), self.replica, new, sum(row["messages"] for row in found))
        return follows, [
            OutboxRow(OutboxId(writer, seq), created_at, rows.read_messages(content))
            for writer, seq, created_at, _count, content in found
        ]

    async def _horizon(self, connection: Connection) -> Horizon:
        counted = await connection.fetch(self._sql("horizon_topics"))
        drained = await connection.fetch(self._sql("horizon_partitions"))
        [(next_wake_at, oldest_unsent_at, outage_ended_at, withheld)] = await connection.fetch(self._sql("horizon"))
        return Horizon(
            next_wake_at,
            {topic: Counted(partitions, at) for topic, partitions, at in counted},
            {TopicPartition(topic, partition): at for topic, partition, at in drained},
            oldest_unsent_at,
            outage_ended_at or 0,
            {} if withheld is None else decode_trusted(withheld),
        )

    async def _read_sums(self, connection: Connection) -> None:
        [found] = await connection.fetch(self._sql("sums"))
        self._store.sums = Sums(*(int(number or 0) for number in found))

    async def _compare_clocks(self, connection: Connection) -> None:
        [(server_ms, newest_ms)] = await connection.fetch(self._sql("clock"))
        self._store.time.compare(server_ms, newest_ms or 0)

    async def _lock_lives(self, connection: Connection, *lives: int) -> None:
        states = await connection.fetch(self._sql("lock_lives"), lives)
        if (self.replica, "live") not in {tuple(state) for state in states}:
            raise ConflictError("this life of the replica is over", what="life")


def _in_transaction(work: Callable[[Connection], Awaitable[_T]]) -> Callable[[Connection], Awaitable[_T]]:
    async def done(connection: Connection) -> Any:
        async with connection.transaction():
            return await work(connection)

    return done
