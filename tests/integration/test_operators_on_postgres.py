"""Operators beside two replicas on PostgreSQL: every command does what it does on a file."""

from __future__ import annotations

from typing import Any

import pytest

from kafka_saga.runtime.postgres import PostgresUrl
from kafka_saga.schemas.codec import decode_trusted
from tests.integration.processes import run_saga, saga_command, until
from tests.integration.test_operators import BROKE, LOCKED, reach, repair, rows, saga
from tests.integration.world import World

pytestmark = [pytest.mark.kafka, pytest.mark.processes]


@pytest.fixture
async def shared(world: World, postgres_url: PostgresUrl) -> World:
    world.keep_in(postgres_url.secret_text)
    world.environment["SAGA_REPLICA"] = "one"
    return world


async def second(world: World) -> None:
    other = world.add("other", saga_command("orchestrator"))
    other.start(SAGA_REPLICA="two")
    await other.said("orchestrator.ready")


async def test_verbs_pauses_and_purges_reach_whichever_replica_has_the_saga(shared: World) -> None:
    world = shared
    ids = [f"order-{number:02d}" for number in range(8)]
    await world.start(faults={"inventory": LOCKED})
    await second(world)
    await world.order(*ids, **BROKE)
    await reach(world, "PARKED", *ids)

    code, failed = saga(world, "retry", ids[0], "--reason", "hoping")
    assert (code, failed["result"]) == (1, "failed")
    await repair(world, "inventory")
    code, done = saga(world, "retry", "--state", "parked", "--yes", "--bulk-id", "b1")
    assert (code, done["succeeded"], done["failed"]) == (0, len(ids), 0)
    assert {act["outcome"] for act in rows(world, "acts", "--bulk-id", "b1")} == {"done"}

    code, paused = saga(world, "pause", "--service", "payment", "--reason", "migration", "--actor", "ann")
    assert (code, paused["result"]) == (0, "succeeded")
    await world.order(*(f"late-{number}" for number in range(8)))
    await until("all are held", lambda: len(rows(world, "list", "--held")) == 8)
    explained = run_saga(world.environment, "explain", "late-1").stdout
    assert "who paused service payment" in explained
    assert "No orchestrator runs" not in explained
    code, resumed = saga(world, "resume", "--service", "payment")
    assert (code, resumed["result"]) == (0, "succeeded")
    await reach(world, "COMPLETED", *(f"late-{number}" for number in range(8)))
    assert saga(world, "show", "late-3")[1]["status"] == "COMPLETED"

    world.books.check(await world.ended(16))
    purged = run_saga(world.environment, "purge", "--older-than", "0s", "--state", "COMPENSATED", "--yes", "--json")
    assert '"purged":8' in purged.stdout, purged.stderr
    assert sorted(world.books.states()) == [f"late-{number}" for number in range(8)]
    watched = run_saga(world.environment, "watch", "--count", "1")
    assert '"COMPLETED":8' in watched.stdout


async def test_doctor_tells_lives_from_leavings_and_finds_the_rest_well(shared: World) -> None:
    world = shared
    await world.start()
    await second(world)
    submitted = run_saga(world.environment, "submit", "order", "--count", "20", "--wait")
    assert submitted.returncode == 0, submitted.stderr
    found = doctor(world)
    assert lives(found) == {"one": True, "two": True}
    wrong = [row["check"] for row in found if row["verdict"] in {"wrong", "unreachable"}]
    assert set(wrong) <= {"durability"}, "a server for tests may be one that does not wait for its disk"
    world.processes.pop("other").kill()
    assert lives(doctor(world)) == {"one": True, "two": False}


def doctor(world: World) -> list[dict[str, Any]]:
    result = run_saga(world.environment, "doctor", "-o", "jsonl")
    assert result.stdout, result.stderr
    return [decode_trusted(line) for line in result.stdout.splitlines()]


def lives(found: list[dict[str, Any]]) -> dict[str, bool]:
    """By name, whether it beats."""
    return {row["details"]["name"]: row["details"]["beats"] for row in found if row["check"] == "orchestrator"}
