"""What pages and commands ask again and again never reads all sagas, on either store, however many have ended."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from kafka_saga.orchestrator.store.listing import KEY_MAX, MOMENT_MAX
from kafka_saga.orchestrator.store.location import PostgresLocation
from kafka_saga.orchestrator.store.postgres.schema import migrate_store
from kafka_saga.orchestrator.store.postgres.tables import PostgresTables, connect_tables
from kafka_saga.orchestrator.store.sqlite import open_store
from kafka_saga.orchestrator.store.statements import SQL
from kafka_saga.runtime.clock import SystemClock
from kafka_saga.runtime.postgres import PostgresUrl

SAGAS = 20_000
READ_MAX = 2_200
"""Rows: the four hundred sagas that are open, a window of a thousand keys with two rows of log each, and a page."""

WINDOW = (SAGAS - 999, SAGAS + 1)
ANY = (0, MOMENT_MAX, None, None, None, None, None)
QUESTIONS: dict[str, tuple[Any, ...]] = {
    # the overview, and what every page shows
    "count_states": (),
    "count_types": (),
    "count_held": (),
    "oldest_unfinished": (),
    "oldest_moving": (10,),
    "waiting_steps": ("RUNNING", 500),
    "parked_reasons": (500,),
    "overdue": (MOMENT_MAX, 500),
    "ended_by_minute": WINDOW,
    "logs_between": WINDOW,
    "versions_between": WINDOW,
    "durations": (100,),
    # lists
    "list_newest": (0, KEY_MAX, '["COMPLETED", "COMPENSATED"]', None, None, 50, False, *ANY),
    "count_list_newest": (0, KEY_MAX, '["COMPLETED", "COMPENSATED"]', None, None, 1_001, False, *ANY),
    "count_list_unfinished": (0, KEY_MAX, '["RUNNING", "PARKED"]', None, None, 1_001, False, *ANY),
    "list_unfinished": (0, KEY_MAX, '["RUNNING", "PARKED"]', None, None, 50, False, *ANY),
    "find_by_prefix": ("o-77", None, 6),
    "first_key": (),
    "next_key": (),
    "created_from": (SAGAS // 2,),
    "open_failures": (500, 500),
    "parked_at": (500,),
    "undone_failures": (*WINDOW, 500),
    "timers": (0, 0, None, 50),
    "unfinished_by_version": (),
    "versions": (),
    # one saga
    "get": ("order", "o-77"),
    "find": ("o-77", None),
    "by_key": (77,),
    "log": (77,),
    "list_acts_of": (None, 50, "o-77", False, None),
    "ahead_of": (SAGAS // 2, 500),
    "unfinished_among": ("order", '["o-77", "o-100"]'),
    # what has changed since the last look
    "open_keys": (500,),
    "open_marks": (500,),
    "marks_of": ('[["order", "o-77"], ["order", "o-78"]]',),
    "changed_sagas": ("[77, 78]", *WINDOW, 50),
    "ended_among": ("[77, 78]", *WINDOW),
    # who did what
    "acts_before": (KEY_MAX, None, None, None, 50, 0),
    "next_act": (),
    "list_acts": (None, 50),
    "list_waiting_acts": (None, 50),
    "list_acts_of_bulk": (None, 50, "bulk-1", False),
}
TABLES = {"sagas", "step_log", "acts"}

PLACES = {"old": f"i <= {SAGAS // 50}", "new": f"i > {SAGAS - SAGAS // 50}", "scattered": "i % 50 = 0"}
"""Where the open ones are among all. The planner takes them for scattered; a page that is read until it is full is not
read from where none of them are."""

FILL = f"""
INSERT INTO saga.sagas (saga_type, saga_id, hash, definition_version, state, current_step, data, steps, wake_at, parked,
                        version, log_seq, request_hash, created_at, updated_at)
SELECT 'order', 'o-' || i, i, 1,
       CASE WHEN NOT is_open THEN CASE WHEN i % 100 = 1 THEN 'COMPENSATED' ELSE 'COMPLETED' END
            WHEN is_parked THEN 'PARKED' ELSE 'RUNNING' END,
       1, '{{}}', '[{{"error": "busy"}}]', CASE WHEN is_open AND NOT is_parked THEN i END,
       CASE WHEN is_open AND is_parked THEN '{{"reason": "operator", "from_state": "RUNNING", "detail": "no"}}' END,
       1, 1, '', i, i
