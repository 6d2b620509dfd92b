"""The outbox on PostgreSQL: any number of relays, each with rows that are locked for as long as it publishes them."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from typing import TYPE_CHECKING

from kafka_saga.client.outbox.rows import OutboxRow, Publish
from kafka_saga.client.outbox.table import channel_of
from kafka_saga.runtime.errors import StoreRefusedError
from kafka_saga.runtime.limits import POSTGRES_ANSWER_TIMEOUT_MS, POSTGRES_CLOSE_TIMEOUT_MS, PUBLISH_TIMEOUT_MS
from kafka_saga.runtime.postgres import PostgresUrl, SessionLimits, connect, translated_errors

if TYPE_CHECKING:
    import asyncpg

# Only the first row of each saga: whoever has it locked publishes it before anybody sees the second.
_TAKE = """
SELECT seq, id::text, aggregatetype, aggregateid, type, payload FROM {table} AS taken
WHERE NOT ARRAY[aggregatetype, aggregatetype || '/' || aggregateid] && $2::text[] AND NOT EXISTS (
    SELECT 1 FROM {table} AS earlier WHERE earlier.aggregatetype = taken.aggregatetype
        AND earlier.aggregateid = taken.aggregateid AND earlier.seq < taken.seq
)
ORDER BY seq LIMIT $1 FOR UPDATE OF taken SKIP LOCKED
"""
_DELETE = "DELETE FROM {table} WHERE seq = ANY ($1::bigint[])"

_LIMITS = SessionLimits(idle_in_transaction_ms=2 * PUBLISH_TIMEOUT_MS)
"""A transaction waits for Kafka."""


class PostgresOutbox:
    """`OutboxDatabase` on a server."""

    def __init__(self, url: PostgresUrl, table: str) -> None:
        self._url = url
        self._table = table
        self._take = _TAKE.format(table=table)
        self._delete = _DELETE.format(table=table)
        self._connection: asyncpg.Connection | None = None
        self._rung = asyncio.Event()

    async def open(self) -> None:
        await self.close()
        with translated_errors(self._url):
            async with _in_time():
                self._connection = connection = await connect(
                    self._url, application="saga outbox relay", limits=_LIMITS
                )
                if await connection.fetchval("SELECT to_regclass($1)", self._table) is None:
                    raise StoreRefusedError(
                        f"{self._url} has no table {self._table}: `saga outbox ddl --postgresql` prints what makes it"
                    )
                await connection.add_listener(channel_of(self._table), self._ring)

    async def relay(self, publish: Publish, without: Collection[str], rows_max: int) -> int:
        connection = self._open()
        try:
            with translated_errors(self._url):
                return await self._relay(connection, publish, without, rows_max)
        except BaseException:
            await self.close()  # the server undoes what it has begun, and gives the rows back
            raise

    async def _relay(
        self, connection: asyncpg.Connection, publish: Publish, without: Collection[str], rows_max: int
    ) -> int:
        async with _in_time():
            await connection.execute("BEGIN")
            rows = [OutboxRow(*row) for row in await connection.fetch(self._take, rows_max, list(without))]
        stored = await publish(rows) if rows else ()
        async with _in_time():
            if stored:
                await connection.execute(self._delete, [row.seq for row in stored])
            await connection.execute("COMMIT")
        return len(rows)

    async def wait(self, timeout_ms: int) -> None:
        self._open()
        try:
            async with asyncio.timeout(timeout_ms / 1_000):
                await self._rung.wait()
        except TimeoutError:
            return
        finally:
            self._rung.clear()

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                await connection.close(timeout=POSTGRES_CLOSE_TIMEOUT_MS / 1_000)
            except Exception:  # noqa: BLE001 -- it is gone either way
                connection.terminate()

    def _open(self) -> asyncpg.Connection:
        assert self._connection is not None, "open() first"
        return self._connection

    def _ring(self, *_: object) -> None:
        self._rung.set()


def _in_time() -> asyncio.Timeout:
    """A server that hangs is one that is away."""
    return asyncio.timeout(POSTGRES_ANSWER_TIMEOUT_MS / 1_000)
