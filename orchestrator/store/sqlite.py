"""The SQLite store: one file, one writer, one transaction a batch (R22, R24, R27).

The connection is handed in, so that the simulator can run this very SQL deterministically. Because nobody else
writes sagas, the rows in flight are kept in memory too: a reply is decided without reading its saga again. The
compare-and-set on `version` still guards every write, and a failed write forgets everything kept.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from pathlib import Path
from typing import TypeVar

from kafka_saga.messaging.records import TopicPartition
from kafka_saga.orchestrator.machine.pausing import Pause
from kafka_saga.orchestrator.machine.saga import Saga
from kafka_saga.orchestrator.machine.states import SagaState
from kafka_saga.orchestrator.store import act_rows, migrations, purging, rows
from kafka_saga.orchestrator.store.kept import KeptRows
from kafka_saga.orchestrator.store.lives import Life, read_life
from kafka_saga.orchestrator.store.moved import MOVED_TO, check_here
from kafka_saga.orchestrator.store.port import (
    ActOutcome,
    Advance,
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
from kafka_saga.orchestrator.store.presence import check_free
from kafka_saga.orchestrator.store.retention import Asker, Purged, PurgeStep, QueuedPurge
from kafka_saga.orchestrator.store.statements import SQL
from kafka_saga.orchestrator.store.tables import SqliteTables
from kafka_saga.runtime.clock import Clock, ForwardClock, new_id
from kafka_saga.runtime.errors import ConflictError
from kafka_saga.runtime.failpoints import failpoint
from kafka_saga.runtime.migrations import migrate
from kafka_saga.runtime.soundness import check_at_start
from kafka_saga.runtime.sqlite import SqlConnection, open_inline, transaction
from kafka_saga.runtime.store_lock import StoreLock
from kafka_saga.runtime.wal import truncate_wal, wal_bytes
from kafka_saga.schemas.codec import encode
from kafka_saga.schemas.ids import SagaRef

IDS_PER_QUERY = 500
"""Well below SQLite's limit of parameters, large enough that a batch is a handful of queries."""


_Item = TypeVar("_Item")

LOCK_OWNER = "saga orchestrator"


async def open_store(path: Path, clock: Clock, *, moving_to: str | None = None) -> SqliteStore:
    """Open the store at `path`, creating it where there is none.

    Args:
        path: the file.
        clock: the store's.
        moving_to: where it is being moved; one that was moved there already may be opened.

    Raises:
        StoreRefusedError: another orchestrator has it open, a newer program wrote it, the file is no store, or its
            store was moved elsewhere.
        StoreUnavailableError: the file cannot be opened.
        BrokenStoreError: the file is damaged, or its disk is full or broken.

    """
    check_free(path)
    lock = StoreLock(path)
    await lock.take(LOCK_OWNER, clock)
    try:
        connection = await open_inline(path)
        try:
            await check_at_start(connection, path, after_crash=lock.after_crash)
            store = await SqliteStore.create(connection, clock, name=str(path), lock=lock, path=path)
            if store.moved_to != moving_to:
                check_here(path, store.moved_to)
            lock.opened()
        except BaseException:
            await connection.close()
            raise
    except BaseException:
        lock.release()
        raise
    return store


