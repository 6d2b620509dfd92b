"""SQLite, opened the one way that keeps its promises: WAL, synchronous=FULL, one writer, explicit transactions.

A `SqlConnection` is handed to whoever owns tables (R: Ports). Two kinds exist. `ThreadedConnection` (aiosqlite)
runs each call in its own thread: right for readers, whose queries may be long. `InlineConnection` runs statements
in the caller's thread and only the commit, which waits for the disk, in another: right for writers, since a row
takes about 4 us, a hop to a thread 60 us, and a thread that runs Python beside the event loop fights it for the
interpreter's lock at every row. The simulator uses the inline kind with inline commits, so the real SQL runs
deterministically.
"""

from __future__ import annotations

import asyncio
import errno
import os
import sqlite3
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol, TypeVar

import aiosqlite

from kafka_saga.runtime import sql_values
from kafka_saga.runtime.clock import SystemClock
from kafka_saga.runtime.confinement import Confinement
from kafka_saga.runtime.errors import BrokenStoreError, CommitRefusedError, StoreUnavailableError
from kafka_saga.runtime.sql_values import Params

Row = tuple[Any, ...]
_Connection = TypeVar("_Connection", bound="SqlConnection")

BUSY_TIMEOUT_MS = 5_000
"""An operator's act takes the write lock for a few milliseconds (R25); five seconds means something is wrong."""

_DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS}

WAL_PAGES_MAX = 4_000
"""Checkpoint at 16 MiB: keeps the WAL small and spreads the cost of checkpoints over many commits."""

WAL_KEPT_BYTES_MAX = 4 * WAL_PAGES_MAX * 4_096
"""A log that was longer, because a reader held it up, is cut to this size once it starts again."""

SLOW_COMMIT_MS = 10
"""A commit that took this long is worth a thread. On a busy machine the hop to it and back waits twice for a
processor, which costs a flood's batch, of some five milliseconds, more than an event loop that stands still."""

_CLOCK = SystemClock()
BEGIN = "BEGIN IMMEDIATE"
"""How a transaction in which something is written begins, on any `SqlConnection`."""


class SqlConnection(Protocol):
    """One connection to one SQLite database, in autocommit mode until `BEGIN`."""

    async def execute(self, sql: str, params: Params = ()) -> int:
        """Run one statement; the number of rows it changed. What `params` may be: `kafka_saga.runtime.sql_values`."""
        ...

    async def execute_many(self, sql: str, rows: Iterable[Params]) -> int:
        """Run one statement for each row of parameters; the number of rows changed in all."""
        ...

    async def fetch_all(self, sql: str, params: Params = ()) -> list[Row]:
        """Run one query; all its rows."""
        ...

    async def run_script(self, sql: str) -> None:
        """Run several statements, without parameters."""
        ...

    async def commit(self) -> None:
        """End the transaction; when this returns it survives a power cut."""
        ...

    async def rollback(self) -> None:
        """Forget the transaction."""
        ...

    async def close(self) -> None:
        """Close the database."""
        ...


class ThreadedConnection:
    """`SqlConnection` through aiosqlite."""

    def __init__(self, connection: aiosqlite.Connection, name: Path | str = "the store") -> None:
        self._connection = connection
        self._name = name

    async def execute(self, sql: str, params: Params = ()) -> int:
        with translated_errors(self._name):
            async with self._connection.execute(sql, params) as cursor:
                return cursor.rowcount

    async def execute_many(self, sql: str, rows: Iterable[Params]) -> int:
        with translated_errors(self._name):
            async with self._connection.executemany(sql, rows) as cursor:
                return cursor.rowcount

    async def fetch_all(self, sql: str, params: Params = ()) -> list[Row]:
        with translated_errors(self._name):
            return list(await self._connection.execute_fetchall(sql, params))  # type: ignore[arg-type] # plain tuples

    async def run_script(self, sql: str) -> None:
        with translated_errors(self._name):
            async with self._connection.executescript(sql):
                return

    async def commit(self) -> None:
        with translated_errors(self._name):
            await _finish(self._connection.commit())

    async def rollback(self) -> None:
        with translated_errors(self._name):
            await _finish(self._connection.rollback())

    async def close(self) -> None:
        await self._connection.close()


