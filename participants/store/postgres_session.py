"""One worker's connection to its service's PostgreSQL database, and the transaction that is open on it.

Nothing is kept of a connection whose state nobody knows: it is thrown away, and the next transaction opens another.
The name is held by a lock of the session, so that no two workers of a service have the same (their partitions would
go back and forth between them for ever).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import asyncpg

from kafka_saga.runtime.clock import Clock
from kafka_saga.runtime.errors import StoreRefusedError, StoreUnavailableError
from kafka_saga.runtime.limits import HANDLER_LOCK_TIMEOUT_MS, WORKER_NAME_WAIT_MS
from kafka_saga.runtime.postgres import PostgresUrl, SessionLimits, connect, translated_errors

if TYPE_CHECKING:
    from asyncpg import Connection

_OWN_STATEMENT_MS_MAX = 60_000
"""What our own statements wait for are other workers' batches, of which each handler has its time."""

_STANDSTILL_MS = 3_000
"""For how much longer than a handler may take the server lets a transaction stand still."""

_RETRY_MS = 200

_KEEPALIVES = "SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; SET tcp_keepalives_count = 3"
"""A host that vanished must not hold its worker's name, and its rows, until the system's two hours are over."""


@dataclass(frozen=True, slots=True)
class Workshop:
    """Who works where.

    Attributes:
        url: the service's database.
        service: its participant's name.
        worker: this process's name among the service's workers.
        handler_ms_max: the longest time that a handler may take.
        clock: for waiting.

    """

    url: PostgresUrl
    service: str
    worker: str
    handler_ms_max: int
    clock: Clock

    @property
    def standstill_ms_max(self) -> int:
        """For how long a transaction may stand still; then the server ends its connection."""
        return self.handler_ms_max + _STANDSTILL_MS

    async def connect(self) -> tuple[Connection, int]:
        """A connection that holds the worker's name, and the key of its service's lock (R78).

        Raises:
            StoreRefusedError: another worker has it, or the server refuses us.
            StoreUnavailableError: the server does not answer.

        """
        limits = SessionLimits(
            statement_timeout_ms=_OWN_STATEMENT_MS_MAX,
            # A worker that was frozen must not hold its rows for longer than its handlers would have.
            idle_in_transaction_ms=self.standstill_ms_max,
        )
        connection = await connect(self.url, application=f"saga {self.service} {self.worker}", limits=limits)
        try:
            with translated_errors(self.url):
                await connection.execute(_KEEPALIVES)
                await self._take_name(connection, await _key(connection, f"{self.service} worker {self.worker}"))
                return connection, await _key(connection, self.service)
        except BaseException:
            connection.terminate()
            raise

    async def _take_name(self, connection: Connection, key: int) -> None:
        waited_ms = 0
        while not await connection.fetchval("SELECT pg_try_advisory_lock($1)", key):
            # Who was killed a moment ago may still have a session: the server finds out when it writes to it.
            if waited_ms >= WORKER_NAME_WAIT_MS:
                raise StoreRefusedError(
                    f"a worker of {self.service} named '{self.worker}' is at work in {self.url}: "
                    "give this one a name of its own (--worker, SAGA_WORKER)"
                )
            await self.clock.sleep(_RETRY_MS)
            waited_ms += _RETRY_MS


async def _key(connection: Connection, text: str) -> int:
    """Of an advisory lock: they are a database's, and a service is a schema's."""
    key = "SELECT hashtextextended('kafka-saga participant ' || coalesce(current_schema(), '') || ' ' || $1, 0)"
    return int(await connection.fetchval(key, text))


class Session(Protocol):
    """A connection that comes back, and one transaction at a time on it."""

    workshop: Workshop
    service_lock: int
    """The key of the service's lock."""
    is_in_handlers: bool
    """Whether the handlers' time limits hold, and a savepoint stands."""

    @property
    def connection(self) -> Connection:
        """The driver's, which guard and handlers share."""
        ...

    async def ready(self) -> bool:
        """Open a connection, where there is none: whether there was none."""
        ...

    async def begin(self) -> None:
        """Begin a transaction by the driver's own means."""
        ...

    async def commit(self) -> None: ...

    async def rollback(self) -> None: ...

    async def discard(self) -> None:
        """Throw the connection away, whatever it is at."""
        ...

    async def close(self) -> None: ...


class DriverSession:
    """`Session` on asyncpg."""

    def __init__(self, workshop: Workshop) -> None:
        self.workshop = workshop
        self.service_lock = 0
        self.is_in_handlers = False
        self._connection: Connection | None = None
        self._transaction: Any = None

    @property
    def connection(self) -> Connection:
        if self._connection is None:
            raise StoreUnavailableError(f"{self.workshop.url}: the connection is gone")
        return self._connection

    async def ready(self) -> bool:
        if self._connection is not None and not self._connection.is_closed():
            return False
        self._connection = None
        self._connection, self.service_lock = await self.workshop.connect()
        return True

    async def begin(self) -> None:
        # Not as a statement: after that the driver refuses a user's nested `connection.transaction()`.
        self._transaction = self.connection.transaction()
        await self._transaction.start()

    async def commit(self) -> None:
        await self._transaction.commit()

    async def rollback(self) -> None:
        await self._transaction.rollback()

    async def discard(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()

    async def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                await connection.close(timeout=5)
            except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError):
                connection.terminate()  # it is to be gone, however


HANDLERS_BEGIN = f"SET LOCAL lock_timeout = {HANDLER_LOCK_TIMEOUT_MS}"
HANDLERS_END = f"SET LOCAL lock_timeout = 0; SET LOCAL statement_timeout = {_OWN_STATEMENT_MS_MAX}; RESET ROLE"
"""A handler's `SET LOCAL ROLE` holds for its batch: the guard's rows are written by the role that the worker has."""


CONTENTION = frozenset({"40P01", "40001", "55P03"})
"""Deadlock, serialization failure, lock timeout: somebody else holds rows (R78)."""


def sqlstates_of(error: BaseException) -> set[str]:
    """The server's codes that led to an error, however it was wrapped."""
    found: set[str] = set()
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        state = getattr(one, "sqlstate", None)
        if isinstance(state, str):
            found.add(state)
        orig = getattr(one, "orig", None)
        waiting += [one.__cause__, one.__context__, orig if isinstance(orig, BaseException) else None]
        if isinstance(one, BaseExceptionGroup):
            waiting += one.exceptions
    return found
