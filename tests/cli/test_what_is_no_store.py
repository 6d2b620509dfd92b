"""A file that is no store: one line and the documented exit code, from every command, and not a byte of it changed."""

from __future__ import annotations

import asyncio
import hashlib
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import asyncpg
import pytest

from kafka_saga.participants.store.sqlite import open_store as open_participant_store
from kafka_saga.runtime.postgres import PostgresUrl
from tests.cli.conftest import FillStore, Saga, completed

NOWHERE = ("-b", "127.0.0.1:1")
READERS = [
    "list", "show x", "log x", "explain x", "watch --count 1", "acts", "pauses",
    "retry x", "skip x --step s", "cancel x", "pause x", "resume x", "resolve x --as completed --reason why",
    "purge --older-than 1d --yes",
]  # fmt: skip
COMMANDS = [*READERS, "dashboard", "orchestrator", "up", "purge --older-than 1d --compact", "backup copy.db"]


def empty(path: Path) -> None:
    path.touch()


def text(path: Path) -> None:
    path.write_text("dear diary, this is no database\n" * 100)


def foreign(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.executescript("CREATE TABLE sagas (title); CREATE TABLE schema_version (version, who);")


def foreign_in_wal_mode(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.executescript("PRAGMA journal_mode=WAL; CREATE TABLE users (name); CREATE TABLE saga_offsets (next);")


def participants(path: Path) -> None:
    async def make() -> None:
        await (await open_participant_store(path)).connection.close()

    asyncio.run(make())


def folder(path: Path) -> None:
    path.mkdir()


def pipe(path: Path) -> None:
    os.mkfifo(path)


NO_STORE: list[tuple[Callable[[Path], None], int, str]] = [
    (empty, 4, "is an empty file, not a kafka-saga store"),
    (text, 5, "is no SQLite database, or its first page is damaged"),
    (foreign, 4, "is not a kafka-saga store but another program's database: name the orchestrator's with --store"),
    (foreign_in_wal_mode, 4, "is not a kafka-saga store but another program's database"),
    (participants, 4, "is not a kafka-saga store but the database of a service (a participant)"),
    (folder, 4, "is a folder, not a database"),
    (pipe, 4, "is no ordinary file, not a database"),
]


def digest(path: Path) -> str | None:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None


@pytest.mark.parametrize(("make", "exit_code", "said"), NO_STORE, ids=[make.__name__ for make, _, _ in NO_STORE])
def test_every_command_says_in_one_line_that_it_is_no_store(
    saga: Saga, tmp_path: Path, make: Callable[[Path], None], exit_code: int, said: str
) -> None:
    path = tmp_path / "other.db"
    make(path)
    before = digest(path)
    for command in COMMANDS:
        if make is empty and command in {"orchestrator", "up"}:
            continue  # an empty file is as good as none: it becomes a store
        run = saga(*command.split(), "--store", "other.db", *NOWHERE)
        assert (command, run.exit_code, run.out) == (command, exit_code, "")
        assert (command, len(run.err.splitlines())) == (command, 1)
        assert said in run.err
        assert digest(path) == before, f"{command} changed it"


@pytest.mark.parametrize(("make", "_code", "said"), NO_STORE, ids=[make.__name__ for make, _, _ in NO_STORE])
def test_doctor_counts_it_as_wrong(
    saga: Saga, tmp_path: Path, make: Callable[[Path], None], _code: int, said: str
) -> None:
    make(tmp_path / "other.db")
    run = saga("doctor", "-o", "jsonl", "--store", "other.db", *NOWHERE)
    store = next(row for row in run.rows if row["check"] == "store")
    assert (run.exit_code, store["verdict"], said in store["remedy"]) == (5, "wrong", True)  # Kafka is away, too


async def make_tables(url: PostgresUrl) -> None:
    server = await asyncpg.connect(url.secret_text)
    await server.execute("CREATE SCHEMA shop; CREATE TABLE shop.orders (id int); CREATE TABLE shop.sagas (title text)")
    await server.close()


def test_every_command_says_in_one_line_that_a_schema_is_another_products(
    saga: Saga, postgres_url: PostgresUrl
) -> None:
    asyncio.run(make_tables(postgres_url))
    where = {"SAGA_STORE": postgres_url.secret_text, "SAGA_STORE_SCHEMA": "shop"}
    for command in (*READERS, "dashboard", "store recovered --yes"):
        run = saga(*command.split(), *NOWHERE, **where)
        assert (command, run.exit_code, run.out) == (command, 4, "")
        assert (command, len(run.err.splitlines())) == (command, 1)
        assert "is not a kafka-saga store, its tables are another program's ('orders', 'sagas'): name the" in run.err
    run = saga("doctor", "-o", "jsonl", *NOWHERE, **where)
    store = next(row for row in run.rows if row["check"] == "store")
    assert (run.exit_code, store["verdict"]) == (5, "wrong")  # Kafka is away, too
    assert "not a kafka-saga store" in store["found"]
    assert "SAGA_STORE_SCHEMA" in store["remedy"]


def test_an_empty_file_becomes_a_store_of_an_orchestrator(saga: Saga, tmp_path: Path) -> None:
    empty(tmp_path / "other.db")
    saga("orchestrator", "--store", "other.db", "--broker-wait", "0", *NOWHERE)
    assert saga("list", "--store", "other.db").exit_code == 0


@pytest.mark.parametrize(
    ("make", "exit_code", "said"),
    [
        (text, 5, "is no SQLite database"),
        (folder, 4, "is a folder"),
        (pipe, 4, "is no ordinary file"),
        (foreign_in_wal_mode, 4, "tables of another program that are called as ours (saga_offsets)"),
    ],
)
def test_a_participant_refuses_what_cannot_be_its_database(
    saga: Saga, tmp_path: Path, make: Callable[[Path], None], exit_code: int, said: str
) -> None:
    path = tmp_path / "other.db"
    make(path)
    before = digest(path)
    run = saga("participant", "inventory", "--database", "other.db", *NOWHERE)
    assert (run.exit_code, len(run.err.splitlines())) == (exit_code, 1)
    assert said in run.err
    assert digest(path) == before


def test_a_participant_refuses_an_orchestrators_store(saga: Saga, fill_store: FillStore) -> None:
    path = fill_store(completed("order-1"))
    run = saga("participant", "inventory", "--database", str(path), *NOWHERE)
    assert (run.exit_code, len(run.err.splitlines())) == (4, 1)
    assert "is an orchestrator's store, not a participant's database" in run.err