FROM generate_series(1, {SAGAS}) i, LATERAL (SELECT PLACE AS is_open, i % 100 >= 50 AS is_parked) kind;
INSERT INTO saga.step_log (saga_key, seq, step, status, attempt, at, detail)
SELECT i, n, 'pay', 'SUCCESS', 1, 1, '{{}}' FROM generate_series(1, {SAGAS}) i, generate_series(1, 2) n;
INSERT INTO saga.acts (act_id, saga_type, saga_id, hash, verb, arguments, actor, reason, created_at, outcome, message,
                       decided_at)
SELECT 'act-' || i, 'order', 'o-' || i, i, 'cancel', '{{}}', 'ops', '', 1, 'done', '', 1
FROM generate_series(1, {SAGAS}) i;
ANALYZE saga.sagas, saga.step_log, saga.acts;
"""


@pytest.fixture
async def tables(postgres_url: PostgresUrl) -> AsyncIterator[PostgresTables]:
    """Of a new store."""
    at = PostgresLocation(postgres_url)
    await migrate_store(at)
    tables = await connect_tables(at, application="test", read_only=True)
    yield tables
    await tables.close()


@pytest.mark.parametrize("place", PLACES)
async def test_a_database_reads_a_bounded_number_of_rows(tables: PostgresTables, place: str) -> None:
    """Also by the plan that the server keeps after a few times, which knows no values."""
    await tables.connection.execute(FILL.replace("PLACE", PLACES[place]))
    too_many: dict[str, Any] = {}
    for mode in ("force_custom_plan", "force_generic_plan"):
        await tables.connection.execute(f"SET plan_cache_mode = {mode}")
        for name, values in QUESTIONS.items():
            scans = list(scans_of(await plan_of(tables.connection, tables.sql[name], values)))
            read = {scan["Relation Name"]: rows_of(scan) for scan in scans if rows_of(scan) > READ_MAX}
            whole = {scan["Relation Name"]: "whole" for scan in scans if scan["Node Type"] == "Seq Scan"}
            if read or whole.keys() & TABLES:
                too_many[f"{name} by {mode}"] = read | whole
    assert too_many == {}


async def plan_of(connection: asyncpg.Connection, sql: str, values: tuple[Any, ...]) -> dict[str, Any]:
    """How the server has answered a question that was prepared."""
    prepared = await connection.prepare(sql)
    given = f"({', '.join(map(literal, values))})" if values else ""
    run = f"EXPLAIN (ANALYZE, TIMING off, FORMAT JSON) EXECUTE {prepared.get_name()}{given}"
    [plan] = json.loads(await connection.fetchval(run))
    return dict(plan["Plan"])


def scans_of(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if "Relation Name" in node:
        yield node
    for inner in node.get("Plans", ()):
        yield from scans_of(inner)


def rows_of(scan: dict[str, Any]) -> int:
    """How many rows a scan has looked at, those that a filter threw away included."""
    removed = sum(value for key, value in scan.items() if key.startswith("Rows Removed by"))
    return int((scan["Actual Rows"] + removed) * scan["Actual Loops"])


def literal(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return "NULL" if value is None else str(value).lower()
    return str(value) if isinstance(value, int) else "'" + value.replace("'", "''") + "'"


@pytest.fixture
async def file(tmp_path: Path) -> Path:
    path = tmp_path / "store.db"
    await (await open_store(path, SystemClock())).close()
    return path


@pytest.mark.parametrize("name", QUESTIONS)
async def test_a_file_is_read_by_an_index_that_the_question_is_for(file: Path, name: str) -> None:
    """A whole table is never scanned, nor an index that has every row: those of open sagas, timers, holds are small."""
    with sqlite3.connect(file) as connection:
        plan = connection.execute(f"EXPLAIN QUERY PLAN {SQL[name]}", QUESTIONS[name]).fetchall()
    steps = [text for *_, text in plan]
    small = ("sagas_unfinished", "sagas_wake", "sagas_held", "acts_waiting")
    scans = [step for step in steps if step.startswith("SCAN") and step.split()[1] in TABLES]
    by_key = {
        "first_key",
        "next_key",
        "durations",
        "acts_before",
        "next_act",
        "list_acts",
    }  # the newest, or the oldest, and LIMIT
    assert [step for step in scans if not any(index in step for index in small) and name not in by_key] == [], steps
