"""The store on PostgreSQL: one replica's object of a store that many share (R60-R75).

It writes on one connection, a batch a call, and reads on another; its beats have a third. Rows of its own lanes are
kept in memory. A question is asked until there is an answer, so an outage of the server is a pause and no error; a
commit of which no answer came is looked up before anything is decided (R68).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from kafka_saga.messaging.records import TopicPartition
from kafka_saga.orchestrator.machine.pausing import Pause
from kafka_saga.orchestrator.machine.states import SagaState
from kafka_saga.orchestrator.store import act_rows, purging, rows
from kafka_saga.orchestrator.store.kept import KeptRows
from kafka_saga.orchestrator.store.lives import LIFE, Life, read_fields
from kafka_saga.orchestrator.store.location import PostgresLocation
from kafka_saga.orchestrator.store.members import Lanes, Sums
from kafka_saga.orchestrator.store.port import (
    Batch,
    Known,
    Loss,
    Meaning,
    Outage,
    OutboxId,
    OutboxRow,
    QueuedAct,
    Registered,
    UnreadableAct,
)
from kafka_saga.orchestrator.store.postgres.batches import arguments, commit_statements
from kafka_saga.orchestrator.store.postgres.bell import Bell
from kafka_saga.orchestrator.store.postgres.conflicts import LOST_COMMITS, keys_of
from kafka_saga.orchestrator.store.postgres.members import PostgresMembers
from kafka_saga.orchestrator.store.postgres.owed import Owed
from kafka_saga.orchestrator.store.postgres.schema import bring_up_to_date, statements_of
from kafka_saga.orchestrator.store.postgres.server_time import ServerTime
from kafka_saga.orchestrator.store.postgres.session import Session
from kafka_saga.orchestrator.store.postgres.tables import RENEWING, PostgresTables, check_whole
from kafka_saga.orchestrator.store.retention import Purged, PurgeStep, QueuedPurge
from kafka_saga.runtime.clock import Clock
from kafka_saga.runtime.errors import UNWRITTEN, BrokenStoreError, ConflictError, StoreUnavailableError
from kafka_saga.runtime.failpoints import failpoint
from kafka_saga.schemas.ids import SagaRef

if TYPE_CHECKING:
    from asyncpg import Connection

LOCK_WAIT_MS = 5_000
"""So long a batch that has conflicted waits for the rows it wants (R67)."""

ANYONES_ACT_MS = 10_000
"""An act that waited for longer is anyone's: its lane has no owner (R74)."""

_T = TypeVar("_T")
_Row = tuple[Any, ...]


async def open_store(
    at: PostgresLocation,
    clock: Clock,
    *,
    stopping: asyncio.Event | None = None,
    time: ServerTime | None = None,
    renews: bool = False,
) -> PostgresStore:
    """Open the store at `at`, its schema brought up to date. It has no life before `members.join`.

    Args:
        at: the database and the schema.
        clock: for durations and rests.
        stopping: ends a wait for the server.
        time: what tells the server's time here.
        renews: it is opened to begin a new life (R59), maybe for the second time.

    Raises:
        StoreRefusedError: the schema belongs to a newer program or another product, or the role may not do this.
        StoreUnavailableError: the server does not answer.

    """
    store = PostgresStore(at, clock, stopping or asyncio.Event(), time or ServerTime(clock))
    try:
        await store.prepare(renews=renews)
    except BaseException:
        await store.close()
        raise
    return store


