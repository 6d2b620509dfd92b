"""What the engine asks of its store costs the same with a million finished sagas as with none, and so does a look at
one saga.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from kafka_saga.orchestrator.store.sqlite import open_store
from kafka_saga.orchestrator.store.statements import SQL
from kafka_saga.runtime.clock import SystemClock

ASKED_WHILE_RUNNING = (
    "pending",
    "count_pending_of",
    "count_states",
    "count_held",
    "held",
    "due",
    "next_wake_at",
    "versions",
    "unfinished_of",
    "waiting_acts",
    "next_key",
    "load",
)


@pytest.fixture
async def file(tmp_path: Path) -> Path:
    path = tmp_path / "store.db"
    store = await open_store(path, SystemClock())
    await store.close()
    return path


@pytest.mark.parametrize("name", ASKED_WHILE_RUNNING)
async def test_no_statement_of_the_engine_reads_what_is_finished(file: Path, name: str) -> None:
    sql = SQL[name].replace("?ids", "?")
    with sqlite3.connect(file) as connection:
        plan = connection.execute(f"EXPLAIN QUERY PLAN {sql}", ["0"] * _parameters(sql)).fetchall()
    steps = [text for *_, text in plan]
    # `saga_key` grows, so its newest value is one look; everything else goes by an index that is small, or by the id.
    by_index = ("sagas_unfinished", "sagas_wake", "sagas_held", "acts_waiting", "sqlite_autoindex_sagas_1")
    assert steps, sql
    assert all(
        "sagas" not in step or any(index in step for index in by_index) or name == "next_key" for step in steps
    ), steps
    whole_table_index = [step for step in steps if "autoindex" in step and step.startswith("SCAN")]
    assert whole_table_index == []


async def test_what_was_done_to_one_saga_is_found_without_reading_all_acts(file: Path) -> None:
    with sqlite3.connect(file) as connection:
        plan = connection.execute(f"EXPLAIN QUERY PLAN {SQL['list_acts_of']}", ["0"] * 5).fetchall()
    # One step: the index has the acts of a saga in their order, so nothing is sorted.
    assert [text for *_, text in plan] == ["SEARCH acts USING INDEX acts_saga (saga_id=?)"]


@pytest.mark.parametrize(
    ("name", "searched"),
    [
        ("list_waiting_acts", "SCAN acts USING INDEX acts_waiting"),  # it has nothing but those that wait
        ("list_acts_of_bulk", "SEARCH acts USING INDEX sqlite_autoindex_acts_1 (act_id>? AND act_id<?)"),
        ("acts_before", "SEARCH acts USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)"),
    ],
)
async def test_acts_are_found_without_reading_every_start(file: Path, name: str, searched: str) -> None:
    with sqlite3.connect(file) as connection:
        plan = connection.execute(f"EXPLAIN QUERY PLAN {SQL[name]}", ["0"] * _parameters(SQL[name])).fetchall()
    assert plan[0][3] == searched


async def test_ids_that_begin_with_a_text_are_a_range_of_the_index(file: Path) -> None:
    with sqlite3.connect(file) as connection:
        plan = connection.execute(f"EXPLAIN QUERY PLAN {SQL['find_by_prefix']}", ["order-1", None, 6]).fetchall()
    looked_up = [text for *_, text in plan if "saga_id" in text]
    assert looked_up == [
        "SEARCH sagas USING COVERING INDEX sqlite_autoindex_sagas_1 (saga_type=? AND saga_id>? AND saga_id<?)"
    ]
    assert not [text for *_, text in plan if text.startswith("SCAN sagas")]


def _parameters(sql: str) -> int:
    numbered = [int(part[0]) for part in sql.split("?")[1:] if part[:1].isdigit()]
    return max(numbered, default=sql.count("?"))


INDEXES = {
    f"{count}{name}": index
    for count in ("", "count_")
    for name, index in (("list_newest", "INTEGER PRIMARY KEY"), ("list_unfinished", "sagas_unfinished"))
}


def test_the_newest_sagas_are_found_without_reading_the_others(file: Path) -> None:
    values = (0, 2**63 - 1, '["PARKED"]', None, None, 20, False, 0, 2**63 - 1, None, None, None, None, None)
    with sqlite3.connect(file) as connection:
        for name, index in INDEXES.items():
            plan = " / ".join(row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {SQL[name]}", values))
            assert index in plan
            assert "SCAN sagas" not in plan
