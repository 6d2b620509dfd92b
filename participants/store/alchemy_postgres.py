"""SQLAlchemy's `AsyncSession` on PostgreSQL: the worker's connection, and where handlers write."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any, cast

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, async_sessionmaker

from kafka_saga.participants.store.alchemy import Confined, Sessions, abandoned, engine_on, flushed
from kafka_saga.participants.store.port import Prepare
from kafka_saga.participants.store.postgres_session import Workshop
from kafka_saga.participants.store.postgres_workplace import PostgresSavepoints
from kafka_saga.participants.undone import TransactionLostError
from kafka_saga.runtime.errors import StoreUnavailableError
from kafka_saga.runtime.postgres_sql import PostgresSql
from kafka_saga.schemas.envelope import CommandHead

if TYPE_CHECKING:
    from asyncpg import Connection


class AlchemySession:
    """`Session` whose connection SQLAlchemy holds."""

    def __init__(self, workshop: Workshop) -> None:
        self.workshop = workshop
        self.service_lock = 0
        self.is_in_handlers = False
        self._engine = engine_on("postgresql+asyncpg://", self._connect)
        self.confined = Confined(self._engine)
        self.was_given_up = False
        """The connection was thrown away on this side (an await was cancelled, a session invalidated)."""
        event.listen(self._engine.sync_engine.pool, "invalidate", self._note)
        self._alchemys: AsyncConnection | None = None
        self._driver: Connection | None = None
        self._transaction: Any = None

    @property
    def connection(self) -> Connection:
        if self._driver is None:
            raise StoreUnavailableError(f"{self.workshop.url}: the connection is gone")
        return self._driver

    @property
    def alchemys(self) -> AsyncConnection:
        """The connection as SQLAlchemy has it."""
        if self._alchemys is None:
            raise StoreUnavailableError(f"{self.workshop.url}: the connection is gone")
        return self._alchemys

    async def ready(self) -> bool:
        if self._driver is not None and not self._driver.is_closed():
            return False
        await self.discard()
        self._alchemys = await self._engine.connect()
        raw = await self._alchemys.get_raw_connection()
        self._driver = cast("Connection", raw.driver_connection)
        return True

    def _note(self, _connection: object, _record: object, error: BaseException | None) -> None:
        self.was_given_up = not isinstance(error, Exception)

    async def begin(self) -> None:
        self.was_given_up = False
        self._transaction = await self.alchemys.begin()
        await self.alchemys.exec_driver_sql("SELECT 1")  # it begins with the first statement, by the driver's means

    async def commit(self) -> None:
        await self._transaction.commit()

    async def rollback(self) -> None:
        await self._transaction.rollback()

    async def discard(self) -> None:
        connection, self._alchemys, self._driver = self._alchemys, None, None
        if connection is not None:
            await abandoned(connection)

    async def close(self) -> None:
        await self.discard()
        await self._engine.dispose()

    async def _connect(self) -> Connection:
        connection, self.service_lock = await self.workshop.connect()
        return connection


class AlchemyGiving:
    """`Giving` of an `AsyncSession`; of an `AsyncConnection` to `prepare`."""

    def __init__(self, session: AlchemySession, maker: async_sessionmaker[Any] | None) -> None:
        self._session = session
        self._maker = maker

    def workplace(self, sql: PostgresSql) -> AlchemyPostgresWorkplace:  # noqa: ARG002 -- it writes otherwise
        return AlchemyPostgresWorkplace(self._session, Sessions(self._maker, self._session.confined))

    async def prepare(self, prepare: Prepare, sql: PostgresSql) -> None:  # noqa: ARG002 -- it writes otherwise
        async with self._session.alchemys.begin():
            await prepare(self._session.alchemys)


class AlchemyPostgresWorkplace(PostgresSavepoints):
    """`Workplace` on PostgreSQL; handlers are given an `AsyncSession`."""

    def __init__(self, session: AlchemySession, sessions: Sessions) -> None:
        super().__init__(session)
        self._alchemy = session
        self._sessions = sessions

    async def enter(self, head: CommandHead, now_ms: int, limit_ms: int) -> AsyncSession:  # noqa: ARG002 -- a context has them
        await self.stand(limit_ms)
        return self._sessions.open(self._alchemy.alchemys)

    def finish(self, given: AsyncSession) -> Awaitable[int]:
        return flushed(given)

    def shut(self) -> None:
        self._sessions.shut()

    async def leave(self, given: AsyncSession, *, keep: bool) -> str | None:
        self.shut()
        if self._alchemy.was_given_up:  # not the server's doing: waiting for it would have the command met for ever
            raise TransactionLostError("{handler} had a statement cancelled, and with it the connection{said}")
        failure = await self._sessions.close(given, self._alchemy.alchemys, keep=keep)
        refused = await self.end(keep=keep and failure is None)
        if failure is not None and refused is None:
            return f"the session of {{handler}} could not be committed: {failure}"
        return refused