class InlineConnection:
    """`SqlConnection` on `sqlite3` itself; slow commits are made in `commit_pool`, where there is one.

    A commit waits for the disk. Where that takes a fraction of a millisecond, handing it to a thread and being
    woken again costs as much as the commit; where it takes longer, the event loop has better things to do. So the
    last commit's time decides about the next one.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        commit_pool: ThreadPoolExecutor | None = None,
        name: Path | str = "the store",
    ) -> None:
        self._connection = connection
        self._commit_pool = commit_pool
        self._name = name
        self._commit_ms = 0
        self._confinement: Confinement | None = None

    def confine(self, tables: frozenset[str]) -> Confinement:
        """Have users' code, where the answer says that it runs, keep to its transaction and off `tables`."""
        self._confinement = Confinement(self._connection, tables)
        return self._confinement

    # A `try` costs nothing until it is needed; `translated_errors` costs a tenth of a small statement.
    async def execute(self, sql: str, params: Params = ()) -> int:
        try:
            return self._connection.execute(sql, params).rowcount
        except (sqlite3.Error, OverflowError) as error:
            values = self._corrected(params, error)
            if values is None:
                raise
        return await self.execute(sql, values)

    def run(self, sql: str) -> None:
        """Run one statement without parameters, here and now: a coroutine costs a tenth of a savepoint."""
        try:
            self._connection.execute(sql)
        except sqlite3.Error as error:
            self._failed(error)
            raise

    async def execute_many(self, sql: str, rows: Iterable[Params]) -> int:
        try:
            return self._connection.executemany(sql, rows).rowcount
        except sqlite3.Error as error:
            self._failed(error)
            raise

    async def fetch_all(self, sql: str, params: Params = ()) -> list[Row]:
        try:
            return self._connection.execute(sql, params).fetchall()
        except (sqlite3.Error, OverflowError) as error:
            values = self._corrected(params, error)
            if values is None:
                raise
        return await self.fetch_all(sql, values)

    def _corrected(self, params: Params, error: Exception) -> Params | None:
        """What to run the statement with instead; None where `params` were not what was wrong."""
        self._failed(error)
        return sql_values.taken(params, error)

    def _failed(self, error: Exception) -> None:
        if self._confinement is not None:
            self._confinement.failed(error)
        if isinstance(error, sqlite3.Error):
            _translate(error, self._name)

    def _check_owner(self) -> None:
        if self._confinement is not None:
            self._confinement.check()

    async def run_script(self, sql: str) -> None:
        self._check_owner()  # a script commits first
        with translated_errors(self._name):
            self._connection.executescript(sql)

    async def commit(self) -> None:
        self._check_owner()
        try:
            with translated_errors(self._name):
                if self._commit_pool is None or self._commit_ms < SLOW_COMMIT_MS:
                    self._commit()
                else:
                    await _finish(asyncio.get_running_loop().run_in_executor(self._commit_pool, self._commit))
        except sqlite3.IntegrityError as error:  # a deferred constraint of a user's table: nothing was committed
            self._connection.rollback()
            raise CommitRefusedError(str(error)) from error

    def _commit(self) -> None:
        began_ms = _CLOCK.monotonic_ms()
        self._connection.commit()
        self._commit_ms = _CLOCK.monotonic_ms() - began_ms

    async def rollback(self) -> None:
        self._check_owner()
        with translated_errors(self._name):
            self._connection.rollback()

    async def close(self) -> None:
        self._check_owner()
        self._connection.close()
        if self._commit_pool is not None:
            self._commit_pool.shutdown()


async def open_threaded(path: Path) -> ThreadedConnection:
    """Open (and create, readable by its owner only) the database at `path`.

    Raises:
        StoreUnavailableError: the file cannot be opened.
        BrokenStoreError: the file is not a sound SQLite database.

    """
    with translated_errors(path):
        _create_private(path)
        return await configured(ThreadedConnection(await aiosqlite.connect(path, isolation_level=None), path))


async def open_inline(path: Path | str) -> InlineConnection:
    """As `open_threaded`, for many small statements. `":memory:"` gives a private database."""
    sql_values.register_adapters()
    with translated_errors(path):
        pool = None
        if isinstance(path, Path):
            _create_private(path)
            pool = ThreadPoolExecutor(1, thread_name_prefix="sqlite-commit")
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        return await configured(InlineConnection(connection, pool, path))


async def open_reader(path: Path) -> ThreadedConnection:
    """Open the database at `path` for reading only: for operators beside a running system (R24).

    Raises:
        StoreUnavailableError: there is no such file, or it cannot be opened.

    """
    with translated_errors(path):
        connection = await aiosqlite.connect(address(path, "ro"), uri=True, isolation_level=None)
        try:
            await connection.executescript(f"PRAGMA query_only=ON; PRAGMA busy_timeout={BUSY_TIMEOUT_MS};")
            # The first read is what finds out whether the file is a database.
            await connection.execute_fetchall("SELECT count(*) FROM sqlite_schema")
        except BaseException:
            await connection.close()  # its thread would keep the process from ending
            raise
        return ThreadedConnection(connection, path)


