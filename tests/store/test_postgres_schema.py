"""The schema on PostgreSQL and its one writing function, asked as the adapter asks them (R65, R76)."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from kafka_saga.orchestrator.store.postgres import migrations
from kafka_saga.runtime.postgres import PostgresUrl, connect
from kafka_saga.runtime.postgres_migrations import migrate, migrations_of

NOW = 1_700_000_000_000
SAGA = {
    "n_type": ["order"], "n_hash": [7], "n_definition": [1], "n_state": ["PENDING"], "n_step": [0], "n_data": ["{}"],
    "n_steps": ["[]"], "n_wake": [None], "n_error": [None], "n_parked": [None], "n_version": [0], "n_log_seq": [0],
    "n_request_hash": [b"h"], "n_created": [NOW], "n_updated": [NOW], "n_held": [None], "n_hold": [None],
}  # fmt: skip
CHANGE = {
    "c_state": ["RUNNING"], "c_step": [1], "c_steps": ["[{}]"], "c_wake": [NOW + 5], "c_error": [None],
    "c_parked": [None], "c_version": [1], "c_log_seq": [1], "c_updated": [NOW], "c_held": [None], "c_hold": [None],
}  # fmt: skip


@pytest.fixture
async def connection(postgres_url: PostgresUrl) -> AsyncIterator[asyncpg.Connection]:
    connection = await connect(postgres_url, application="saga test")
    newest = migrations_of(migrations.__name__)[-1].number
    assert await migrate(connection, migrations.__name__, url=postgres_url, schema="saga") == newest
    yield connection
    await connection.close()


async def live(connection: asyncpg.Connection) -> int:
    """A life; its number."""
    return int(
        await connection.fetchval(
            "INSERT INTO saga.replicas (name, program, definitions, began_at, clock) VALUES ('a', '1.0', '[]', 0, 0)"
            " RETURNING replica"
        )
    )


async def commit(connection: asyncpg.Connection, replica: int, number: int, **more: Any) -> asyncpg.Record:
    given = {
        "p_replica": replica, "p_batch": number, "p_clock": NOW, "p_window": 1_000, "p_outage_ended_at": None,
        "p_outage_on": None, "p_in_flight": 1, "p_pending": 2, "p_unsent": 3, "p_settings": 0,
        "p_raises_settings": False, "p_lanes": None,
    } | more  # fmt: skip
    names = ", ".join(f"{name} => ${place}" for place, name in enumerate(given, 1))
    found = await connection.fetchrow(f"SELECT * FROM saga.saga_commit_1({names})", *given.values())
    assert found is not None
    return found


async def refused(connection: asyncpg.Connection, replica: int, number: int, **more: Any) -> tuple[str, Any]:
    """The SQLSTATE and what conflicted."""
    with pytest.raises(asyncpg.PostgresError) as caught:
        await commit(connection, replica, number, **more)
    detail: str | None = caught.value.detail
    return str(caught.value.sqlstate), None if detail is None else json.loads(detail)


async def test_a_life_counts_its_batches_and_its_sums_come_back_R62_R72(connection: asyncpg.Connection) -> None:
    ours, theirs = await live(connection), await live(connection)
    await commit(connection, theirs, 1, p_window=500)
    assert tuple(await commit(connection, ours, 1)) == (None, 2, 4, 6, 500)
    assert tuple(await commit(connection, ours, 2)) == (None, 3, 6, 6, 500)


async def test_whose_life_is_over_writes_nothing_R62(connection: asyncpg.Connection) -> None:
    ours = await live(connection)
    await connection.execute("UPDATE saga.replicas SET state = 'dead'")
    assert await refused(connection, ours, 1) == ("SG001", None)


async def test_a_server_that_lost_commits_is_found_out_R68(connection: asyncpg.Connection) -> None:
    ours = await live(connection)
    await commit(connection, ours, 1)
    assert await refused(connection, ours, 3) == ("SG007", 1)


async def test_each_conflict_has_a_state_of_its_own_and_names_what_conflicted_R65(
    connection: asyncpg.Connection,
) -> None:
    ours = await live(connection)
    one, two = (await commit(connection, ours, 1, **SAGA | {"n_id": ["o-1"]}))["new_keys"][0], 99
    both = {name: values * 2 for name, values in CHANGE.items()} | {"c_key": [one, two], "c_read": [0, 0]}
    offsets = {"o_topic": ["t"], "o_partition": [0], "o_drained": [0]}

    assert await refused(connection, ours, 2, **both) == ("SG003", [two])
    assert await refused(connection, ours, 2, v_key=[one, two], v_version=[0, 0]) == ("SG003", [two])
    pair = {name: values * 2 for name, values in SAGA.items()}
    assert await refused(connection, ours, 2, **pair | {"n_id": ["o-0", "o-1"]}) == ("SG004", [["order", "o-1"]])
    assert (await refused(connection, ours, 2, **offsets, o_expected=[4], o_next=[5]))[0] == "SG002"
    assert await refused(connection, ours, 2, p_settings=1) == ("SG005", None)
    assert await refused(connection, ours, 2, a_act=["a"], a_outcome=["done"], a_message=[""]) == ("SG006", None)

    await commit(connection, ours, 2, **offsets, o_expected=[None], o_next=[5])
    await commit(connection, ours, 3, **offsets, o_expected=[5], o_next=[6])
    await commit(connection, ours, 4, **CHANGE | {"c_key": [one], "c_read": [0]})
    assert await connection.fetchval("SELECT version FROM saga.sagas") == 1
    assert await connection.fetchval("SELECT next FROM saga.offsets") == 6


async def test_who_changes_the_settings_is_seen_by_everybody_who_decided_before_R72(
    connection: asyncpg.Connection,
) -> None:
    ours = await live(connection)
    await commit(connection, ours, 1, p_raises_settings=True, p_lanes=4, p_lifted=["type:order"])
    assert await refused(connection, ours, 2) == ("SG005", None)
    await commit(connection, ours, 2, p_settings=1)
    assert tuple(await connection.fetchrow("SELECT number, lanes FROM saga.settings")) == (1, 4)
