"""The store on PostgreSQL: the fence and the offsets beside the service's own tables, for as many workers as there are.

The fence is a unique key and a row lock (R77). Rows of a batch that exist are locked as they are read, in the order of
their keys; one that does not is won by inserting it. Who inserts fewer than he sent has lost: another worker handled a
copy meanwhile, and all that this batch did is rolled back.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Protocol

import asyncpg

from kafka_saga.messaging.records import TopicPartition
from kafka_saga.participants.command import FenceKey
from kafka_saga.participants.fence import FenceRow, Status
from kafka_saga.participants.store.port import Prepare, PruneStep, Workplace
from kafka_saga.participants.store.postgres_session import CONTENTION, HANDLERS_END, Session, sqlstates_of
from kafka_saga.participants.undone import ContendedError, FenceTakenError, UndoneError
from kafka_saga.runtime.errors import (
    CommitRefusedError,
    ConflictError,
    SagaError,
    StoreFullError,
    StoreUnavailableError,
)
from kafka_saga.runtime.limits import COMMANDS_PER_TRANSACTION_MAX, SOLE_MS
from kafka_saga.runtime.postgres import in_our_words, translated_errors
from kafka_saga.runtime.postgres_sql import PostgresSql, cleaned

MIGRATIONS = "kafka_saga.participants.store.postgres_migrations"

_CLAIMED = "claimed"

# A subquery with a lock is carried out for each key, in the order of the array: that is the order of the locks.
_LOAD = """
SELECT f.* FROM unnest($1::text[], $2::text[], $3::text[]) AS k (saga_id, step, saga_type),
LATERAL (
    SELECT saga_type, saga_id, step, status, action_epoch, compensation_epoch,
           action_reply, compensation_reply, call, started_at, updated_at
    FROM {schema}.saga_fence s WHERE s.saga_id = k.saga_id AND s.step = k.step AND s.saga_type = k.saga_type
    FOR NO KEY UPDATE
) f
"""
_COLUMNS = (
    "saga_type, saga_id, step, status, action_epoch, compensation_epoch, "
    "action_reply, compensation_reply, call, started_at, updated_at"
)
_ROWS = (
    "unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bigint[], $6::bigint[], "
    f"$7::text[], $8::text[], $9::text[], $10::bigint[], $11::bigint[]) AS n ({_COLUMNS})"
)
_INSERT = f"INSERT INTO {{schema}}.saga_fence ({_COLUMNS}) SELECT * FROM {_ROWS} ON CONFLICT DO NOTHING"  # noqa: S608 -- ours
_UPDATE = f"""
UPDATE {{schema}}.saga_fence f SET
    status = n.status, action_epoch = n.action_epoch, compensation_epoch = n.compensation_epoch,
    action_reply = n.action_reply, compensation_reply = n.compensation_reply, call = n.call, updated_at = n.updated_at,
    started_at = CASE f.status WHEN 'claimed' THEN n.started_at ELSE f.started_at END
FROM {_ROWS} WHERE f.saga_id = n.saga_id AND f.step = n.step AND f.saga_type = n.saga_type
"""  # noqa: S608 -- ours
_CLAIM = """
INSERT INTO {schema}.saga_fence
    (saga_id, step, saga_type, status, action_epoch, compensation_epoch, started_at, updated_at)
SELECT *, 'claimed', 0, 0, $4, $4 FROM unnest($1::text[], $2::text[], $3::text[]) ON CONFLICT DO NOTHING
"""
_UNCLAIM = """
DELETE FROM {schema}.saga_fence f USING unnest($1::text[], $2::text[], $3::text[]) AS k (saga_id, step, saga_type)
WHERE f.saga_id = k.saga_id AND f.step = k.step AND f.saga_type = k.saga_type AND f.status = 'claimed'
"""
_FIRST_OFFSETS = """
INSERT INTO {schema}.saga_offsets (topic, partition, next, updated_at)
SELECT topic, partition, next, $4 FROM unnest($1::text[], $2::int[], $3::bigint[]) AS n (topic, partition, next)
ON CONFLICT DO NOTHING
"""
_MOVE_OFFSETS = """
UPDATE {schema}.saga_offsets o SET next = n.next, updated_at = $4
FROM unnest($1::text[], $2::int[], $3::bigint[], $5::bigint[]) AS n (topic, partition, next, expected)
WHERE o.topic = n.topic AND o.partition = n.partition AND o.next = n.expected
"""
_FORGET = """
DELETE FROM {schema}.saga_fence WHERE ctid = ANY(ARRAY(
    SELECT ctid FROM {schema}.saga_fence
    WHERE started_at < $1 AND updated_at < $1 AND status NOT IN ('started', 'undoing')
    LIMIT $2 FOR UPDATE SKIP LOCKED
))
"""
_NEWEST = "SELECT greatest((SELECT max(updated_at) FROM {schema}.saga_offsets), 0)"

_TURN_MS = 50
"""How soon a worker looks again whether another has made the service's tables."""


