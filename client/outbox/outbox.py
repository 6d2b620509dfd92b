"""`Outbox.start`: a request as a row in the caller's transaction."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from kafka_saga.client.outbox.table import TABLE, channel_of, check_table, row_id
from kafka_saga.client.requests import request_of
from kafka_saga.client.types import SagaTypes, Startable
from kafka_saga.runtime.errors import UsageError
from kafka_saga.schemas.ids import SagaRef

if TYPE_CHECKING:
    import asyncpg
    from sqlalchemy import TextClause
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession

_INSERT = "INSERT INTO {table} (id, aggregatetype, aggregateid, type, payload)"
_RINGING = "WITH added AS ({insert} RETURNING 1) SELECT pg_notify('{channel}', '') FROM added"
_TWICE = "ON CONFLICT (id) DO NOTHING"


class Outbox:
    """Writes requests for sagas into a table of the caller's own database; a relay publishes them.

    Args:
        types: what it starts, as for `SagaClient`.
        table: what the table is called, with its schema where that is not on the search path.
        notify: on PostgreSQL, wake the relay by NOTIFY when the transaction commits. Without, it looks by itself
            several times a second; where thousands of transactions commit a second, NOTIFY makes them queue.

    """

    def __init__(self, types: Iterable[Startable] | None = None, *, table: str = TABLE, notify: bool = True) -> None:
        self.types = SagaTypes(types)
        self._table = check_table(table)
        self._notify = notify

    async def start(
        self,
        transaction: AsyncSession | AsyncConnection | asyncpg.Connection | asyncpg.pool.PoolConnectionProxy,
        request: BaseModel | Mapping[str, Any],
        *,
        saga_type: str | None = None,
        saga_id: str | None = None,
    ) -> SagaRef:
        """Ask for a saga when `transaction` commits, and only then; its identity.

        The same request twice, while the first is not published, is one row; published twice it is one saga.

        Args:
            transaction: SQLAlchemy's AsyncSession or AsyncConnection (PostgreSQL by asyncpg, SQLite by aiosqlite), or
                an asyncpg connection with a transaction open. It is neither committed nor closed here.
            request: the model of the request, or a JSON document.
            saga_type: which saga, where `request` is a document and the outbox knows several.
            saga_id: the saga's id, where the request does not carry it.

        Raises:
            UsageError: the orchestrator would refuse it, or `transaction` is none; nothing was written.

        """
        ref, value, _actor = request_of(self.types, request, saga_type=saga_type, saga_id=saga_id)
        row = (row_id(ref, value), ref.saga_type, ref.saga_id, f"{ref.saga_type}.requested", value.decode())
        if type(transaction).__module__.startswith("asyncpg"):
            await self._insert_by_asyncpg(transaction, row)
        elif hasattr(transaction, "exec_driver_sql") or hasattr(transaction, "get_bind"):
            await self._insert_by_sqlalchemy(transaction, row)
        else:
            raise UsageError(
                "outbox.start(…) takes SQLAlchemy's AsyncSession or AsyncConnection, or an asyncpg connection: "
                f"{transaction!r} is none"
            )
        return ref

    async def _insert_by_asyncpg(self, connection: Any, row: tuple[str, ...]) -> None:
        if not connection.is_in_transaction():
            raise UsageError(
                "outbox.start(…) is for a transaction, and this connection has none open: "
                "write the order and start its saga inside `async with connection.transaction():`"
            )
        await connection.execute(self._statement(", ".join(f"${n}" for n in range(1, 6)), rings=True), *row)

    async def _insert_by_sqlalchemy(self, transaction: Any, row: tuple[str, ...]) -> None:
        dialect = transaction.get_bind().dialect if hasattr(transaction, "get_bind") else transaction.dialect
        if (dialect.name, dialect.driver) not in {("postgresql", "asyncpg"), ("sqlite", "aiosqlite")}:
            raise UsageError(f"outbox.start(…) knows postgresql+asyncpg and sqlite+aiosqlite, not {dialect.name}")
        on_postgres = dialect.name == "postgresql"
        identity = "CAST(:id AS uuid)" if on_postgres else ":id"
        statement = self._statement(f"{identity}, :saga_type, :saga_id, :type, :payload", rings=on_postgres)
        values = dict(zip(("id", "saga_type", "saga_id", "type", "payload"), row, strict=True))
        await transaction.execute(_text(statement), values)

    def _statement(self, values: str, *, rings: bool) -> str:
        insert = f"{_INSERT.format(table=self._table)} VALUES ({values}) {_TWICE}"
        if not (rings and self._notify):
            return insert
        return _RINGING.format(insert=insert, channel=channel_of(self._table))


@lru_cache(maxsize=64)
def _text(statement: str) -> TextClause:
    from sqlalchemy import text  # noqa: PLC0415 -- an extra

    return text(statement)