class SqliteStore:
    """`Store` on one `SqlConnection`."""

    def __init__(
        self, connection: SqlConnection, clock: Clock, lock: StoreLock | None, path: Path | None = None
    ) -> None:
        self._connection = connection
        self._tables = SqliteTables(connection)
        self._path = path
        self._clock = ForwardClock(clock, 0)
        self._lock = lock
        self._store_id = ""
        self.moved_to: str | None = None
        """Where the store is now, if this file was left behind."""
        self._kept = KeptRows()
        self._has_purged: bool | None = None
        """Whether anything was ever purged, so that who never purges never asks; None where that must be looked up."""

    @classmethod
    async def create(
        cls,
        connection: SqlConnection,
        clock: Clock,
        *,
        name: str = "the store",
        lock: StoreLock | None = None,
        path: Path | None = None,
    ) -> SqliteStore:
        """The store on `connection`, its schema brought up to date."""
        await migrate(connection, migrations.__name__, store=name)
        failpoint("orchestrator.start.migrated")
        store = cls(connection, clock, lock, path)
        async with transaction(connection):
            await connection.execute(SQL["new_store"], (new_id(),))
        meta: dict[str, str] = dict(await connection.fetch_all(SQL["meta"]))
        store._store_id, store.moved_to = meta["store_id"], meta.get(MOVED_TO)
        store._clock = ForwardClock(clock, int(meta["clock"]))
        return store

    @property
    def store_id(self) -> str:
        return self._store_id

    def now(self) -> int:
        return self._clock.now_ms()

    async def load(self, refs: Iterable[SagaRef]) -> dict[SagaRef, Known]:
        found: dict[SagaRef, Known] = {}
        missing: dict[str, list[str]] = {}
        kept = self._kept.rows
        for ref in refs:
            known = kept.get(ref)
            if known is None:
                missing.setdefault(ref.saga_type, []).append(ref.saga_id)
            else:
                found[ref] = known
        for saga_type, ids in missing.items():
            for chunk in _chunks(ids, IDS_PER_QUERY):
                sql = SQL["load"].replace("?ids", ", ".join("?" * len(chunk)))
                for row in await self._connection.fetch_all(sql, (saga_type, *chunk)):
                    saga = rows.read_saga(row)
                    found[saga.ref] = Known(saga, row[rows.HASH_COLUMN])
        return found

    async def pending(self, limit: int, paused_types: Collection[str] = ()) -> list[SagaRef]:
        paused = encode(list(paused_types)).decode()
        return [SagaRef(*row) for row in await self._connection.fetch_all(SQL["pending"], (limit, paused))]

    async def due(self, now: int, limit: int) -> list[SagaRef]:
        return [SagaRef(*row) for row in await self._connection.fetch_all(SQL["due"], (now, limit))]

    async def next_wake_at(self) -> int | None:
        [(wake_at,)] = await self._connection.fetch_all(SQL["next_wake_at"])
        return None if wake_at is None else int(wake_at)

    async def waiting_acts(self, limit: int) -> list[QueuedAct | UnreadableAct]:
        return [act_rows.read_queued(row) for row in await self._connection.fetch_all(SQL["waiting_acts"], (limit,))]

    async def commit(self, batch: Batch) -> OutboxId | None:
        try:
            async with transaction(self._connection):
                await self._check_kept(batch.unchanged)
                keys = await self._write_sagas(batch)
                outbox_id = await self._write_messages(batch)
                await self._write_offsets(batch.offsets)
                if batch.resets:
                    await self._connection.execute_many(SQL["note_loss"], rows.loss_rows(batch.resets, batch.now))
                await self._write_acts(batch.acts, batch.now)
                if batch.noted:
                    noted = [act_rows.noted_row(act, batch.now) for act in batch.noted]
                    await self._connection.execute_many(SQL["note_act"], noted)
                await self._write_pauses(batch.pauses)
                await self._write_outage(batch.outage)
                await self._connection.execute(SQL["tick"], (str(batch.now),))
                failpoint("orchestrator.commit.before")
        except BaseException:
            # Also after a commit whose outcome is unknown: what is kept may then be behind the file.
            self._kept.clear()
            self._has_purged = None
            raise
        self._kept.written(batch, keys)
        return outbox_id

    def locked(self, _refs: Iterable[SagaRef], /) -> AbstractAsyncContextManager[None]:
        return nullcontext()  # one process has the file (R24)

    async def outbox(self) -> list[OutboxRow]:
        return [
            OutboxRow(OutboxId(0, seq), created_at, rows.read_messages(content))
            for seq, created_at, content in await self._connection.fetch_all(SQL["outbox"])
        ]

    async def life(self) -> Life:
        return await read_life(self._connection)

    async def outage(self) -> Outage:
        meta: dict[str, str] = dict(await self._connection.fetch_all(SQL["meta"]))
        return Outage(int(meta.get("outage_ended_at", 0)), meta.get("outage") == "on")

    async def offsets(self) -> dict[TopicPartition, int]:
        found = await self._connection.fetch_all(SQL["offsets"])
        return {TopicPartition(topic, partition): following for topic, partition, following in found}

    async def losses(self) -> list[Loss]:
        return rows.read_losses(await self._connection.fetch_all(SQL["losses"]))

    async def count_states(self) -> dict[SagaState, int]:
        return {SagaState(state): count for state, count in await self._connection.fetch_all(SQL["count_states"])}

    async def pauses(self) -> dict[str, Pause]:
        return rows.read_pauses(await self._connection.fetch_all(SQL["pauses"]))

    async def held(self, scope: str, limit: int) -> list[SagaRef]:
        return [SagaRef(*row) for row in await self._connection.fetch_all(SQL["held"], (scope, limit))]

    async def count_held(self) -> dict[tuple[str, SagaState], int]:
        found = await self._connection.fetch_all(SQL["count_held"])
        return {(scope, SagaState(state)): count for scope, state, count in found}

    async def count_pending_of(self, saga_types: Collection[str]) -> int:
        [(count,)] = await self._connection.fetch_all(SQL["count_pending_of"], (encode(list(saga_types)).decode(),))
        return int(count)

    async def unfinished_versions(self) -> set[tuple[str, int]]:
        return {(saga_type, version) for saga_type, version in await self._connection.fetch_all(SQL["versions"])}

    async def unfinished_of(self, saga_type: str, version: int, limit: int) -> list[SagaRef]:
        found = await self._connection.fetch_all(SQL["unfinished_of"], (saga_type, version, limit))
        return [SagaRef(*row) for row in found]

    async def register(self, definitions: Sequence[Registered]) -> Mapping[tuple[str, int], Meaning]:
        async with transaction(self._connection):
            await self._connection.execute_many(SQL["register"], definitions)
        found = await self._connection.fetch_all(SQL["definitions"])
        return {(saga_type, version): Meaning(*meaning) for saga_type, version, *meaning in found}

    async def load_purged(self, refs: Iterable[SagaRef]) -> dict[SagaRef, Purged]:
        if self._has_purged is None:
            [(found,)] = await self._connection.fetch_all(SQL["any_purged"])
            self._has_purged = bool(found)
        return await purging.load(self._tables, refs) if self._has_purged else {}

    async def waiting_purges(self) -> list[QueuedPurge]:
        return await purging.waiting(self._tables)

    async def purge(self, queued: QueuedPurge, rows_max: int) -> PurgeStep:
        self._has_purged = None
        return await purging.purge(self._tables, queued, rows_max, self.now())

    async def forget_purged(self, before: int, rows_max: int) -> int:
        return await purging.forget_purged(self._tables, before, rows_max)

    async def forget_acts(self, before: int, from_key: int, rows_max: int) -> PurgeStep:
        return await purging.forget_acts(self._tables, before, from_key, rows_max)

    async def queue_purge(self, queued: QueuedPurge, asker: Asker) -> None:
        """Note a purge that an operator asked for, to be carried out by this process."""
        await purging.queue(self._tables, queued, asker, self.now())

    async def compact(self) -> None:
        """Write the file anew without the space that is free in it. Nothing else can be done meanwhile."""
        await self._connection.execute("VACUUM")
        await self.tidy()

    async def tidy(self) -> bool:
        return await truncate_wal(self._connection)

    def held_bytes(self) -> int:
        return 0 if self._path is None else wal_bytes(self._path)

    async def watch(self, clock: Clock) -> None:
        """Look on, and never return, while the file under the store's name is the one that is open (R24).

        Raises:
            BrokenStoreError: it is not any more.

        """
        assert self._lock is not None, "only a store that `open_store` opened has a file of its own"
        await self._lock.watch(clock)

    async def close(self) -> None:
        await self._connection.close()
        if self._lock is not None:
            self._lock.release()

    async def _check_kept(self, unchanged: Sequence[Saga]) -> None:
        """What is kept may be behind the file where somebody else writes it: a reply it does not want would be lost."""
        kept = self._kept.versions(unchanged)
        for chunk in _chunks(list(kept), IDS_PER_QUERY):
            sql = SQL["versions_of"].replace("?ids", ", ".join("?" * len(chunk)))
            if dict(await self._connection.fetch_all(sql, chunk)) != {row: kept[row] for row in chunk}:
                raise ConflictError("a saga was changed meanwhile, and what was ignored may be wanted", what="sagas")

    async def _write_sagas(self, batch: Batch) -> dict[SagaRef, int]:
        """Insert, update and log; the keys of the new rows."""
        keys: dict[SagaRef, int] = {}
        if batch.started:
            [(next_key,)] = await self._connection.fetch_all(SQL["next_key"])
            keys = {started.saga.ref: next_key + place for place, started in enumerate(batch.started)}
            inserted = await self._connection.execute_many(
                SQL["insert_saga"],
                [rows.insert_row(keys[new.saga.ref], new.saga, new.request_hash) for new in batch.started],
            )
            if inserted != len(batch.started):
                raise ConflictError("a new saga's id was taken meanwhile", what="ids")
        if batch.changed:
            updated = await self._connection.execute_many(
                SQL["update_saga"], [rows.update_row(change.saga, change.version_read) for change in batch.changed]
            )
            if updated != len(batch.changed):
                raise ConflictError("a saga was changed meanwhile", what="sagas")
        if batch.log:
            places = {**{change.saga.ref: change.saga.row for change in batch.changed}, **keys}
            await self._connection.execute_many(
                SQL["insert_log"], [rows.log_row(places[ref], entry) for ref, entry in batch.log]
            )
        return keys

    async def _write_messages(self, batch: Batch) -> OutboxId | None:
        if batch.published:
            await self._connection.execute_many(SQL["delete_outbox"], [(seq,) for _, seq in batch.published])
        if batch.rewritten:
            left = [(len(left), rows.messages_content(left), seq) for (_, seq), left in batch.rewritten.items()]
            await self._connection.execute_many(SQL["rewrite_outbox"], left)
        if not batch.messages:
            return None
        content = rows.messages_content(batch.messages)
        [(seq,)] = await self._connection.fetch_all(
            SQL["insert_outbox"], (self._store_id, batch.now, len(batch.messages), content)
        )
        return OutboxId(0, seq)

    async def _write_offsets(self, offsets: Mapping[TopicPartition, Advance]) -> None:
        new = [(*tp, step.next) for tp, step in offsets.items() if step.read_from is None]
        moved = [(step.next, *tp, step.read_from) for tp, step in offsets.items() if step.read_from is not None]
        written = 0
        if new:
            written += await self._connection.execute_many(SQL["insert_offset"], new)
        if moved:
            written += await self._connection.execute_many(SQL["move_offset"], moved)
        if written != len(offsets):
            raise ConflictError("another owner has read these partitions meanwhile", what="offsets")

    async def _write_acts(self, acts: Sequence[ActOutcome], now: int) -> None:
        if acts:
            decided = [(act.outcome, act.message, now, act.act_id) for act in acts]
            if await self._connection.execute_many(SQL["decide_act"], decided) != len(acts):
                raise ConflictError("an act was decided meanwhile", what="acts")

    async def _write_pauses(self, pauses: Mapping[str, Pause | None]) -> None:
        for scope, pause in pauses.items():
            if pause is None:
                await self._connection.execute(SQL["lift_pause"], (scope,))
            else:
                await self._connection.execute(SQL["set_pause"], rows.pause_row(pause))

    async def _write_outage(self, outage: Outage | None) -> None:
        if outage is not None:
            notes = [("outage_ended_at", str(outage.ended_at)), ("outage", "on" if outage.is_on else "over")]
            await self._connection.execute_many(SQL["note"], notes)


def _chunks(items: Sequence[_Item], size: int) -> Iterable[Sequence[_Item]]:
    return (items[start : start + size] for start in range(0, len(items), size))
