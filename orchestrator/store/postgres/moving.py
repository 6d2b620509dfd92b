"""Moving a store from a SQLite file to PostgreSQL, with everything that runs and under the same store id.

Rows go over in the order of their keys, a transaction for so many, so a copy that was broken off goes on behind the
greatest key that is there. While it lasts neither store can be started: the file is locked, and the database has a
mark. At the end the file is marked first and the database's mark removed then: between the two the copy must be run
once more, and never may both be used.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from kafka_saga.orchestrator.store.location import PostgresLocation
from kafka_saga.orchestrator.store.moved import MOVED_TO, mark_moved
from kafka_saga.orchestrator.store.postgres.schema import bring_up_to_date
from kafka_saga.orchestrator.store.postgres.tables import COPYING, PostgresTables, lane_hash, sendable
from kafka_saga.orchestrator.store.sqlite import open_store
from kafka_saga.orchestrator.store.statements import SQL
from kafka_saga.runtime.clock import Clock
from kafka_saga.runtime.errors import StoreRefusedError, StoreUnavailableError
from kafka_saga.runtime.limits import MOVED_ROWS_MAX
from kafka_saga.runtime.postgres import SessionLimits, connect, translated_errors
from kafka_saga.runtime.sqlite import Row, SqlConnection, open_beside
from kafka_saga.schemas.codec import decode_trusted, encode

OnProgress = Callable[[str, int, int], None]
"""Told what is being copied, how many rows are there, and of how many in all."""

_LIMITS = SessionLimits(statement_timeout_ms=0, lock_timeout_ms=10_000, idle_in_transaction_ms=60_000)


class _Table(NamedTuple):
    """A table as it is read and written: `key` columns come first and grow; `turned` makes a row of one that was read.

    `added` are columns that only PostgreSQL has, which `turned` puts at the end.
    """

    name: str
    key: tuple[str, ...]
    columns: tuple[str, ...]
    added: tuple[str, ...] = ()
    turned: Callable[[Row], Row] = tuple
    renamed: Mapping[str, str] = {}

    @property
    def read(self) -> tuple[str, ...]:
        """The columns of the file."""
        return self.key + self.columns

    @property
    def written(self) -> tuple[str, ...]:
        """Those of the database, in the same order."""
        return (*(self.renamed.get(name, name) for name in self.read), *self.added)


def _hashed(id_column: int, row: Row) -> Row:
    return (*row, lane_hash(row[id_column]))


def _paused(row: Row) -> Row:
    return (*row[:-1], bool(row[-1]))


_SAGA_COLUMNS = (
    "saga_type saga_id definition_version state current_step data steps wake_at error parked version log_seq "
    "request_hash created_at updated_at held hold trace"
)
_ACT_COLUMNS = (
    "act_id saga_type saga_id verb arguments actor reason expected_state expected_version created_at outcome message "
    "decided_at"
)
_PURGED_COLUMNS = "digest saga_type saga_id state request_hash created_at ended_at purged_at"
_PURGE_COLUMNS = "purge_id ended_before saga_type states actor created_at from_key purged ended_at"


def _tables(writer: int) -> tuple[_Table, ...]:
    return (
        _Table("definitions", ("saga_type", "version"), ("fingerprint", "description")),
        _Table("sagas", ("saga_key",), tuple(_SAGA_COLUMNS.split()), ("hash",), partial(_hashed, 2)),
        _Table("step_log", ("saga_key", "seq"), ("step", "status", "attempt", "at", "detail")),
        _Table(
            "outbox",
            ("outbox_id",),
            ("created_at", "messages", "content"),
            ("writer",),
            lambda row: (*row, writer),
            {"outbox_id": "seq"},
        ),
        _Table("offsets", ("topic", "partition"), ("next",)),
        _Table("acts", ("act_seq",), tuple(_ACT_COLUMNS.split()), ("hash",), partial(_hashed, 3)),
        _Table("pauses", ("scope",), ("actor", "reason", "at", "under_way"), turned=_paused),
        _Table("purged", ("purged_key",), tuple(_PURGED_COLUMNS.split())),
        _Table("purges", ("purge_seq",), tuple(_PURGE_COLUMNS.split())),
        _Table("told_errors", ("saga_type", "saga_id"), ("error",)),
    )


_SEQUENCES = (("sagas", "saga_key"), ("acts", "act_seq"), ("purged", "purged_key"), ("purges", "purge_seq"))
_CHECKED = {"sagas": "sum(version), sum(log_seq), sum(current_step)", "step_log": "sum(seq)", "outbox": "sum(messages)"}
"""What must agree beside the number of rows."""

_KEPT_ELSEWHERE = ("store_id", "clock", "outage", "outage_ended_at", MOVED_TO)
"""Rows of the file's `meta` that are columns of a life in the database, or not its own."""


