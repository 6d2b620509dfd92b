"""What a replica asks is answered by an index, also by plans that were made while the tables were empty (R65, R71)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from kafka_saga.orchestrator.machine.events import Admitted
from kafka_saga.orchestrator.store.location import PostgresLocation
from kafka_saga.orchestrator.store.members import Joining, Lanes
from kafka_saga.orchestrator.store.port import Advance, Batch, Changed
from kafka_saga.orchestrator.store.postgres.store import PostgresStore, open_store
from kafka_saga.runtime.clock import SystemClock
from kafka_saga.runtime.postgres import PostgresUrl
from tests.contracts.stores import NOW, decided, new_saga, start, stored
from tests.contracts.test_store import REPLIES

OURS = ([0, 2], 4)
QUESTIONS: dict[str, tuple[tuple[Any, ...], str]] = {
    "load": (("order", ["o-5", "o-6"]), "sagas_saga_type_saga_id_key"),
    "lock": (([5, 6, 7],), "sagas_pkey"),
    "pending": ((100, ["other"], *OURS), "sagas_unfinished"),
    "due": ((NOW, 500, *OURS), "sagas_wake"),
    "next_wake_at": ((), "sagas_wake"),
    "held": (("operator", 10, *OURS), "sagas_held"),
    "count_held": ((), "sagas_held"),
    "count_states": ((), "sagas_unfinished"),
    "count_pending_of": ((["order"],), "sagas_unfinished"),
    "versions": ((), "sagas_unfinished"),
    "unfinished_of": (("order", 1, 10), "sagas_unfinished"),
    "waiting_acts": ((100, *OURS, NOW), "acts_waiting"),
}
FILL = """
INSERT INTO saga.sagas (saga_type, saga_id, hash, definition_version, state, current_step, data, steps, wake_at,
                        version, log_seq, request_hash, created_at, updated_at)
SELECT 'order', 'o-' || i, i, 1, CASE WHEN i % 50 = 0 THEN 'RUNNING' ELSE 'COMPLETED' END, 1, '{}', '[]',
       CASE WHEN i % 50 = 0 THEN i END, 1, 1, '', 1, 1
FROM generate_series(1, 20000) i; ANALYZE saga.sagas
"""


@pytest.fixture
async def store(postgres_url: PostgresUrl) -> AsyncIterator[PostgresStore]:
    store = await open_store(PostgresLocation(postgres_url), SystemClock())
    await store.members.join(Joining("a", "1.0", "[]", 1_000, 1))
    store.members.own(Lanes(1, frozenset({0})))
    yield store
    await store.close()


@pytest.mark.parametrize("filled", [False, True], ids=["empty", "filled"])
async def test_every_question_is_answered_by_the_index_made_for_it(store: PostgresStore, filled: bool) -> None:
    async def plans(connection: asyncpg.Connection) -> dict[str, str]:
        if filled:
            await connection.execute(FILL)
        return {
            name: "\n".join(line for (line,) in await connection.fetch(f"EXPLAIN {store.sql[name]}", *params))
            for name, (params, _) in QUESTIONS.items()
        }

    found = await store._reader.once(plans)
    assert {name: plan for name, plan in found.items() if f"using {QUESTIONS[name][1]} on" not in plan} == {}
    assert {name: plan for name, plan in found.items() if "Sort " in plan and name == "pending"} == {}


async def test_a_batch_finds_its_rows_one_by_one_in_the_order_of_its_arrays(store: PostgresStore) -> None:
    """The order in which rows are locked is the order in which everybody sorts them."""
    said: list[str] = []

    async def explain(connection: asyncpg.Connection) -> None:
        await connection.execute(
            "LOAD 'auto_explain'; SET auto_explain.log_min_duration = 0; SET auto_explain.log_level = notice;"
            "SET auto_explain.log_nested_statements = on; SET client_min_messages = notice"
        )
        connection.add_log_listener(lambda _connection, message: said.append(str(message)))

    try:
        await store._writer.once(explain)
    except asyncpg.PostgresError as error:
        pytest.skip(f"the server explains nothing: {error}")
    await start(store, new_saga("order-1"), new_saga("order-2"))
    read = [await stored(store, "order-1"), await stored(store, "order-2")]
    changed = [Changed(decided(saga, Admitted()).saga, saga.version) for saga in read]
    await store.commit(Batch(NOW, changed=changed, offsets={REPLIES: Advance(None, 1)}))
    await store.commit(Batch(NOW, unchanged=[change.saga for change in changed], offsets={REPLIES: Advance(1, 2)}))

    [update] = [plan for plan in said if "UPDATE saga.sagas" in plan]
    assert _is_loop(update, "sagas_pkey"), update
    [verify] = [plan for plan in said if "unnest(v_key" in plan]
    assert _is_loop(verify, "sagas_pkey"), verify
    for move in [plan for plan in said if "UPDATE saga.offsets" in plan]:
        assert _is_loop(move, "offsets_pkey"), move


def _is_loop(plan: str, index: str) -> bool:
    """The array outside, the index inside."""
    return "Nested Loop" in plan and 0 < plan.find("Function Scan on") < plan.find(f"Index Scan using {index}")
