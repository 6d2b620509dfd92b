"""The guard's tables once had no names of their own; a service may have tables that are called as they were."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from kafka_saga.messaging.records import TopicPartition
from kafka_saga.participants.command import FenceKey
from kafka_saga.participants.store.sqlite import open_store
from kafka_saga.runtime.errors import StoreRefusedError
from kafka_saga.runtime.identity import identify

OLD = """
CREATE TABLE schema_version (version INTEGER PRIMARY KEY, name TEXT);
INSERT INTO schema_version VALUES (1, '0001_fence.sql');
CREATE TABLE fence (
    saga_type TEXT NOT NULL, saga_id TEXT NOT NULL, step TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('started', 'done', 'failed', 'cancelled', 'compensated')),
    action_epoch INTEGER NOT NULL, compensation_epoch INTEGER NOT NULL, action_reply TEXT, compensation_reply TEXT,
    call TEXT, started_at INTEGER NOT NULL, updated_at INTEGER NOT NULL,
    CHECK ((status = 'started') = (call IS NOT NULL)), CHECK (status <> 'done' OR action_reply IS NOT NULL)
);
CREATE UNIQUE INDEX fence_key ON fence (saga_id, step, saga_type);
CREATE TABLE offsets (topic TEXT NOT NULL, partition INTEGER NOT NULL, next INTEGER NOT NULL,
    updated_at INTEGER NOT NULL, PRIMARY KEY (topic, partition)) WITHOUT ROWID;
CREATE TABLE meta (name TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
INSERT INTO fence VALUES ('order', 'order-1', 'pay', 'done', 1, 0, '{}', NULL, NULL, 5, 6);
INSERT INTO offsets VALUES ('shop.commands', 0, 7, 6);
INSERT INTO meta VALUES ('store_id', 'it');
CREATE VIEW what_was_done AS SELECT saga_id FROM fence;
"""

THEIRS = """
CREATE TABLE meta (theirs); INSERT INTO meta VALUES ('kept');
CREATE TABLE fence (theirs); CREATE TABLE offsets (theirs);
CREATE TABLE schema_version (version, name); INSERT INTO schema_version VALUES (1, 'their first');
"""


def made(path: Path, script: str) -> Path:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(script)
    return path


def schema(path: Path) -> dict[str, str]:
    with closing(sqlite3.connect(path)) as connection:
        found = connection.execute("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL").fetchall()
    return {name: " ".join(sql.replace('"', "").split("--")[0].split()) for name, sql in found}


async def test_a_database_of_before_is_renamed_at_the_start_and_loses_nothing(tmp_path: Path) -> None:
    path = made(tmp_path / "shop.db", OLD)
    for _start in (1, 2):
        store = await open_store(path)
        assert store.store_id == "it"
        assert await store.offsets() == {TopicPartition("shop.commands", 0): 7}
        assert len(await store.load([FenceKey("order", "order-1", "pay")])) == 1
        assert await store.connection.fetch_all("SELECT * FROM what_was_done") == [("order-1",)]
        await store.close()
    fresh = tmp_path / "fresh.db"
    await (await open_store(fresh)).close()
    assert schema(path).keys() - {"what_was_done"} == schema(fresh).keys()
    assert schema(path)["saga_fence_key"] == schema(fresh)["saga_fence_key"]


async def test_a_service_may_have_tables_that_are_called_as_ours_were(tmp_path: Path) -> None:
    path = made(tmp_path / "shop.db", THEIRS)
    for _start in (1, 2):
        store = await open_store(path)
        assert await store.connection.fetch_all("SELECT * FROM meta") == [("kept",)]
        assert await store.offsets() == {}
        await store.close()


async def test_tables_that_are_called_as_ours_are_are_refused(tmp_path: Path) -> None:
    path = made(tmp_path / "shop.db", "CREATE TABLE saga_meta (theirs)")
    with pytest.raises(StoreRefusedError, match="saga_meta"):
        await open_store(path)


@pytest.mark.parametrize(
    ("script", "name", "is_called"),
    [(OLD, "offsets", "offsets"), (OLD, "sagas", None), (THEIRS, "parcels", None), ("", "offsets", None)],
)
def test_what_our_tables_are_called_is_told_without_changing_them(
    tmp_path: Path, script: str, name: str, is_called: str | None
) -> None:
    found = identify(made(tmp_path / "shop.db", script))
    assert found is not None
    assert found.table(name) == is_called


async def test_what_our_tables_are_called_today(tmp_path: Path) -> None:
    path = made(tmp_path / "shop.db", THEIRS)
    await (await open_store(path)).close()
    found = identify(path)
    assert found is not None
    assert (found.table("offsets"), found.table("meta"), found.schema) == ("saga_offsets", "saga_meta", 1)
