"""The store on SQLite: the fence, the offsets and the service's own tables in one file, on one connection."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from itertools import takewhile
from pathlib import Path
from typing import Self

from kafka_saga.messaging.records import TopicPartition
from kafka_saga.participants.command import FenceKey
from kafka_saga.participants.fence import FenceRow, Status
from kafka_saga.participants.store.port import Prepare, PruneStep, Workplace
from kafka_saga.participants.store.sqlite_workplace import SqliteWorkplace
from kafka_saga.runtime.clock import new_id
from kafka_saga.runtime.errors import ConflictError, StoreRefusedError
from kafka_saga.runtime.failpoints import failpoint
from kafka_saga.runtime.identity import identify
from kafka_saga.runtime.migrations import GUEST_SCHEMA_TABLE, SCHEMA_TABLE, first_migration, has_table, migrate
from kafka_saga.runtime.replacing import check_finished
from kafka_saga.runtime.soundness import check_at_start
from kafka_saga.runtime.sqlite import InlineConnection, Row, SqlConnection, open_inline, transaction
from kafka_saga.runtime.wal import truncate_wal
from kafka_saga.schemas.codec import encode

MIGRATIONS = "kafka_saga.participants.store.migrations"

# All rows of the batch's sagas: a service has one or two steps in a saga, so few rows come that nobody asked for,
# and one JSON parameter keeps the statement the same, whatever the number of commands.
_LOAD = """
SELECT saga_type, saga_id, step, status, action_epoch, compensation_epoch,
       action_reply, compensation_reply, call, started_at, updated_at
