"""A service's own database: what its guard's tables tell, who has it open, and what of it can be said."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from kafka_saga.messaging.records import TopicPartition
from kafka_saga.orchestrator.operations.checks.finding import Finding, Verdict
from kafka_saga.runtime.errors import SagaError, StoreRefusedError, UnavailableError
from kafka_saga.runtime.identity import identify
from kafka_saga.runtime.limits import POSTGRES_BESIDE_LOCK_TIMEOUT_MS, POSTGRES_BESIDE_STATEMENT_TIMEOUT_MS
from kafka_saga.runtime.postgres import PostgresUrl, SessionLimits, connect, translated_errors
from kafka_saga.runtime.sqlite import open_reader
from kafka_saga.runtime.store_lock import StoreLock
from kafka_saga.runtime.wording import counted

ROWS_COUNTED_MAX = 10_000
"""A fence of a month has millions, and nobody waits for their number."""

_LIMITS = SessionLimits(POSTGRES_BESIDE_STATEMENT_TIMEOUT_MS, POSTGRES_BESIDE_LOCK_TIMEOUT_MS)
_WORKERS = """
SELECT DISTINCT application_name FROM pg_stat_activity
WHERE datname = current_database() AND starts_with(application_name, $1) ORDER BY 1
"""


@dataclass(frozen=True, slots=True)
class Database:
    """A participant's database, as far as it could be read.

    Attributes:
        at: where it is.
        owner: who has it open; None where nobody has.
        store_id: what it calls itself to Kafka.
        offsets: where each partition is read on.
        rows: of the fence, at most one more than `ROWS_COUNTED_MAX`; None where it has none, or that is not known.
        trouble: why it could not be read.

    """

    at: Path | PostgresUrl
    owner: str | None
    store_id: str | None = None
    offsets: Mapping[TopicPartition, int] = field(default_factory=dict)
    rows: int | None = None
    trouble: SagaError | None = None


async def read_database(at: Path | PostgresUrl, service: str) -> Database | None:
    """What a participant's database says of it; None where there is none.

    One that cannot be read still tells who holds it, where it is a file.
    """
    if isinstance(at, PostgresUrl):
        try:
            return await _read_server(at, service)
        except SagaError as error:
            return Database(at, None, trouble=error)
    owner = StoreLock(at).holder()
    if not at.exists():  # noqa: ASYNC240 -- one stat of a local file
        return None
    try:
        return await _read_file(at, owner)
    except SagaError as error:
        return Database(at, owner, trouble=error)


async def _read_file(path: Path, owner: str | None) -> Database:
    connection = await open_reader(path)
    try:
        found = identify(path)
        tables = () if found is None else [found.table(name) for name in ("meta", "offsets", "fence")]
        if not tables or None in tables:
            return Database(path, owner)  # a copy without its write-ahead log, or one that was never begun
        meta, offsets, fence = map(str, tables)
        ids = await connection.fetch_all(f"SELECT value FROM {meta} WHERE name = 'store_id'")  # noqa: S608
        rows = await connection.fetch_all(f"SELECT topic, partition, next FROM {offsets}")  # noqa: S608
        [(number,)] = await connection.fetch_all(_rows_of(fence))
    finally:
        await connection.close()
    return Database(path, owner, ids[0][0] if ids else None, _positions(rows), number)


async def _read_server(url: PostgresUrl, service: str) -> Database:
    connection = await connect(url, application="saga doctor", limits=_LIMITS)
    from asyncpg import DataError, SyntaxOrAccessError  # noqa: PLC0415 -- an extra, which is there now

    try:
        with translated_errors(url):
            async with connection.transaction(readonly=True):
                workers = [name for (name,) in await connection.fetch(_WORKERS, f"saga {service} ")]
                database = Database(url, f"a worker ({', '.join(workers)})" if workers else None)
                if not await connection.fetchval("SELECT to_regclass('saga_fence') IS NOT NULL"):
                    return database
                store_id = await connection.fetchval("SELECT value FROM saga_meta WHERE name = 'store_id'")
                rows = await connection.fetch("SELECT topic, partition, next FROM saga_offsets")
                number = await connection.fetchval(_rows_of("saga_fence"))
    except (DataError, SyntaxOrAccessError) as error:
        raise StoreRefusedError(
            f"its table saga_fence is not the guard's ({error}): name the service's schema with search_path"
        ) from error
    finally:
        await connection.close()
    return replace(database, store_id=store_id, offsets=_positions(map(tuple, rows)), rows=number)


def _positions(rows: Iterable[tuple[Any, ...]]) -> dict[TopicPartition, int]:
    return {TopicPartition(topic, number): offset for topic, number, offset in rows}


def _rows_of(fence: str) -> str:
    return f"SELECT count(*) FROM (SELECT 1 FROM {fence} LIMIT {ROWS_COUNTED_MAX + 1}) few"  # noqa: S608 -- names of ours


def judge_database(service: str, database: Database, behind: int | None) -> Finding:
    """What of it is worth knowing.

    Args:
        service: whose it is.
        database: what was read.
        behind: how many commands lie behind its offsets; None where Kafka could not be asked.

    """
    check, where = f"database {service}", str(database.at)
    details = {"database": where, "openedBy": database.owner, "fenceRows": database.rows, "behind": behind}
    if database.trouble is not None:
        verdict: Verdict = "unreachable" if isinstance(database.trouble, UnavailableError) else "wrong"
        return Finding(verdict, check, f"{where} cannot be read", str(database.trouble), details)
    opened = f"; {database.owner} has it open" if database.owner else "; nobody has it open"
    if database.rows is None:
        advice = "a worker makes them at its first start; or name the right database, and its schema with search_path"
        return Finding("note", check, f"{where} has no tables of the guard{opened}", advice, details)
    some = f"more than {ROWS_COUNTED_MAX:,} rows" if database.rows > ROWS_COUNTED_MAX else counted(database.rows, "row")
    read = "" if behind is None else f", its offsets are {counted(behind, 'command')} behind"
    return Finding("ok", check, f"{where}: {some} in the fence{read}{opened}", "", details)
