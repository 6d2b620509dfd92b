"""Numbered SQL files, each carried out once, by however many processes that start at once (R76).

A file begins with `-- compatible_from: N`: the oldest program that may run on the schema it leaves; a program's number
is that of the newest file that it knows. Names in a file are qualified: `{schema}` stands for the schema's name.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING

import asyncpg

from kafka_saga.runtime.errors import StoreRefusedError, StoreUnavailableError
from kafka_saga.runtime.limits import MIGRATION_LOCK_TIMEOUT_MS, MIGRATION_TRIES_MAX
from kafka_saga.runtime.postgres import PostgresUrl, translated_errors

if TYPE_CHECKING:
    from asyncpg import Connection

_COMPATIBLE_FROM = re.compile(r"-- compatible_from: (\d+)\n")

NOT_OURS = (
    asyncpg.UndefinedColumnError,
    asyncpg.UndefinedFunctionError,
    asyncpg.DatatypeMismatchError,
    asyncpg.InvalidTextRepresentationError,
)
"""How a table of another product, called as ours that notes migrations, answers a question for its newest row."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One step of a schema.

    Attributes:
        number: counts from 1.
        name: the file's.
        compatible_from: the oldest program that may run on the schema after it.
        sql: the file's text.

    """

    number: int
    name: str
    compatible_from: int
    sql: str

    def sql_in(self, schema: str) -> str:
        """The text with the schema's name in it."""
        return self.sql.replace("{schema}", schema)


def migrations_of(package: str) -> list[Migration]:
    """The numbered files of `package`, oldest first."""
    found = []
    for file in resources.files(package).iterdir():
        if file.name.endswith(".sql"):
            sql = file.read_text(encoding="utf-8")
            head = _COMPATIBLE_FROM.match(sql)
            assert head is not None, f"{file.name} must begin with compatible_from"
            found.append(Migration(int(file.name[:4]), file.name, int(head[1]), sql))
    return sorted(found, key=lambda migration: migration.number)


async def migrate(
    connection: Connection,
    package: str,
    *,
    url: PostgresUrl,
    schema: str,
    table: str = "migrations",
    at_work: str | None = None,
) -> int:
    """Bring `schema` up to date with the files of `package`; the number reached, which may be newer than ours.

    Each file runs in one transaction with its row in `table`, under an advisory lock, so that many processes may
    start at once. Where nothing is to be done nothing is written: a role that may only read and write rows will do.

    Args:
        connection: to the database.
        package: has the files.
        url: the database's, for messages.
        schema: where the tables are.
        table: notes what was carried out.
        at_work: SQL that names who is at work on the schema and knows no version as new as $1.

    Raises:
        StoreRefusedError: the schema needs a newer program, belongs to another product, or the role may not create it;
            or a step would end who is at work.
        StoreUnavailableError: the server does not answer.

    """
    place = _Place(connection, url, schema, table, at_work)
    own = migrations_of(package)
    with translated_errors(url):
        reached = await place.reached(own[-1].number)
        for migration in own[reached:]:
            await place.carry_out(migration)
        return reached if reached >= own[-1].number else await place.reached(own[-1].number)


@dataclass(frozen=True, slots=True)
class _Place:
    connection: Connection
    url: PostgresUrl
    schema: str
    table: str
    at_work: str | None

    async def reached(self, program: int) -> int:
        """The number of the newest migration that was carried out; 0 where there is no such table."""
        try:
            found = await self.connection.fetchrow(
                f"SELECT coalesce(max(number), 0), coalesce(max(compatible_from), 0) FROM {self.schema}.{self.table}"  # noqa: S608 -- checked names
            )
        except (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError):
            return 0
        except NOT_OURS as error:
            raise self._foreign(self.table) from error
        assert found is not None, "an aggregate has a row"
        number, compatible_from = found
        if compatible_from > program:
            raise StoreRefusedError(
                f"{self.url}: schema '{self.schema}' is at version {number} and needs a kafka-saga that knows version "
                f"{compatible_from}, this one knows {program}: run a newer one"
            )
        return int(number)

    async def carry_out(self, migration: Migration) -> None:
        for attempt in range(1, MIGRATION_TRIES_MAX + 1):
            try:
                async with self.connection.transaction():
                    await self._step(migration)
            except asyncpg.LockNotAvailableError as error:
                # A waiting ALTER queues every reader behind it: give way, and try again.
                if attempt == MIGRATION_TRIES_MAX:
                    raise StoreUnavailableError(
                        f"{self.url}: schema '{self.schema}' cannot be brought up to date, a transaction holds a lock "
                        "on it: end it (pg_stat_activity shows it) and start again"
                    ) from error
            except asyncpg.DuplicateTableError as error:
                raise self._foreign(str(error).partition('"')[2].partition('"')[0]) from error
            else:
                return

    async def _step(self, migration: Migration) -> None:
        run = self.connection.execute
        await run("SET LOCAL statement_timeout = 0")  # others may be at work for long
        await run("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", f"kafka-saga {self.schema}.{self.table}")
        await run(f"SET LOCAL lock_timeout = {MIGRATION_LOCK_TIMEOUT_MS}")
        if not await self.connection.fetchval("SELECT to_regnamespace($1) IS NOT NULL", self.schema):
            await run(f"CREATE SCHEMA {self.schema}")
        name = f"{self.schema}.{self.table}"
        if not await self.connection.fetchval("SELECT to_regclass($1) IS NOT NULL", name):
            await run(f"CREATE TABLE {name} (number int PRIMARY KEY, name text NOT NULL, compatible_from int NOT NULL)")
        done = await self.connection.fetchval(f"SELECT count(*) FROM {name} WHERE number >= $1", migration.number)  # noqa: S608 -- checked names
        if done:
            return  # whoever held the lock before
        if self.at_work is not None and migration.number > 1:
            await self._refuse_before(migration, self.at_work)
        await run(migration.sql_in(self.schema))
        row = (migration.number, migration.name, migration.compatible_from)
        await run(f"INSERT INTO {name} VALUES ($1, $2, $3)", *row)  # noqa: S608 -- checked names

    async def _refuse_before(self, migration: Migration, at_work: str) -> None:
        """A step that older programs cannot live with waits until none of them is at work."""
        older = await self.connection.fetch(at_work.replace("{schema}", self.schema), migration.compatible_from)
        if older:
            names = ", ".join(f"'{name}'" for (name,) in older)
            raise StoreRefusedError(
                f"{self.url}: schema '{self.schema}' cannot be brought to version {migration.number} while replicas of "
                f"an older kafka-saga are at work: stop {names}, or give them the new one, and start again"
            )

    def _foreign(self, table: str) -> StoreRefusedError:
        return StoreRefusedError(
            f"{self.url}: schema '{self.schema}' has a table '{table}' that is not ours: "
            "name another schema for kafka-saga"
        )