async def open_beside(path: Path) -> ThreadedConnection:
    """Open the existing database at `path` for short writes beside the process that owns it (R25).

    It never checkpoints: that is the owner's work, and would hold up its commits for as long.

    Raises:
        StoreUnavailableError: there is no such file, or it cannot be opened.

    """
    with translated_errors(path):
        connection = await aiosqlite.connect(address(path, "rw"), uri=True, isolation_level=None)
        try:
            await connection.executescript(
                f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}; PRAGMA synchronous=FULL; PRAGMA wal_autocheckpoint=0;"
            )
        except BaseException:
            await connection.close()  # its thread would keep the process from ending
            raise
        return ThreadedConnection(connection, path)


class transaction:  # noqa: N801 -- reads like the context manager it is
    """One write transaction: committed when the block ends, rolled back when it raises.

    A class and not a generator, as `translated_errors`: it costs a lone command 15 us less.
    """

    __slots__ = ("_connection",)

    def __init__(self, connection: SqlConnection) -> None:
        self._connection = connection

    async def __aenter__(self) -> None:
        # A deferred transaction that turns into a write fails at once with SQLITE_BUSY_SNAPSHOT, whatever the timeout.
        await self._connection.execute(BEGIN)

    async def __aexit__(self, kind: type[BaseException] | None, _error: object, _trace: object) -> None:
        if kind is None:
            await self._connection.commit()
        else:
            await self._connection.rollback()


class translated_errors:  # noqa: N801 -- reads like the context manager it is
    """SQLite's errors as ours, sorted by what the reader can do.

    A class and not a generator: it stands around every statement, and costs 0.3 us instead of 1. Result codes and
    not texts: a handler's "no such column: full_name" is its own mistake, and no full disk.
    """

    __slots__ = ("_path",)

    def __init__(self, path: Path | str = "the store") -> None:
        self._path = path

    def __enter__(self) -> None:
        return

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if error is None:
            return
        if isinstance(error, sqlite3.Error):
            _translate(error, self._path)
        elif isinstance(error, OSError):
            if error.errno in _DISK_ERRORS:
                raise BrokenStoreError(_unwritable(self._path, error.strerror)) from error
            raise StoreUnavailableError(f"cannot open {self._path}: {error.strerror}") from error


def _translate(error: sqlite3.Error, path: Path | str) -> None:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in {sqlite3.SQLITE_FULL, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR}:
        raise BrokenStoreError(_unwritable(path, error)) from error
    if code == sqlite3.SQLITE_CANTOPEN:
        raise StoreUnavailableError(f"cannot open {path}: no such file or directory, or no permission") from error
    if code in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        raise StoreUnavailableError(f"{path} is busy: another program holds its write lock") from error
    if code in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
        raise BrokenStoreError(damaged(path, error)) from error


def damaged(path: Path | str, what: object) -> str:
    """What is said of a database that is not sound."""
    return f"{path} is damaged ({what}): restore it from a backup"


def _unwritable(path: Path | str, why: object) -> str:
    return f"cannot write {path}: {why}; free or mend the disk, then start again"


async def configured(connection: _Connection) -> _Connection:
    try:
        await connection.run_script(
            f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
            f"PRAGMA wal_autocheckpoint={WAL_PAGES_MAX}; PRAGMA journal_size_limit={WAL_KEPT_BYTES_MAX};"
            "PRAGMA mmap_size=0; PRAGMA foreign_keys=ON;"
            "PRAGMA temp_store=MEMORY; PRAGMA cache_size=-32000;"
        )
    except BaseException:
        await connection.close()  # its thread would keep the process from ending
        raise
    return connection


def address(path: Path, mode: str) -> str:
    return f"{path.absolute().as_uri()}?mode={mode}"


def copy_address(path: Path) -> str:
    """Of a copy, which nobody writes and which has no log: it can be read where nothing can be made beside it."""
    return f"{address(path, 'ro')}&immutable=1"


def _create_private(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))


async def _finish(work: Any) -> None:
    """Wait for `work` even if we are cancelled meanwhile: a commit's outcome must be known (I12)."""
    task = asyncio.ensure_future(work)
    try:
        await asyncio.shield(task)
    except asyncio.CancelledError:
        await asyncio.wait([task])
        raise