FROM saga_fence WHERE saga_id IN (SELECT value FROM json_each(?))
"""

_SAVE = """
INSERT INTO saga_fence (saga_type, saga_id, step, status, action_epoch, compensation_epoch,
                   action_reply, compensation_reply, call, started_at, updated_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (saga_id, step, saga_type) DO UPDATE SET
    status = excluded.status, action_epoch = excluded.action_epoch, compensation_epoch = excluded.compensation_epoch,
    action_reply = excluded.action_reply, compensation_reply = excluded.compensation_reply, call = excluded.call,
    updated_at = excluded.updated_at
"""

# Rows are in order of age, so no index on time is needed: the first one that is still young ends the walk.
_OLDEST = "SELECT rowid, started_at, updated_at, status FROM saga_fence WHERE rowid >= ? ORDER BY rowid LIMIT ?"
_FORGET = "DELETE FROM saga_fence WHERE rowid IN (SELECT value FROM json_each(?))"

_FIRST_OFFSET = (
    "INSERT INTO saga_offsets (next, updated_at, topic, partition) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING"
)
_MOVE_OFFSET = "UPDATE saga_offsets SET next = ?, updated_at = ? WHERE topic = ? AND partition = ? AND next = ?"

_NEW_NAMES = """
BEGIN IMMEDIATE;
ALTER TABLE fence RENAME TO saga_fence;
DROP INDEX fence_key;
CREATE UNIQUE INDEX saga_fence_key ON saga_fence (saga_id, step, saga_type);
ALTER TABLE offsets RENAME TO saga_offsets;
ALTER TABLE meta RENAME TO saga_meta;
ALTER TABLE schema_version RENAME TO saga_migrations;
COMMIT;
"""

_OUR_TABLES = frozenset({"saga_fence", "saga_offsets", "saga_meta", GUEST_SCHEMA_TABLE})


class SqliteStore:
    """`ParticipantStore` on SQLite. Open it with `open_store`."""

    def __init__(self, connection: SqlConnection, store_id: str) -> None:
        self._connection = connection
        self._store_id = store_id

    @classmethod
    async def on(cls, connection: SqlConnection, *, name: str) -> Self:
        """The store in the database of `connection`, brought up to date; `name` is for messages.

        Raises:
            StoreRefusedError: a newer program wrote it.

        """
        await _take_new_names(connection)
        await migrate(connection, MIGRATIONS, store=name, schema_table=GUEST_SCHEMA_TABLE)
        failpoint("participant.start.migrated")
        async with transaction(connection):
            await connection.execute("INSERT INTO saga_meta VALUES ('store_id', ?) ON CONFLICT DO NOTHING", (new_id(),))
        [(store_id,)] = await connection.fetch_all("SELECT value FROM saga_meta WHERE name = 'store_id'")
        return cls(connection, store_id)

    @property
    def store_id(self) -> str:
        return self._store_id

    @property
    def connection(self) -> SqlConnection:
        return self._connection

    @property
    def is_shared(self) -> bool:
        return False

    @property
    def commands_max(self) -> int | None:
        return None

    def workplace(self) -> Workplace:
        assert isinstance(self._connection, InlineConnection), "handlers write inline"
        return SqliteWorkplace(self._connection, self._connection.confine(_OUR_TABLES))

    async def ready(self) -> bool:
        return False

    async def prepare(self, prepare: Prepare) -> None:
        await prepare(self._connection)

    def transaction(self, *, alone: bool = False) -> AbstractAsyncContextManager[None]:  # noqa: ARG002 -- it always is
        return transaction(self._connection)

    async def newest_ms(self) -> int:
        newest = "SELECT updated_at FROM saga_fence ORDER BY rowid DESC LIMIT 1"
        [(at_ms,)] = await self._connection.fetch_all(
            f"SELECT max(coalesce(({newest}), 0), coalesce((SELECT max(updated_at) FROM saga_offsets), 0))"  # noqa: S608
        )
        return int(at_ms)

    async def load(self, keys: Iterable[FenceKey]) -> dict[FenceKey, FenceRow]:
        wanted = set(keys)
        if not wanted:
            return {}
        saga_ids = encode(sorted({key.saga_id for key in wanted})).decode()
        rows: dict[FenceKey, FenceRow] = {}
        for values in await self._connection.fetch_all(_LOAD, (saga_ids,)):
            key = FenceKey(*values[:3])
            if key in wanted:
                status = Status.UNDOING if _is_undoing(values) else Status(values[3])
                rows[key] = FenceRow(key, status, *values[4:])
        return rows

    async def save(self, rows: Iterable[FenceRow]) -> None:
        values = [(*row.key, row.status.value if row.call is None else Status.STARTED.value, *row[2:]) for row in rows]
        await self._connection.execute_many(_SAVE, values)

    async def prune(self, before_ms: int, from_row: int, rows_max: int) -> PruneStep:
        rows = await self._connection.fetch_all(_OLDEST, (from_row, rows_max))
        old = list(takewhile(lambda row: row[1] < before_ms, rows))
        gone = [
            number for number, _, updated_at, status in old if updated_at < before_ms and status != Status.STARTED.value
        ]
        if gone:
            await self._connection.execute(_FORGET, (encode(gone).decode(),))
        return PruneStep(len(gone), old[-1][0] + 1 if len(old) == rows_max else None)

    async def tidy(self) -> bool:
        return await truncate_wal(self._connection)

    async def offsets(self) -> dict[TopicPartition, int]:
        rows = await self._connection.fetch_all("SELECT topic, partition, next FROM saga_offsets")
        return {TopicPartition(topic, partition): offset for topic, partition, offset in rows}

    async def move_offsets(
        self, expected: Mapping[TopicPartition, int | None], to: Mapping[TopicPartition, int], now_ms: int
    ) -> None:
        for partition, offset in to.items():
            before = expected.get(partition)
            if before is None:
                changed = await self._connection.execute(_FIRST_OFFSET, (offset, now_ms, *partition))
            else:
                changed = await self._connection.execute(_MOVE_OFFSET, (offset, now_ms, *partition, before))
            if not changed:
                topic, number = partition
                raise ConflictError(
                    f"another process moved the offset of {topic}[{number}] in this store, which has one owner: "
                    "stop it, then start again"
                )

    async def close(self) -> None:
        await self._connection.close()


def _is_undoing(row: Row) -> bool:
    """`undoing` is stored as `started`, with the reply of the action that was done before.

    To the table both are one thing, a call that is open, and its check knows no other word. A new check would mean
    to write all rows anew, at the first start of every service.
    """
    return row[8] is not None and row[6] is not None


async def _take_new_names(connection: SqlConnection) -> None:
    """Rename the tables of a database that was begun when they had no names of their own."""
    if await has_table(connection, GUEST_SCHEMA_TABLE) or not await has_table(connection, SCHEMA_TABLE):
        return
    columns = {name for (name,) in await connection.fetch_all("SELECT name FROM pragma_table_info(?)", (SCHEMA_TABLE,))}
    begun = "SELECT 1 FROM schema_version WHERE version = 1 AND name = ?"
    if columns == {"version", "name"} and await connection.fetch_all(begun, (first_migration(MIGRATIONS),)):
        await connection.run_script(_NEW_NAMES)


async def open_store(path: Path | str, *, after_crash: bool = False) -> SqliteStore:
    """Open, or create, the store at `path`; `":memory:"` gives one for tests.

    The connection runs statements inline and only commits in a thread: commands are many and tiny.

    Args:
        path: the database file.
        after_crash: its last owner was killed, so it is checked whatever its size.

    Raises:
        StoreUnavailableError: the file cannot be opened.
        BrokenStoreError: the file is not a sound SQLite database.
        StoreRefusedError: a newer program wrote it, or it is an orchestrator's store.

    """
    if isinstance(path, Path):
        check_free(path)
    connection: InlineConnection = await open_inline(path)
    try:
        if isinstance(path, Path):
            await check_at_start(connection, path, after_crash=after_crash)
        return await SqliteStore.on(connection, name=str(path))
    except BaseException:
        await connection.close()
        raise


def check_free(path: Path) -> None:
    """Refuse to use a file that is another's. A service's own database, with its tables, is where the fence belongs.

    Raises:
        StoreRefusedError: it is an orchestrator's store, or another program's; or a restore of it was interrupted.
        BrokenStoreError: it is no database.

    """
    check_finished(path)
    found = identify(path)
    if found is None or found.first_migration == first_migration(MIGRATIONS):
        return
    if found.table("step_log") is not None:
        raise StoreRefusedError(f"{path} is an orchestrator's store, not a participant's database: name another file")
    taken = found.tables & _OUR_TABLES
    if taken:
        names = ", ".join(sorted(taken))
        raise StoreRefusedError(f"{path} has tables of another program that are called as ours ({names}): name another")