@dataclass(frozen=True, slots=True)
class Moved:
    """What was moved: rows by table."""

    store_id: str
    rows: Mapping[str, int]
    was_done: bool = False
    """Whether an earlier copy had done everything."""


async def move(source: Path, target: PostgresLocation, clock: Clock, on_progress: OnProgress) -> Moved:
    """Copy the store in the file `source` to `target`, mark the file, and let the database be used.

    Raises:
        StoreRefusedError: an orchestrator has the file open, or works on the database; the database has another
            store's rows; or the file was moved elsewhere.
        StoreUnavailableError, BrokenStoreError: one of them cannot be used.

    """
    if not source.exists():  # noqa: ASYNC240 -- one stat of a local file
        raise StoreUnavailableError(f"there is no store at {source}")
    store = await open_store(source, clock, moving_to=str(target))
    try:
        connection = await open_beside(source)
        try:
            async with _opened(target) as tables:
                return await _Move(connection, tables, source, on_progress).run(store.store_id, clock.now_ms())
        finally:
            await connection.close()
    finally:
        await store.close()


@asynccontextmanager
async def _opened(target: PostgresLocation) -> AsyncIterator[PostgresTables]:
    """The database, its schema brought up to date; nobody else copies into it meanwhile."""
    connection = await connect(target.url, application="saga store copy", limits=_LIMITS)
    tables = PostgresTables(connection, target)
    try:
        [(is_ours,)] = await tables.fetch_all("copy_turn")
        if not is_ours:
            raise StoreRefusedError(f"another `saga store copy` is at work on {target}: wait for it")
        await bring_up_to_date(connection, target)
        yield tables
    finally:
        await tables.close()


