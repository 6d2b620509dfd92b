"""SQLAlchemy's `AsyncSession` for handlers, on either database (R79).

The worker holds one `AsyncConnection`, and the guard writes through the driver's connection behind it: both are in one
transaction. Each command gets a session of its own that joins it with a savepoint, so that a user's `commit()` and
`rollback()` end there. What would reach further is refused when the statement is about to be sent.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from sqlalchemy import event
from sqlalchemy.engine import Connection as SyncConnection
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.pool import NullPool

from kafka_saga.participants.store.port import Prepare
from kafka_saga.participants.undone import TransactionLostError
from kafka_saga.runtime.errors import CommitRefusedError, UsageError
from kafka_saga.runtime.sql_text import NOT_YOURS, check_statement
from kafka_saga.runtime.sqlite import BEGIN, ThreadedConnection, configured, translated_errors

if TYPE_CHECKING:
    import aiosqlite

_SAVEPOINTS_MADE = "_Connection__savepoint_seq"
"""What SQLAlchemy names them by, counted for as long as a connection is open."""

_OF_A_SESSION = re.compile(r"(SAVEPOINT|RELEASE SAVEPOINT|ROLLBACK TO SAVEPOINT) sa_savepoint_\d+")
"""What sessions send to begin and end what is theirs."""


class Confined:
    """Watches an engine's statements. Its owner sets `is_on` while users' code runs."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.is_on = False
        sync = engine.sync_engine
        event.listen(sync, "before_cursor_execute", self._check)
        event.listen(sync, "commit", self._refuse)
        event.listen(sync, "rollback", self._refuse)

    def _check(self, _connection: SyncConnection, _cursor: object, statement: str, *_: object) -> None:
        if self.is_on and not _OF_A_SESSION.fullmatch(statement):
            check_statement(statement)

    def _refuse(self, _connection: SyncConnection) -> None:
        if self.is_on:
            raise UsageError(NOT_YOURS)


class Sessions:
    """Sessions for commands, one after the other, as the user's own `async_sessionmaker` makes them."""

    def __init__(self, maker: async_sessionmaker[Any] | None, confined: Confined) -> None:
        self._maker = maker or async_sessionmaker()
        self._confined = confined

    def open(self, connection: AsyncConnection) -> AsyncSession:
        """A session that is in the transaction of `connection`, as far as its savepoint."""
        self._confined.is_on = True
        # Each command's savepoints have the same names: drivers prepare every text that they have not seen.
        setattr(connection.sync_connection, _SAVEPOINTS_MADE, 0)
        return cast(
            "AsyncSession",
            self._maker(bind=connection, join_transaction_mode="create_savepoint", close_resets_only=False),
        )

    def shut(self) -> None:
        """The handler has ended."""
        self._confined.is_on = False

    async def close(self, session: AsyncSession, connection: AsyncConnection, *, keep: bool) -> SQLAlchemyError | None:
        """End a session, and its savepoint; why it could not be kept, where that is so.

        Raises:
            TransactionLostError: the session's user has tried to end the transaction of `connection`.

        """
        failure: SQLAlchemyError | None = None
        if keep:
            try:
                await session.commit()
            except SQLAlchemyError as error:
                failure = error
        with suppress(SQLAlchemyError):  # its savepoint may be gone: whether ours is, is asked next
            await session.close()
        left = connection.get_nested_transaction() if failure is not None else None
        if left is not None:
            with suppress(SQLAlchemyError):  # it knows that it failed, and its connection must not
                await left.rollback()
        root = connection.get_transaction()
        if root is None or not root.is_active:  # refused, and SQLAlchemy takes it for done
            raise TransactionLostError("{handler} tried to end the transaction of its whole batch{said}")
        return failure


def flushed(session: AsyncSession) -> Awaitable[int]:
    """Have what a handler has only added to its session written, while its errors are still the handler's."""
    return _flush(session)


async def _flush(session: AsyncSession) -> int:
    await session.flush()
    return 0


async def abandoned(connection: AsyncConnection) -> None:
    """Throw a connection away, whatever it is at."""
    with suppress(SQLAlchemyError, OSError):
        await connection.invalidate()
    with suppress(SQLAlchemyError, OSError):
        await connection.close()


def engine_on(url: str, connect: Callable[[], Awaitable[Any]]) -> AsyncEngine:
    """An engine whose one connection is made by `connect`."""
    return create_async_engine(url, async_creator=connect, poolclass=NullPool)


class AlchemyFile:
    """A SQLite file as SQLAlchemy has it: one connection, and the guard's way through it."""

    def __init__(
        self, engine: AsyncEngine, connection: AsyncConnection, driver: ThreadedConnection, path: Path | str
    ) -> None:
        """Use `open`."""
        self.connection = connection
        self.driver = driver
        self.confined = Confined(engine)
        self._engine = engine
        self._path = path

    @classmethod
    async def open(cls, path: Path | str) -> AlchemyFile:
        """Open the file at `path`, the way that keeps its promises."""
        engine = create_async_engine(
            f"sqlite+aiosqlite:///{path}", poolclass=NullPool, connect_args={"isolation_level": None}
        )
        event.listen(engine.sync_engine, "begin", _begin_to_write)
        with translated_errors(path):
            connection = await engine.connect()
            raw = await connection.get_raw_connection()
            driver = await configured(ThreadedConnection(cast("aiosqlite.Connection", raw.driver_connection), path))
        return cls(engine, connection, driver, path)

    async def prepare(self, prepare: Prepare) -> None:
        """Have the service's tables made, in a transaction."""
        async with self.connection.begin():
            await prepare(self.connection)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[None]:
        """One write transaction."""
        transaction = await self.connection.begin()
        try:
            yield
            with translated_errors(self._path):
                await transaction.commit()
        except IntegrityError as error:  # a deferred constraint: nothing was committed
            await self._undo(transaction)
            raise CommitRefusedError(str(error.orig)) from error
        except BaseException:
            await self._undo(transaction)
            raise

    async def _undo(self, transaction: Any) -> None:
        with suppress(SQLAlchemyError):  # a statement that had SQLite roll back left nothing to
            await transaction.rollback()
        await self.driver.rollback()  # whatever SQLAlchemy believes

    async def close(self) -> None:
        """Close the file."""
        await self.connection.close()
        await self._engine.dispose()


def _begin_to_write(connection: SyncConnection) -> None:
    connection.exec_driver_sql(BEGIN)
