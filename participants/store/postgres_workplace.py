"""Handlers on PostgreSQL: a savepoint for each, one round trip between two, and what their errors mean (R78, R79)."""

from __future__ import annotations

import asyncpg

from kafka_saga.participants.kinds import Kind
from kafka_saga.participants.store.given_connection import GivenConnection, end_access
from kafka_saga.participants.store.port import Prepare
from kafka_saga.participants.store.postgres_session import CONTENTION, HANDLERS_BEGIN, Session, sqlstates_of
from kafka_saga.participants.transaction import Transaction
from kafka_saga.participants.undone import (
    ContendedError,
    TransactionEscapedError,
    TransactionLostError,
    UndoneError,
)
from kafka_saga.runtime.clock import new_id
from kafka_saga.runtime.errors import StoreUnavailableError
from kafka_saga.runtime.postgres import DISK_FULL, disk_full
from kafka_saga.runtime.postgres_sql import PostgresSql
from kafka_saga.schemas.envelope import CommandHead

_GONE = frozenset({"3B001", "25P01"})
"""There is no such savepoint, or no transaction at all."""

_FAILED = "25P02"
_TOO_SLOW = "57014"

GRACE_MS = 250
"""The server ends a statement that takes too long by itself, and the connection goes on; our own end costs it."""


class PostgresSavepoints:
    """What all workplaces on PostgreSQL have in common."""

    grace_ms = GRACE_MS

    def __init__(self, session: Session) -> None:
        self._session = session
        self._savepoint = f"command_{new_id()}"
        self._limit_ms = 0
        self._clock = session.workshop.clock
        self._heard_at_ms = 0
        """When the server last answered a statement of ours: from then on it may wait for a handler."""

    async def stand(self, limit_ms: int) -> None:
        """Have a savepoint, and the handler's limits."""
        name = self._savepoint
        if not self._session.is_in_handlers:
            self._session.is_in_handlers = True
            text = f"{HANDLERS_BEGIN}; SET LOCAL statement_timeout = {limit_ms}; SAVEPOINT {name}"
        elif limit_ms != self._limit_ms:
            text = f"RELEASE {name}; SET LOCAL statement_timeout = {limit_ms}; SAVEPOINT {name}"
        else:
            return  # the last command's end has made it
        self._limit_ms = limit_ms
        await self._session.connection.execute(text)
        self._heard_at_ms = self._clock.monotonic_ms()

    async def end(self, *, keep: bool) -> str | None:
        """End the savepoint and make the next: whether it still stands says that the transaction does."""
        name, connection = self._savepoint, self._session.connection
        try:
            if keep:
                await connection.execute(f"RELEASE {name}; SAVEPOINT {name}")
            else:
                await connection.execute(f"ROLLBACK TO {name}")
        except (asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            if connection.is_closed():
                raise self._broken() from error
            if isinstance(error, asyncpg.InterfaceError):
                raise TransactionLostError(_NOT_AWAITED) from error
            if error.sqlstate in _GONE:
                raise TransactionEscapedError(_ESCAPED) from error
            if error.sqlstate != _FAILED:
                raise
            await connection.execute(f"ROLLBACK TO {name}")
            return "a statement of {handler} failed, and it went on: nothing of it can be kept"
        self._heard_at_ms = self._clock.monotonic_ms()
        return None

    def _broken(self) -> UndoneError | StoreUnavailableError:
        workshop = self._session.workshop
        still_ms = self._clock.monotonic_ms() - self._heard_at_ms
        if still_ms >= workshop.standstill_ms_max:  # not an outage: waiting for it would have the command met for ever
            return TransactionLostError(
                f"{{handler}} blocked the process for {still_ms} ms, and the server ended the transaction: "
                "await what takes long, in an external_action{said}"
            )
        return StoreUnavailableError(f"{workshop.url}: the connection broke")

    def undone_by(self, error: BaseException) -> UndoneError | StoreUnavailableError | None:
        states = sqlstates_of(error)
        if CONTENTION & states:
            return ContendedError(str(error), may_pass=True)
        if DISK_FULL in states:  # no attempt of a saga is spent on that, and no saga undone for it
            return disk_full(error, self._session.workshop.url)
        return None

    def is_too_slow(self, error: BaseException) -> bool:
        return _TOO_SLOW in sqlstates_of(error)

    def interrupted(self, why: str) -> UndoneError | None:
        return TransactionLostError(why)


class DriverGiving:
    """`Giving` of a `Transaction`, or of the driver's own connection."""

    def __init__(self, session: Session, kind: Kind) -> None:
        self._session = session
        self._kind = kind

    def workplace(self, sql: PostgresSql) -> PostgresWorkplace:
        return PostgresWorkplace(self._session, sql, self._kind)

    async def prepare(self, prepare: Prepare, sql: PostgresSql) -> None:
        await prepare(sql if self._kind is Kind.TRANSACTION else self._session.connection)


class PostgresWorkplace(PostgresSavepoints):
    """`Workplace` on PostgreSQL; handlers are given a `Transaction` or a connection."""

    def __init__(self, session: Session, sql: PostgresSql, kind: Kind) -> None:
        super().__init__(session)
        self._sql = sql
        self._kind = kind

    async def enter(self, head: CommandHead, now_ms: int, limit_ms: int) -> Transaction | GivenConnection:
        await self.stand(limit_ms)
        self._sql.is_confined = True
        if self._kind is Kind.CONNECTION:
            return GivenConnection(self._session.connection)
        return Transaction(self._sql, head, now_ms)

    def finish(self, given: Transaction | GivenConnection) -> int:
        return _closed(given)

    def shut(self) -> None:
        self._sql.is_confined = False

    async def leave(self, given: Transaction | GivenConnection, *, keep: bool) -> str | None:
        self.shut()
        _closed(given)
        return await self.end(keep=keep)


def _closed(given: Transaction | GivenConnection) -> int:
    if isinstance(given, Transaction):
        return given.close()
    end_access(given)
    return 0


_NOT_AWAITED = "{handler} left a statement running: write `await` before each{said}"
_ESCAPED = (
    "{handler} ended the transaction of its whole batch, by COMMIT, ROLLBACK or in a way that cannot be refused: what "
    "other handlers wrote may have been kept and may be done again. Correct it, look at the batch's sagas, then start"
)