class PostgresStore:
    """`SharedStore` on PostgreSQL. Open it with `open_store`."""

    def __init__(self, at: PostgresLocation, clock: Clock, stopping: asyncio.Event, time: ServerTime) -> None:
        def session(what: str, greet: Callable[[Connection], Awaitable[None]] | None = None) -> Session:
            name = f"saga orchestrator ({what})"
            return Session(at, application=name, clock=clock, stopping=stopping, greet=greet)

        self.at = at
        self.sql = statements_of(at.schema)
        self.time = time
        self.sums = Sums()
        self._commit = commit_statements(at.schema)
        self._bell = Bell()
        self._writer, self._reader = session("writes"), session("reads")
        self.members = PostgresMembers(self, self._reader, session("beats", self._bell.listen))
        self._kept = KeptRows()
        self._locked: dict[SagaRef, Known] = {}
        self._in_transaction = False
        self._lanes = Lanes()
        self._store_id = ""
        self._settings = 0
        self._batch = 0
        self._owed = Owed()
        self._patience = self._writer.patience()
        """With a server that does not take batches; it may answer all other questions meanwhile."""

    async def prepare(self, *, renews: bool) -> None:
        """Bring the schema up to date, and learn who the store is."""
        meta = await self._writer.once(self._migrated)
        check_whole({key: value for key, value in meta.items() if not (renews and key == RENEWING)}, self.at)
        self._store_id = meta["store_id"]

    async def _migrated(self, connection: Connection) -> dict[str, str]:
        await bring_up_to_date(connection, self.at)
        failpoint("orchestrator.start.migrated")
        return dict(map(tuple, await connection.fetch(self.sql["meta"])))

    @property
    def store_id(self) -> str:
        return self._store_id

    def now(self) -> int:
        return self.time.now_ms()

    async def load(self, refs: Iterable[SagaRef]) -> dict[SagaRef, Known]:
        found: dict[SagaRef, Known] = {}
        missing: dict[str, list[str]] = {}
        for ref in refs:
            known = self._locked.get(ref) or self._kept.rows.get(ref)
            if known is None:
                missing.setdefault(ref.saga_type, []).append(ref.saga_id)
            else:
                found[ref] = known
        for saga_type, ids in missing.items():
            read = _known(await self._ask("load", saga_type, ids))
            self._kept.read(known for ref, known in read.items() if self._is_mine(ref))
            found |= read
        return found

    async def pending(self, limit: int, paused_types: Collection[str] = ()) -> list[SagaRef]:
        return _refs(await self._ask("pending", limit, list(paused_types), *self._own_lanes()))

    async def due(self, now: int, limit: int) -> list[SagaRef]:
        return _refs(await self._ask("due", now, limit, *self._own_lanes()))

    async def next_wake_at(self) -> int | None:
        [(wake_at,)] = await self._ask("next_wake_at")
        return None if wake_at is None else int(wake_at)

    async def waiting_acts(self, limit: int) -> list[QueuedAct | UnreadableAct]:
        now = self.now()
        if not self._bell.is_time(now):
            return []
        found = await self._ask("waiting_acts", limit, *self._own_lanes(), now - ANYONES_ACT_MS)
        self._bell.asked(now, more=len(found) == limit)
        return [act_rows.read_queued(row) for row in found]

    async def commit(self, batch: Batch) -> OutboxId | None:
        row = OutboxId(self.members.replica, self._batch + 1)
        owed = self._owed.after(batch, row)
        given = arguments(
            batch,
            replica=self.members.replica,
            number=row.seq,
            settings=self._settings,
            window=self.members.window,
            unsent=owed.messages,
            verified={} if self._in_transaction else self._kept.versions(batch.unchanged),
        )
        failpoint("orchestrator.commit.before")
        try:
            answer = await self._writer.once(lambda connection: self._call(connection, given))
        except StoreUnavailableError as error:
            self._in_transaction = False  # that ended with its connection
            self.forget()
            await self._patience.unanswered(error)
            await self._after_doubt()
        except ConflictError as error:
            self._kept.drop(keys_of(error))
            self._bell.ring()
            raise
        except BaseException:
            self.forget()
            raise
        else:
            self._in_transaction = False
            self.sums = Sums(*(int(number or 0) for number in answer[1:]))
            started = sorted(new.saga.ref for new in batch.started)
            self._kept.written(batch, dict(zip(started, answer[0] or (), strict=True)))
            for ref in [new.saga.ref for new in batch.started if not self._is_mine(new.saga.ref)]:
                self._kept.rows.pop(ref, None)
        self._patience.answered()
        self._batch, self._owed = row.seq, owed
        self._settings += bool(batch.pauses) or batch.lanes is not None
        self.members.lanes = batch.lanes or self.members.lanes
        return row if batch.messages else None

    @asynccontextmanager
    async def locked(self, refs: Iterable[SagaRef], /) -> AsyncIterator[None]:
        wanted: dict[str, list[str]] = {}
        for ref in refs:
            wanted.setdefault(ref.saga_type, []).append(ref.saga_id)
            self._kept.rows.pop(ref, None)
        self._locked = await self._writer.ask(lambda connection: self._lock(connection, wanted))
        self._kept.read(known for ref, known in self._locked.items() if self._is_mine(ref))
        self._in_transaction = True
        try:
            yield
        finally:
            self._locked = {}
            if self._in_transaction:
                self._in_transaction = False
                await self._writer.roll_back()

    async def outbox(self) -> list[OutboxRow]:
        return [
            OutboxRow(OutboxId(writer, seq), created_at, rows.read_messages(content))
            for writer, seq, created_at, content in await self._ask("outbox")
        ]

    async def outage(self) -> Outage:
        found = await self._ask("outage", self.members.replica)
        return Outage(*found[0]) if found else Outage()

    async def life(self) -> Life:
        meta: dict[str, str] = dict(await self._ask("meta"))
        return read_fields(meta[LIFE], await self._ask("told_errors")) if LIFE in meta else Life()

    async def offsets(self) -> dict[TopicPartition, int]:
        found = await self._ask("offsets")
        return {TopicPartition(topic, partition): following for topic, partition, following in found}

    async def losses(self) -> list[Loss]:
        return rows.read_losses(await self._ask("losses"))

    async def count_states(self) -> dict[SagaState, int]:
        return {SagaState(state): count for state, count in await self._ask("count_states")}

    async def pauses(self) -> dict[str, Pause]:
        found = await self._ask("settings")
        self._settings, self.members.lanes = found[0][:2]
        return rows.read_pauses([row[2:] for row in found if row[2] is not None])

    async def held(self, scope: str, limit: int) -> list[SagaRef]:
        return _refs(await self._ask("held", scope, limit, *self._own_lanes()))

    async def count_held(self) -> dict[tuple[str, SagaState], int]:
        return {(scope, SagaState(state)): count for scope, state, count in await self._ask("count_held")}

    async def count_pending_of(self, saga_types: Collection[str]) -> int:
        [(count,)] = await self._ask("count_pending_of", list(saga_types))
        return int(count)

    async def unfinished_versions(self) -> set[tuple[str, int]]:
        return {(saga_type, version) for saga_type, version in await self._ask("versions")}

    async def unfinished_of(self, saga_type: str, version: int, limit: int) -> list[SagaRef]:
        return _refs(await self._ask("unfinished_of", saga_type, version, limit))

    async def register(self, definitions: Sequence[Registered]) -> Mapping[tuple[str, int], Meaning]:
        await self._reader.ask(lambda connection: connection.executemany(self.sql["register"], definitions))
        found = await self._ask("definitions")
        return {(saga_type, version): Meaning(*meaning) for saga_type, version, *meaning in found}

    async def load_purged(self, refs: Iterable[SagaRef]) -> dict[SagaRef, Purged]:
        wanted = list(refs)
        return await self._upkeep(lambda tables: purging.load(tables, wanted))

    async def waiting_purges(self) -> list[QueuedPurge]:
        return await self._upkeep(purging.waiting)

    async def purge(self, queued: QueuedPurge, rows_max: int) -> PurgeStep:
        return await self._upkeep(lambda tables: purging.purge(tables, queued, rows_max, self.now()))

    async def forget_purged(self, before: int, rows_max: int) -> int:
        return await self._upkeep(lambda tables: purging.forget_purged(tables, before, rows_max))

    async def forget_acts(self, before: int, from_key: int, rows_max: int) -> PurgeStep:
        return await self._upkeep(lambda tables: purging.forget_acts(tables, before, from_key, rows_max))

    async def tidy(self) -> bool:
        return True  # that is the server's own work

    def held_bytes(self) -> int:
        return 0

    async def close(self) -> None:
        await self.members.close()
        await self._reader.close()
        await self._writer.close()

    def forget(self) -> None:
        """Drop every row in memory."""
        self._kept.clear()

    def begin(self) -> None:
        """A new life has begun: nothing of the one before holds."""
        self.forget()
        self._batch = 0
        self._owed = Owed()

    def own(self, lanes: Lanes) -> None:
        """See `Members.own`."""
        self._lanes = lanes
        self._bell.ring()
        self.forget()

    def owe(self, row: OutboxId, messages: int) -> None:
        """A row of another's is ours to publish."""
        self._owed.rows[row] = messages

    async def _ask(self, name: str, *params: Any) -> list[_Row]:
        async def fetched(connection: Connection) -> list[_Row]:
            return [tuple(row) for row in await connection.fetch(self.sql[name], *params)]

        return await self._reader.ask(fetched)

    async def _upkeep(self, work: Callable[[PostgresTables], Awaitable[_T]]) -> _T:
        return await self._reader.ask(lambda connection: work(PostgresTables(connection, self.at)))

    async def _call(self, connection: Connection, given: list[Any]) -> _Row:
        answer = await connection.fetchrow(self._commit[len(given)], *given)
        assert answer is not None, "a function returns a row"
        if self._in_transaction:
            await connection.execute("COMMIT")
        return tuple(answer)

    async def _lock(self, connection: Connection, wanted: Mapping[str, list[str]]) -> dict[SagaRef, Known]:
        keys = [
            key
            for saga_type, ids in wanted.items()
            for (key,) in await connection.fetch(self.sql["keys"], saga_type, ids)
        ]
        await connection.execute(f"BEGIN; SET LOCAL lock_timeout = {LOCK_WAIT_MS}")
        try:
            return _known(await connection.fetch(self.sql["lock"], keys))
        except BaseException:
            if not connection.is_closed():
                await connection.execute("ROLLBACK")
            raise

    async def _after_doubt(self) -> None:
        """No answer came to a commit: what became of it (R68).

        Raises:
            ConflictError: it was not done, or our life is over.
            BrokenStoreError: the server has lost what it had acknowledged.

        """
        replica = self.members.replica
        found = await self._writer.ask_with(
            self._patience, lambda connection: connection.fetch(self.sql["life_of"], replica)
        )
        state, done = found[0] if found else ("dead", await self._done_by_whom_nobody_knows(replica))
        if done < self._batch:
            raise BrokenStoreError(f"{self.at}: {LOST_COMMITS}")
        if state != "live":
            raise ConflictError("this life of the replica is over", what="life")
        if done == self._batch:
            raise ConflictError("the commit was not done", what=UNWRITTEN)

    async def _done_by_whom_nobody_knows(self, replica: int) -> int:
        """All, where there were lives since: ours is forgotten. Else the server does not even know that it began."""
        [(is_forgotten,)] = await self._ask("has_later_lives", replica)
        return self._batch if is_forgotten else -1

    def _is_mine(self, ref: SagaRef) -> bool:
        return self._lanes.owns_all or self._lanes.has(ref)

    def _own_lanes(self) -> tuple[list[int] | None, int]:
        lanes = self._lanes
        return (None if lanes.owns_all else sorted(lanes.mine)), lanes.count


def _refs(found: Iterable[_Row]) -> list[SagaRef]:
    return [SagaRef(*row) for row in found]


def _known(found: Iterable[Any]) -> dict[SagaRef, Known]:
    read = ((rows.read_saga(tuple(row)), row[rows.HASH_COLUMN]) for row in found)
    return {saga.ref: Known(saga, request_hash) for saga, request_hash in read}
