"""`saga lag` beside workers that share their service's topic: who reads which partition, by name."""

from __future__ import annotations

import pytest

from kafka_saga.runtime.postgres import PostgresUrl
from kafka_saga.schemas.codec import decode_trusted
from tests.integration.processes import CLOCK, Process, run_saga, saga_command
from tests.integration.world import World

pytestmark = [pytest.mark.kafka, pytest.mark.real_kafka, pytest.mark.processes]


def worker(world: World, url: PostgresUrl, name: str) -> Process:
    command = saga_command("participant", "inventory", "--database", url.secret_text, "--worker", name)
    process = world.add(name, command)
    process.start()
    return process


def readers(world: World) -> dict[int, str | None]:
    """Who reads each partition of the service's commands."""
    result = run_saga(world.environment, "lag", "-o", "jsonl", "--topic", world.topics.commands("inventory"))
    assert result.returncode == 0, result.stderr
    rows = [decode_trusted(line) for line in result.stdout.splitlines()]
    assert {row["group"] for row in rows} == {f"{world.topics.prefix}inventory"}
    return {row["partition"]: row["member"] for row in rows}


async def shared_by(world: World, *names: str) -> dict[int, str | None]:
    """Wait until the partitions are shared by these; by whom each is read."""
    wanted = {f"{name}@127.0.0.1" for name in names}
    while set((found := readers(world)).values()) != wanted:
        await CLOCK.sleep(200)
    return found


async def test_lag_names_the_worker_that_reads_a_partition(world: World, postgres_url: PostgresUrl) -> None:
    world.add("orchestrator", saga_command("orchestrator")).start()
    await world.ready()
    one = worker(world, postgres_url, "shelf-1")
    await world.ready("shelf-1")
    alone = await shared_by(world, "shelf-1")
    assert len(alone) > 1
    two = worker(world, postgres_url, "shelf-2")
    await world.ready("shelf-2")
    both = await shared_by(world, "shelf-1", "shelf-2")
    assert both.keys() == alone.keys()
    assert one.terminate() == 0
    assert await shared_by(world, "shelf-2") == dict.fromkeys(alone, "shelf-2@127.0.0.1")

    wide = {**world.environment, "COLUMNS": "200"}  # a narrow terminal's table is cut
    table = run_saga(wide, "lag", "--topic", world.topics.commands("inventory")).stdout.splitlines()
    assert table[0].split()[-1].lower() == "member"
    assert [line.split()[-1] for line in table[1 : 1 + len(alone)]] == ["shelf-2@127.0.0.1"] * len(alone)
    assert two.terminate() == 0
