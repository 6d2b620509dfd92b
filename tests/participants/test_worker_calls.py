from __future__ import annotations

import asyncio
import os

import pytest

from kafka_saga.participants.faults import Faults
from kafka_saga.schemas.envelope import Outcome
from tests.participants.shop import Call, Do, Uncall
from tests.participants.worker_world import P0, World


async def test_a_call_outside_holds_up_nobody_and_its_offset_waits_for_it(world: World) -> None:
    """R17."""
    world.outside.gate = asyncio.Event()
    await world.start()
    await world.send(Call(), "order-1")
    await world.send(Do(), "order-2")
    await world.send(Uncall(), "order-1")
    await world.replied(2)
    assert world.broker.outcomes() == [("order-2", Outcome.SUCCESS), ("order-1", Outcome.RETRY)]
    await world.outside.began.wait()
    await world.send(Call(), "order-1", attempt=2)
    await world.send(Do(), "order-3")
    await world.replied(3)
    assert (await world.stored()).get(P0, 0) == 0
    world.outside.gate.set()
    await world.replied(5)
    assert [(head.attempt, head.outcome) for head, _ in world.broker.replies()[3:]] == [
        (1, Outcome.SUCCESS),
        (2, Outcome.SUCCESS),
    ]
    assert world.outside.calls == ["order/order-1/pay/forward/1"]
    assert await world.stored_after_stop() == {P0: 5}


async def test_a_crash_during_a_call_makes_it_again_with_the_same_key(world: World) -> None:
    """R17: the offset never passed the command, so the next start reads it again."""
    world.outside.gate = asyncio.Event()
    await world.start()
    await world.send(Do(), "order-0")
    await world.send(Call(), "order-1")
    await world.send(Do(), "order-2")
    await world.outside.began.wait()
    await world.replied(2)
    await world.idle()
    assert await world.stored() == {P0: 1}
    await world.kill()

    world.outside.gate.set()
    await world.start()
    await world.broker.signals.until(lambda: ("order-1", Outcome.SUCCESS) in world.broker.outcomes())
    assert set(world.outside.calls) == {"order/order-1/pay/forward/1"}
    assert await world.effects() == [("order-0", "do"), ("order-2", "do"), ("order-1", "call")]
    assert await world.stored_after_stop() == {P0: 3}


async def test_a_stop_settles_the_calls_that_end_in_time(world: World) -> None:
    world.outside.gate = asyncio.Event()
    await world.start()
    await world.send(Call(), "order-1")
    await world.outside.began.wait()
    world.lifecycle.stop()
    world.outside.gate.set()
    assert await world.stored_after_stop() == {P0: 1}
    assert world.broker.outcomes() == [("order-1", Outcome.SUCCESS)]


async def test_an_abandoned_call_is_settled_when_its_compensation_comes(world: World) -> None:
    world.outside.mode = "raise"
    await world.start()
    await world.send(Call(), "order-1")
    await world.replied(1)
    world.outside.mode = "ok"
    await world.send(Uncall(), "order-1")
    await world.replied(3)
    await world.send(Uncall(), "order-1", attempt=2)
    await world.replied(4)
    assert [(str(head.command.phase), head.outcome) for head, _ in world.broker.replies()] == [
        ("forward", Outcome.RETRY),
        ("compensate", Outcome.RETRY),
        ("forward", Outcome.SUCCESS),
        ("compensate", Outcome.SUCCESS),
    ]
    assert await world.effects() == [("order-1", "call"), ("order-1", "uncall")]


async def test_late_and_lost_replies_hold_up_nobody(world: World) -> None:
    environment = {"SAGA_ALLOW_FAULTS": "1", "SAGA_FAULT_LATE": "do:saga=order-1:first=1:ms=6000"}
    environment["SAGA_FAULT_LOSE"] = "do:saga=order-2:first=1"
    world.faults = Faults.from_environment(environment)
    world.clock.gate = asyncio.Event()
    await world.start()
    for number in (1, 2, 3):
        await world.send(Do(), f"order-{number}")
    await world.replied(1)
    assert world.broker.outcomes() == [("order-3", Outcome.SUCCESS)]
    await world.send(Do(), "order-2", attempt=2)
    await world.replied(2)
    assert world.clock.slept == [6_000]
    world.clock.gate.set()
    await world.replied(3)
    assert [saga_id for saga_id, _ in world.broker.outcomes()] == ["order-3", "order-2", "order-1"]
    assert len(await world.effects()) == 3
    assert await world.stored_after_stop() == {P0: 4}


async def test_a_late_reply_that_the_stop_overtakes_is_sent_after_the_next_start(world: World) -> None:
    environment = {"SAGA_ALLOW_FAULTS": "1", "SAGA_FAULT_LATE": "do:saga=order-1:first=1:ms=6000"}
    world.faults = Faults.from_environment(environment)
    world.clock.gate = asyncio.Event()
    await world.start()
    await world.send(Do(), "order-0")
    await world.send(Do(), "order-1")
    await world.replied(1)
    assert await world.stored_after_stop() == {P0: 1}
    world.faults = Faults()
    await world.start()
    await world.replied(2)
    assert world.broker.outcomes() == [("order-0", Outcome.SUCCESS), ("order-1", Outcome.SUCCESS)]
    assert len(await world.effects()) == 2


async def test_the_crash_fault_kills_after_the_commit_and_before_the_reply(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def kill(process: int, _number: int) -> None:
        assert process == os.getpid()
        raise Killed

    monkeypatch.setattr(os, "kill", kill)
    world.faults = Faults.from_environment({"SAGA_ALLOW_FAULTS": "1", "SAGA_FAULT_CRASH": "do:every=2"})
    await world.send(Do(), "order-1")
    await world.send(Do(), "order-2")
    await world.start()
    assert world.task is not None
    [ended], _ = await asyncio.wait({world.task})
    assert isinstance(ended.exception(), Killed)
    assert world.broker.published == []
    await world.close()

    await world.start()  # the commands come again, do not run, and are not counted: no crash loop
    await world.replied(2)
    assert len(await world.effects()) == 2