class _Move:
    def __init__(self, source: SqlConnection, tables: PostgresTables, path: Path, on_progress: OnProgress) -> None:
        self._source = source
        self._tables = tables
        self._target = tables.at
        self._path = path
        self._on_progress = on_progress
        self._done = 0
        self._total = 0

    async def run(self, store_id: str, now: int) -> Moved:
        meta: dict[str, str] = dict(await self._tables.fetch_all("meta"))
        if COPYING not in meta and meta["store_id"] == store_id:
            await mark_moved(self._source, str(self._target))
            return Moved(store_id, {}, was_done=True)
        of_source: dict[str, str] = dict(await self._source.fetch_all(SQL["meta"]))
        writer = await self._begin(store_id, of_source["clock"], now)
        tables = _tables(writer)
        counts = {table.name: await self._count(table.name) for table in tables}
        self._total = sum(counts.values())
        for table in tables:
            await self._copy(table)
        self._on_progress("checking", self._done, self._total)
        for table in tables:
            await self._check(table)
        await mark_moved(self._source, str(self._target))
        self._on_progress("finishing", self._done, self._total)
        await self._finish(store_id, writer)
        return Moved(store_id, counts)

    async def _begin(self, store_id: str, clock: str, now: int) -> int:
        """Mark the database; the life that what is not published yet stands under.

        Where somebody has gone on with the file since an earlier run (its clock tells), that begins again.
        """
        tables = self._tables
        async with tables.transaction():
            await tables.fetch_all("lock_replicas")
            meta: dict[str, str] = dict(await tables.fetch_all("meta"))
            if COPYING in meta:
                begun = decode_trusted(meta[COPYING])
                if begun["storeId"] != store_id:
                    raise StoreRefusedError(
                        f"a copy of another store into {self._target} was broken off: finish that one, or drop the "
                        f"schema '{self._target.schema}'"
                    )
                if begun["clock"] == clock:
                    return int(begun["writer"])
                await tables.fetch_all("empty_copy")
            used = [name for (name,) in await tables.fetch_all("used_by")]
            if used:
                raise StoreRefusedError(
                    f"{self._target} is not empty, it has {' and '.join(used)}: name another database, or another "
                    "schema with SAGA_STORE_SCHEMA"
                )
            row = (f"copied from {self._path.name}", version("kafka-saga"), now)
            [(writer,)] = await tables.fetch_all("insert_predecessor", row)
            mark = encode({"storeId": store_id, "writer": writer, "clock": clock}).decode()
            await tables.execute_many("note", [(COPYING, mark)])
            return int(writer)

    async def _count(self, name: str) -> int:
        [(count,)] = await self._source.fetch_all(f"SELECT count(*) FROM {name}")  # noqa: S608 -- a table of ours
        return int(count)

    async def _copy(self, table: _Table) -> None:
        there, after = await self._there(table)
        self._done += there
        self._on_progress(table.name, self._done, self._total)
        while page := await self._page(table, after):
            rows = [tuple(map(sendable, table.turned(row))) for row in page]
            with translated_errors(self._target.url):
                await self._tables.connection.copy_records_to_table(
                    table.name, schema_name=self._target.schema, columns=list(table.written), records=rows
                )
            after = page[-1][: len(table.key)]
            self._done += len(page)
            self._on_progress(table.name, self._done, self._total)

    async def _there(self, table: _Table) -> tuple[int, Row]:
        """How many rows an earlier run has copied, and the key of the last."""
        names = table.written[: len(table.key)]
        place = f"{self._target.schema}.{table.name}"
        last = f"SELECT {', '.join(names)} FROM {place} ORDER BY {' DESC, '.join(names)} DESC LIMIT 1"  # noqa: S608 -- names of ours
        with translated_errors(self._target.url):
            found = await self._tables.connection.fetch(last)
            count = await self._tables.connection.fetchval(f"SELECT count(*) FROM {place}")  # noqa: S608 -- names of ours
        return int(count), tuple(found[0]) if found else ()

    async def _page(self, table: _Table, after: Row) -> list[Row]:
        keys = ", ".join(table.key)
        behind = f"WHERE ({keys}) > ({', '.join('?' * len(table.key))})" if after else ""
        sql = f"SELECT {', '.join(table.read)} FROM {table.name} {behind} ORDER BY {keys} LIMIT {MOVED_ROWS_MAX}"  # noqa: S608 -- names of ours
        return await self._source.fetch_all(sql, after)

    async def _check(self, table: _Table) -> None:
        """Compare what can be counted.

        Raises:
            StoreRefusedError: it is not the same.

        """
        figures = f"SELECT count(*), {_CHECKED.get(table.name, '0')} FROM"
        [wanted] = await self._source.fetch_all(f"{figures} {table.name}")
        with translated_errors(self._target.url):
            found = await self._tables.connection.fetch(f"{figures} {self._target.schema}.{table.name}")
        if tuple(found[0]) != tuple(wanted):
            raise StoreRefusedError(
                f"{table.name}: {self._path} has {tuple(wanted)} (rows, sums) and {self._target} {tuple(found[0])}: "
                f"somebody writes there; drop the schema '{self._target.schema}' and copy again"
            )

    async def _finish(self, store_id: str, writer: int) -> None:
        """Let the database be used."""
        meta: dict[str, str] = dict(await self._source.fetch_all(SQL["meta"]))
        tables = self._tables
        async with tables.transaction():
            await tables.fetch_all("lock_replicas")
            if await tables.fetch_all("count_replicas") != [(1,)]:
                raise StoreRefusedError(
                    f"an orchestrator has begun to use {self._target}: stop it, drop the schema "
                    f"'{self._target.schema}' and copy again"
                )
            await tables.fetch_all("go_on_counting")
            outage = (int(meta.get("outage_ended_at", 0)), meta.get("outage") == "on")
            await tables.execute("complete_predecessor", (writer, int(meta["clock"]), *outage))
            kept = [(key, value) for key, value in meta.items() if key not in _KEPT_ELSEWHERE]
            await tables.execute_many("note", [*kept, ("store_id", store_id)])
            await tables.execute("forget_note", (COPYING,))
        with translated_errors(self._target.url):
            await tables.fetch_all("analyze")
