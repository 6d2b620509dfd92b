"""A connection to the store's server that is made anew when it breaks, and never used again once it has (R68)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, TypeVar

import asyncpg

from kafka_saga.orchestrator.store.location import PostgresLocation
from kafka_saga.orchestrator.store.postgres.conflicts import conflict_of
from kafka_saga.runtime.clock import Clock
from kafka_saga.runtime.errors import SagaError, StoreUnavailableError
from kafka_saga.runtime.limits import POSTGRES_ANSWER_TIMEOUT_MS, POSTGRES_CLOSE_TIMEOUT_MS
from kafka_saga.runtime.patience import Patience
from kafka_saga.runtime.postgres import SessionLimits, connect, in_our_words

if TYPE_CHECKING:
    from asyncpg import Connection

_T = TypeVar("_T")

_WHY = "no new sagas begin and nothing times out until it answers; what is decided is published"


class Session:
    """One connection; who asks while another does waits.

    Args:
        at: the store.
        application: what `pg_stat_activity` shows.
        clock: for rests.
        stopping: ends a wait for the server.
        greet: what is done first on each new connection.

    """

    def __init__(
        self,
        at: PostgresLocation,
        *,
        application: str,
        clock: Clock,
        stopping: asyncio.Event,
        greet: Callable[[Connection], Awaitable[None]] | None = None,
    ) -> None:
        self._at = at
        self._application = application
        self._clock = clock
        self._stopping = stopping
        self._connection: Connection | None = None
        self._greet = greet
        self._turn = asyncio.Lock()

    async def once(self, work: Callable[[Connection], Awaitable[_T]]) -> _T:
        """Do `work` on the connection, which is made where there is none.

        Raises:
            ConflictError: the server says that somebody else was first; the connection is as good as before.
            StoreUnavailableError: no answer came. It may have been done, and the connection is gone.
            StoreRefusedError: the server does not let us in, or not do this.

        """
        async with self._turn:
            if self._connection is None:
                self._connection = await self._connect()
            return await self._answer(self._connection, work)

    async def _answer(self, connection: Connection, work: Callable[[Connection], Awaitable[_T]]) -> _T:
        try:
            async with asyncio.timeout(POSTGRES_ANSWER_TIMEOUT_MS / 1_000):
                return await work(connection)
        except TimeoutError as error:
            self.drop()
            raise StoreUnavailableError(f"{self._at} did not answer in time") from error
        except StoreUnavailableError:
            self.drop()
            raise
        except SagaError:
            raise
        except Exception as error:
            conflict = conflict_of(error)
            if conflict is not None:
                raise conflict from error
            self.drop()
            ours = in_our_words(error, self._at.url)
            if ours is None:
                raise
            raise ours from error
        except BaseException:
            self.drop()  # cancelled: nobody knows what the server does now
            raise

    def patience(self) -> Patience:
        """For one thing that may have to wait for the server."""
        return Patience(self._clock, self._stopping, _WHY)

    async def ask(self, work: Callable[[Connection], Awaitable[_T]]) -> _T:
        """As `once`, for what may be done twice: again until there is an answer.

        Raises:
            StoreUnavailableError: this process was told to stop meanwhile.

        """
        patience = self.patience()
        answer = await self.ask_with(patience, work)
        patience.answered()
        return answer

    async def ask_with(self, patience: Patience, work: Callable[[Connection], Awaitable[_T]]) -> _T:
        """The same within a longer wait, whose end is another's to tell."""
        while True:
            try:
                return await self.once(work)
            except StoreUnavailableError as error:
                await patience.unanswered(error)

    async def roll_back(self) -> None:
        """End the transaction that is open; the server does it itself where the connection is gone."""
        if self._connection is not None:
            with suppress(StoreUnavailableError):
                await self.once(lambda connection: connection.execute("ROLLBACK"))

    def drop(self) -> None:
        """Break the connection off: its answers could be those to another question."""
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None

    async def close(self) -> None:
        """End the session in good order, where the server answers."""
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                await connection.close(timeout=POSTGRES_CLOSE_TIMEOUT_MS / 1_000)
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                connection.terminate()

    async def _connect(self) -> Connection:
        connection = await connect(self._at.url, application=self._application, limits=SessionLimits())
        try:
            # Plans may be made while the tables are empty, and are kept: an index, in its order, is always right here.
            await connection.execute("SET enable_seqscan = off; SET enable_bitmapscan = off")
            if self._greet is not None:
                await self._greet(connection)
        except BaseException:
            connection.terminate()
            raise
        return connection
