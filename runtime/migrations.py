"""Numbered SQL files, each carried out once: how a database gets the schema that this program knows."""

from __future__ import annotations

from importlib import resources

from kafka_saga.runtime.errors import StoreRefusedError
from kafka_saga.runtime.sqlite import SqlConnection

SCHEMA_TABLE = "schema_version"
"""Which migrations an orchestrator's store has had."""

GUEST_PREFIX = "saga_"
"""Of our tables in a service's own database, where the service may have tables of any name."""

GUEST_SCHEMA_TABLE = f"{GUEST_PREFIX}migrations"
"""Which migrations our tables in a service's database have had."""


def first_migration(package: str) -> str:
    """The file that the schema of `package` begins with: by it a database is known as one of that kind."""
    return _migrations(package)[0][1]


def newest_schema(package: str) -> int:
    """The schema version that the numbered files of `package` lead to."""
    return _migrations(package)[-1][0]


def _migrations(package: str) -> list[tuple[int, str, str]]:
    return sorted(
        (int(file.name[:4]), file.name, file.read_text(encoding="utf-8"))
        for file in resources.files(package).iterdir()
        if file.name.endswith(".sql")
    )


async def migrate(connection: SqlConnection, package: str, *, store: str, schema_table: str = SCHEMA_TABLE) -> int:
    """Bring the schema up to date with the numbered `NNNN_name.sql` files of `package`; the version reached.

    Each file runs in a transaction of its own with its number, so a crash half way is repeated, not resumed.

    Raises:
        StoreRefusedError: the schema is newer than this program.

    """
    await connection.run_script(f"CREATE TABLE IF NOT EXISTS {schema_table} (version INTEGER PRIMARY KEY, name TEXT)")
    [(current,)] = await connection.fetch_all(f"SELECT coalesce(max(version), 0) FROM {schema_table}")  # noqa: S608
    migrations = _migrations(package)
    newest = migrations[-1][0]
    if current > newest:
        raise StoreRefusedError(
            f"{store} has schema version {current}, this program knows versions up to {newest}: "
            "run the newer kafka-saga that wrote it"
        )
    for version, name, sql in migrations:
        if version > current:
            await connection.run_script(
                f"BEGIN IMMEDIATE; {sql}\nINSERT INTO {schema_table} VALUES ({version}, '{name}'); COMMIT;"
            )
    return newest


async def has_table(connection: SqlConnection, name: str) -> bool:
    """Whether the database has a table of that name: another program's has not, nor has one that was never begun."""
    return bool(await connection.fetch_all("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = ?", (name,)))
