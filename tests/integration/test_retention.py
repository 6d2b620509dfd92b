"""A purge in a running system: what comes later for a purged saga is still told from news (R3, R11, R29)."""

from __future__ import annotations

import pytest

from kafka_saga.schemas.codec import decode_trusted
from kafka_saga.schemas.envelope import Outcome, read_command, reply_headers
from tests.integration.processes import run_saga
from tests.integration.world import World

pytestmark = [pytest.mark.kafka, pytest.mark.real_kafka, pytest.mark.processes]

ORDERS = 500


async def test_what_comes_for_a_purged_saga_starts_nothing_and_is_no_poison_R29(world: World) -> None:
    await world.start()
    ids = [f"order-{number}" for number in range(ORDERS)]
    await world.order(*ids)
    outcomes = dict(await world.ended(ORDERS))
    world.books.check(outcomes)
    effects = world.books.ask("payment", "SELECT count(*) FROM charges")
    purged = run_saga(world.environment, "purge", "--older-than", "0s", "--yes", "--json")
    assert (purged.returncode, decode_trusted(purged.stdout)["purged"]) == (0, ORDERS), purged.stderr
    assert world.orchestrator.running()
    assert world.books.states() == {}
    assert world.books.log_counts() == {}

    command = (await world.read(world.topics.commands("orders"), 1))[0]
    head = read_command(dict(command.headers), command.key)
    late = reply_headers(head, reply_type="orderCreated", source="/test", outcome=Outcome.SUCCESS)
    await world.publish(world.topics.replies_of("orders"), b'{"order_number": "late"}', command.key, late)
    await world.order(*ids)  # every one again
    await world.order("order-7", amount=1)  # the same id, another order
    await world.order("order-new")
    await world.ended(ORDERS + 1)

    [(cause, record)] = await world.dead_letters(world.topics.requests("order"), 1)
    assert (cause, decode_trusted(record.value or b"")["order_id"]) == ("conflict", "order-7")
    assert world.books.states() == {"order-new": "COMPLETED"}
    assert world.books.ask("payment", "SELECT count(*) FROM charges") == [(effects[0][0] + 1,)]
    assert world.orchestrator.terminate() == 0
    counts = _counts(world)
    assert counts["duplicate_request"] == ORDERS
    assert counts["ignored_finished"] == 1, "the late reply"
    assert counts["dead_lettered"] == 1, "the conflict alone"


def _counts(world: World) -> dict[str, int]:
    """What the orchestrator said at its end."""
    lines = [line for line in world.orchestrator.output().splitlines() if '"orchestrator.stopped"' in line]
    counts: dict[str, int] = decode_trusted(lines[-1])
    return counts
