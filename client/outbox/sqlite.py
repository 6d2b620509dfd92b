"""The outbox in a SQLite file: one relay at a time, and no lock on the file while it publishes."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from kafka_saga.client.outbox.rows import OutboxRow, Publish
from kafka_saga.runtime.clock import Clock
from kafka_saga.runtime.errors import StoreRefusedError, StoreUnavailableError
from kafka_saga.runtime.sqlite import SqlConnection, open_beside, transaction
from kafka_saga.schemas.codec import encode

_TAKE = """
SELECT seq, id, aggregatetype, aggregateid, type, payload FROM {table}
WHERE aggregatetype NOT IN (SELECT value FROM json_each(?1))
    AND aggregatetype || '/' || aggregateid NOT IN (SELECT value FROM json_each(?1))
ORDER BY seq LIMIT ?2
"""
_DELETE = "DELETE FROM {table} WHERE seq IN (SELECT value FROM json_each(?))"
_POLL_MS = 50


class SqliteOutbox:
    """`OutboxDatabase` in a file."""

    def __init__(self, path: Path, table: str, clock: Clock) -> None:
        self._path = path
        self._table = table
        self._clock = clock
        self._take = _TAKE.format(table=table)
        self._delete = _DELETE.format(table=table)
        self._connection: SqlConnection | None = None
        self._lock: int | None = None
        self._version: object = None

    async def open(self) -> None:
        await self.close()
        self._lock = self._locked()
        self._connection = await open_beside(self._path)
        if not await self._connection.fetch_all(
            "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?", (self._table,)
        ):
            raise StoreRefusedError(
                f"{self._path} has no table {self._table}: `saga outbox ddl --sqlite` prints what makes it"
            )

    async def relay(self, publish: Publish, without: Collection[str], rows_max: int) -> int:
        connection = self._open()
        found = await connection.fetch_all(self._take, (encode(list(without)).decode(), rows_max))
        rows = [OutboxRow(*row) for row in found]
        if rows:
            stored = [row.seq for row in await publish(rows)]
            async with transaction(connection):
                await connection.execute(self._delete, (encode(stored).decode(),))
        return len(rows)

    async def wait(self, timeout_ms: int) -> None:
        connection, until_ms = self._open(), self._clock.monotonic_ms() + timeout_ms
        while self._clock.monotonic_ms() < until_ms:
            version = await connection.fetch_all("PRAGMA data_version")  # another connection has written something
            if version != self._version:
                self._version = version
                return
            await self._clock.sleep(_POLL_MS)

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()
        lock, self._lock = self._lock, None
        if lock is not None:
            with suppress(OSError):
                os.close(lock)

    def _locked(self) -> int:
        """The lock that one relay of this file has, and loses when its process ends."""
        path = self._path.with_name(f"{self._path.name}.outbox-relay.lock")
        try:
            lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise StoreUnavailableError(f"cannot open {path}: {error.strerror}") from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(lock)
            raise StoreUnavailableError(f"another relay has the outbox of {self._path}; this one waits") from error
        return lock

    def _open(self) -> SqlConnection:
        assert self._connection is not None, "open() first"
        return self._connection
