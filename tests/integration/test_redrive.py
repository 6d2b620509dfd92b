"""Dead letters come back: a release refused good messages, the next one does not, and `saga dlq redrive` sends them."""

from __future__ import annotations

import pytest

from kafka_saga.schemas.codec import encode
from kafka_saga.schemas.envelope import read_command, read_headers
from tests.integration.processes import run_saga
from tests.integration.world import World

pytestmark = [pytest.mark.kafka, pytest.mark.processes]

NARROW = ("--app", "tests.integration.narrow_sagas")


async def mend(world: World) -> None:
    """The next release: the orchestrator starts again with the models as they should be."""
    assert world.orchestrator.terminate() == 0
    world.orchestrator.command = [word for word in world.orchestrator.command if word not in NARROW]
    world.orchestrator.start()
    await world.ready("orchestrator")


def redrive(world: World, *flags: str) -> str:
    run = run_saga(world.environment, "dlq", "redrive", "--yes", "--reason", "the model is mended", *flags)
    assert run.returncode == 0, run.stderr
    return run.stderr


async def test_a_request_that_is_redriven_once_the_model_is_mended_starts_its_saga(world: World) -> None:
    await world.start(*NARROW)
    await world.order("order-1", "order-2")  # for 49.90
    requests = world.topics.requests("order")
    assert [cause for cause, _ in await world.dead_letters(requests, 2)] == ["bad_schema"] * 2
    redrive(world, "--saga", "order-1")
    letters = await world.dead_letters(requests, 3)
    counts = [dict(letter.headers).get("dlq_replay_count") for _, letter in letters]
    assert counts.count(b"1") == 1, "it came back, and tells that it did"

    await mend(world)
    assert "2 redriven" in redrive(world, "--topic", requests)

    await world.ended(2)
    assert {record["state"] for record in world.outcomes.values()} == {"COMPLETED"}
    assert "no open dead letters" in redrive(world, "--dry-run")
    world.books.check(world.outcomes)


async def test_a_reply_with_a_bad_body_that_is_redriven_returns_to_the_same_step_R12(world: World) -> None:
    await world.start(*NARROW, services=("inventory", "orders"))
    await world.order("order-1", amount=500)
    commands = world.topics.commands("payment")
    [command] = await world.read(commands, 1)
    head = read_command(read_headers(command.headers), command.key)
    answer = (("ce_causationid", head.command_id.encode()), ("ce_sagaoutcome", b"success"))
    await world.publish(head.reply_to, encode({"charge_id": "ch-1234567"}), command.key, answer)
    [(cause, letter)] = await world.dead_letters(world.topics.replies_of("payment"), 1)
    assert (cause, letter.value) == ("bad_schema", b'{"charge_id":"ch-1234567"}')
    waiting = world.show("order-1")
    assert (waiting["state"], waiting["currentStep"], waiting["stepsExecuted"]) == ("RUNNING", 2, [1])

    await mend(world)
    assert "1 redriven" in redrive(world, "--saga", "order-1")

    record = (await world.ended(1))["order-1"]
    assert (record["state"], record["stepsExecuted"], record["error"]) == ("COMPLETED", [1, 2, 3], None)
    assert record["data"]["replies"]["process_payment"] == {"charge_id": "ch-1234567"}
    assert len(await world.read(commands, 1)) == 1, "the step was not asked a second time"
    attempts = [row["attempt"] for row in world.log("order-1", "--all") if row["name"] == "process_payment"]
    assert set(attempts) == {1}
