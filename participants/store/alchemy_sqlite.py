"""SQLAlchemy's `AsyncSession` on SQLite: the same store, through the connection that SQLAlchemy holds."""

from __future__ import annotations

from collections.abc import Awaitable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from sqlite3 import OperationalError
from typing import Any, Self

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker

from kafka_saga.participants.store.alchemy import AlchemyFile, Sessions, flushed
from kafka_saga.participants.store.port import Prepare, Workplace
from kafka_saga.participants.store.sqlite import SqliteStore, check_free
from kafka_saga.participants.store.sqlite_workplace import ROLLED_BACK, SqliteSavepoints
from kafka_saga.participants.undone import TransactionLostError
from kafka_saga.runtime.soundness import check_at_start
from kafka_saga.schemas.envelope import CommandHead


class AlchemySqliteStore(SqliteStore):
    """`ParticipantStore` whose file SQLAlchemy has open. Open it with `open_alchemy`."""

    _file: AlchemyFile
    _maker: async_sessionmaker[Any] | None

    @classmethod
    async def in_file(cls, file: AlchemyFile, maker: async_sessionmaker[Any] | None, *, name: str) -> Self:
        """The store in an open file; `name` is for messages."""
        store = await cls.on(file.driver, name=name)
        store._file, store._maker = file, maker  # noqa: SLF001 -- ours
        return store

    def workplace(self) -> Workplace:
        return AlchemySqliteWorkplace(self._file, Sessions(self._maker, self._file.confined))

    async def prepare(self, prepare: Prepare) -> None:
        await self._file.prepare(prepare)

    def transaction(self, *, alone: bool = False) -> AbstractAsyncContextManager[None]:  # noqa: ARG002 -- it always is
        return self._file.transaction()

    async def close(self) -> None:
        await self._file.close()


class AlchemySqliteWorkplace(SqliteSavepoints):
    """`Workplace` on SQLite; handlers are given an `AsyncSession`."""

    def __init__(self, file: AlchemyFile, sessions: Sessions) -> None:
        super().__init__()
        self._file = file
        self._sessions = sessions

    async def enter(self, head: CommandHead, now_ms: int, limit_ms: int) -> AsyncSession:  # noqa: ARG002 -- a context has them
        await self._file.driver.execute(self._savepoint)
        return self._sessions.open(self._file.connection)

    def finish(self, given: AsyncSession) -> Awaitable[int]:
        return flushed(given)

    def shut(self) -> None:
        self._sessions.shut()

    async def leave(self, given: AsyncSession, *, keep: bool) -> str | None:
        self.shut()
        failure: SQLAlchemyError | None = await self._sessions.close(given, self._file.connection, keep=keep)
        try:
            if not keep or failure is not None:
                await self._file.driver.execute(self._undo)
            await self._file.driver.execute(self._keep)
        except OperationalError:
            raise TransactionLostError(ROLLED_BACK) from None
        return None if failure is None else f"the session of {{handler}} could not be committed: {failure}"


async def open_alchemy(
    path: Path | str, maker: async_sessionmaker[Any] | None, *, after_crash: bool = False
) -> AlchemySqliteStore:
    """Open, or create, the store at `path`, for handlers that take an `AsyncSession`.

    Raises:
        As `sqlite.open_store`.

    """
    if isinstance(path, Path):
        check_free(path)
    file = await AlchemyFile.open(path)
    try:
        if isinstance(path, Path):
            await check_at_start(file.driver, path, after_crash=after_crash)
        return await AlchemySqliteStore.in_file(file, maker, name=str(path))
    except BaseException:
        await file.close()
        raise