class Giving(Protocol):
    """What users' code is given."""

    def workplace(self, sql: PostgresSql) -> Workplace:
        """Where handlers write."""
        ...

    async def prepare(self, prepare: Prepare, sql: PostgresSql) -> None:
        """Call `prepare` with what it takes."""
        ...


class PostgresStore:
    """`ParticipantStore` on PostgreSQL. Open it with `opening.open_postgres`."""

    is_shared = True
    commands_max = COMMANDS_PER_TRANSACTION_MAX

    def __init__(self, session: Session, schema: str, store_id: str, giving: Giving) -> None:
        """The store of a database whose tables are there; `session` has a connection."""
        self._session = session
        self._schema = schema
        self._store_id = store_id
        self._giving = giving
        self._sql = PostgresSql(lambda: session.connection)
        self._clock = session.workshop.clock
        self._sole_until_ms = 0
        self._is_alone = False
        self._found: set[FenceKey] = set()
        self._claimed: set[FenceKey] = set()

    @property
    def store_id(self) -> str:
        return self._store_id

    @property
    def connection(self) -> PostgresSql:
        return self._sql

    def workplace(self) -> Workplace:
        return self._giving.workplace(self._sql)

    async def ready(self) -> bool:
        return await self._session.ready()

    async def prepare(self, prepare: Prepare) -> None:
        connection, turn = self._session.connection, self._session.service_lock ^ 1
        with translated_errors(self._session.workshop.url):
            # Of two `CREATE TABLE IF NOT EXISTS` at once one fails: workers that start together take turns.
            while not await connection.fetchval("SELECT pg_try_advisory_lock($1)", turn):
                await self._clock.sleep(_TURN_MS)
            try:
                await self._giving.prepare(prepare, self._sql)
            finally:
                if not connection.is_closed():
                    await connection.execute("SELECT pg_advisory_unlock($1)", turn)

    @asynccontextmanager
    async def transaction(self, *, alone: bool = False) -> AsyncIterator[None]:
        is_sole = self._clock.monotonic_ms() < self._sole_until_ms
        self._is_alone, self._found, self._claimed = alone, set(), set()
        self._session.is_in_handlers = False
        try:
            await self._session.ready()
            await self._session.begin()
            lock = f"pg_advisory_xact_lock{'' if is_sole else '_shared'}"
            await self._session.connection.execute(f"SELECT {lock}({self._session.service_lock})")
            yield
            await self._end()
        except BaseException as error:
            await self._undo(error)
            raised = self._in_our_words(error, is_sole=is_sole)
            if raised is error:
                raise
            raise raised from error

    async def _end(self) -> None:
        if self._claimed:
            await self._run(_UNCLAIM, *_keys(self._claimed))
        try:
            await self._session.commit()
        except Exception as error:
            if any(state.startswith("23") for state in sqlstates_of(error)):
                raise CommitRefusedError(str(getattr(error, "orig", None) or error)) from error
            raise

    async def _undo(self, error: BaseException) -> None:
        """Roll back, or throw the connection away where that may not be enough."""
        if isinstance(
            error, ContendedError | FenceTakenError | CommitRefusedError | ConflictError | StoreFullError
        ) or (isinstance(error, asyncpg.PostgresError) and not isinstance(error, asyncpg.PostgresConnectionError)):
            try:
                await self._session.rollback()
            except Exception:  # noqa: BLE001 -- the first error is told; nothing is kept of this connection
                await self._session.discard()
        else:
            await self._session.discard()

    def _in_our_words(self, error: BaseException, *, is_sole: bool) -> BaseException:
        if isinstance(error, ContendedError) or (
            not isinstance(error, SagaError | UndoneError) and CONTENTION & sqlstates_of(error)
        ):
            self._sole_until_ms = self._clock.monotonic_ms() + SOLE_MS
            return ContendedError(str(error), may_pass=not is_sole)
        if isinstance(error, Exception) and not isinstance(error, SagaError | UndoneError):
            if isinstance(error, asyncpg.InvalidCachedStatementError | asyncpg.OutdatedSchemaCacheError):
                return StoreUnavailableError(
                    f"{self._session.workshop.url}: its tables were changed meanwhile ({error})"
                )
            if isinstance(error, asyncpg.InterfaceError) and self._session_is_gone():
                return StoreUnavailableError(f"{self._session.workshop.url}: the connection broke ({error})")
            return in_our_words(getattr(error, "orig", None) or error, self._session.workshop.url) or error
        return error

    def _session_is_gone(self) -> bool:
        try:
            return self._session.connection.is_closed()
        except StoreUnavailableError:
            return True

    async def newest_ms(self) -> int:
        return int(await self._value(_NEWEST))

    async def load(self, keys: Iterable[FenceKey]) -> dict[FenceKey, FenceRow]:
        wanted = set(keys)
        if not wanted:
            return {}
        columns = _keys(wanted)
        if self._is_alone:
            await self._run(_CLAIM, *columns, 0)
        rows: dict[FenceKey, FenceRow] = {}
        for row in await self._session.connection.fetch(self._text(_LOAD), *columns):
            key = FenceKey(*row[:3])
            self._found.add(key)
            if row[3] == _CLAIMED:
                self._claimed.add(key)
            else:
                rows[key] = FenceRow(key, Status(row[3]), *row[4:])
        return rows

    async def save(self, rows: Iterable[FenceRow]) -> None:
        if self._session.is_in_handlers:
            self._session.is_in_handlers = False
            await self._session.connection.execute(HANDLERS_END)
        ordered = sorted(rows, key=_place)
        known = [row for row in ordered if row.key in self._found]
        new = [row for row in ordered if row.key not in self._found]
        if new and await self._run(_INSERT, *_columns(new)) < len(new):
            raise FenceTakenError(f"another worker has handled one of {len(new)} commands meanwhile")
        if known:
            await self._run(_UPDATE, *_columns(known))

    async def prune(self, before_ms: int, from_row: int, rows_max: int) -> PruneStep:  # noqa: ARG002 -- the index knows
        gone = await self._run(_FORGET, before_ms, rows_max)
        return PruneStep(gone, 1 if gone == rows_max else None)

    async def tidy(self) -> bool:
        return True  # autovacuum's work

    async def offsets(self) -> dict[TopicPartition, int]:
        await self._session.ready()
        query = self._text("SELECT topic, partition, next FROM {schema}.saga_offsets")
        try:
            with translated_errors(self._session.workshop.url):
                rows = await self._session.connection.fetch(query)
        except BaseException:
            await self._session.discard()
            raise
        return {TopicPartition(topic, partition): offset for topic, partition, offset in rows}

    async def move_offsets(
        self, expected: Mapping[TopicPartition, int | None], to: Mapping[TopicPartition, int], now_ms: int
    ) -> None:
        first = sorted(tp for tp in to if expected.get(tp) is None)
        later = sorted(tp for tp in to if expected.get(tp) is not None)
        moved = 0
        if first:
            moved += await self._run(_FIRST_OFFSETS, *_places(first, to), now_ms)
        if later:
            moved += await self._run(_MOVE_OFFSETS, *_places(later, to), now_ms, [expected[tp] for tp in later])
        if moved < len(to):
            raise ConflictError("another worker moved offsets of partitions that were ours", what="offsets")

    async def close(self) -> None:
        await self._session.close()

    def _text(self, statement: str) -> str:
        return statement.replace("{schema}", self._schema)

    async def _run(self, statement: str, *values: Any) -> int:
        status = await self._session.connection.execute(self._text(statement), *values)
        return int(status.rpartition(" ")[2])

    async def _value(self, statement: str) -> Any:
        return await self._session.connection.fetchval(self._text(statement))


def _place(row: FenceRow) -> tuple[str, str, str]:
    return row.key.saga_id, row.key.step, row.key.saga_type


def _keys(keys: Iterable[FenceKey]) -> list[list[str]]:
    """Their columns, in the order in which all workers lock."""
    places = sorted((key.saga_id, key.step, key.saga_type) for key in keys)
    return [list(column) for column in zip(*places, strict=True)]


def _columns(rows: Sequence[FenceRow]) -> list[list[Any]]:
    values = [(*row.key, row.status.value, *map(cleaned, row[2:])) for row in rows]
    return [list(column) for column in zip(*values, strict=True)]


def _places(partitions: Sequence[TopicPartition], to: Mapping[TopicPartition, int]) -> list[list[Any]]:
    return [[tp.topic for tp in partitions], [tp.partition for tp in partitions], [to[tp] for tp in partitions]]
