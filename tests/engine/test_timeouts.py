"""When a timeout may fire (R21): never because of an outage, a queue, or a slow fetch; only because no reply came."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from structlog.testing import capture_logs

from kafka_saga.messaging.consumer import Reset
from kafka_saga.messaging.records import TopicPartition
from kafka_saga.messaging.stuck import OPEN_TRANSACTION
from kafka_saga.messaging.survey import Extent
from kafka_saga.orchestrator.engine.showing import Showing
from kafka_saga.orchestrator.machine.states import SagaState
from kafka_saga.orchestrator.store.memory import MemoryStore
from kafka_saga.orchestrator.store.port import Batch
from kafka_saga.runtime.errors import ConflictError
from kafka_saga.schemas.envelope import Outcome
from tests.contracts.stores import NOW
from tests.engine.world import World


async def test_a_command_without_a_reply_is_sent_again_after_its_backoff(world: World) -> None:
    await world.begin()
    await world.pass_time(4_999)
    assert "TIMEOUT" not in await world.statuses()
    await world.pass_time(1)
    assert (await world.statuses())[-1] == "TIMEOUT"
    await world.pass_time(999)
    assert len(world.sent()) == 1
    await world.pass_time(1)
    again = world.sent()[-1].head
    assert (again.command_id, again.attempt) == (world.sent()[0].head.command_id, 2)


async def test_silence_through_all_attempts_ends_in_compensation_27_s_later_R8(world: World) -> None:
    await world.begin()
    while (await world.saga()).state is SagaState.RUNNING:
        await world.pass_time(100)
    assert world.clock.at_ms - NOW == 27_000
    assert [sent.head.attempt for sent in world.sent("reserveItems")] == [1, 2, 3, 4]
    assert world.sent()[-1].head.command_type == "releaseItems"


async def test_a_command_that_is_not_known_to_be_published_does_not_time_out_R21(world: World) -> None:
    world.kafka.away = True
    world.request()
    await world.turn()
    for _ in range(20):
        await world.pass_time(5_000)
    assert await world.statuses() == ["IN_PROGRESS"]
    assert world.sent() == []


async def test_after_an_outage_of_publishing_the_wait_for_the_reply_begins_again_R21(world: World) -> None:
    world.kafka.away = True
    world.request()
    await world.turn()
    await world.pass_time(60_000)
    world.kafka.away = False
    await world.pass_time(5_000)
    assert len(world.sent()) == 1
    assert "TIMEOUT" not in await world.statuses()
    saga = await world.saga()
    assert saga.wake_at == world.clock.at_ms + 5_000
    await world.pass_time(4_999)
    assert "TIMEOUT" not in await world.statuses()
    await world.pass_time(1)
    assert (await world.statuses())[-1] == "TIMEOUT"


async def test_a_process_that_follows_one_that_died_knows_when_the_outage_ended_R21(world: World) -> None:
    world.kafka.away = True
    world.request()
    await world.turn()
    world.kafka.away = False
    world.request("order-2")
    await world.pass_time(3_000, turns=1)  # its batch deletes the first one's outbox row
    assert [row.created_at for row in await world.store.outbox()] == [world.clock.at_ms]
    await world.crash()

    again = await World(world.store, world.clock).start()
    again.kafka.logs |= world.kafka.logs
    await again.pass_time(2_000)
    assert "TIMEOUT" not in await again.statuses()
    await again.pass_time(3_000)
    assert (await again.statuses())[-1] == "TIMEOUT"
    await again.stop()


async def test_a_broker_that_was_away_when_a_process_died_is_known_to_have_been_away_R21(world: World) -> None:
    await world.begin()
    world.kafka.away = True
    await world.pass_time(5_000)
    assert (await world.store.outage()).is_on
    await world.crash()

    again = World(world.store, world.clock)
    again.kafka.logs |= world.kafka.logs
    await again.start()
    await again.pass_time(1_000)
    assert "TIMEOUT" not in await again.statuses()
    assert not (await again.store.outage()).is_on
    await again.pass_time(5_000)
    assert (await again.statuses())[-1] == "TIMEOUT"
    await again.stop()


async def test_replies_of_a_batch_that_was_rolled_back_hold_their_timers_R69(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = await world.begin()
    commit, conflicts = world.store.commit, ["another owner has read these partitions meanwhile"]

    async def conflicting(batch: Batch) -> int | None:
        if conflicts and batch.offsets:
            world.reader.hidden = {"inventory.replies"}  # and its fetch takes a while
            raise ConflictError(conflicts.pop())
        return await commit(batch)

    monkeypatch.setattr(world.store, "commit", conflicting)
    world.clock.advance(5_000)
    world.answer(command)
    await world.turn(2)
    assert conflicts == []
    await world.pass_time(1_000)
    assert "TIMEOUT" not in await world.statuses()
    world.reader.hidden = set()
    await world.turn()
    assert (await world.saga()).active_index == 1


async def test_a_reply_that_is_there_but_not_read_yet_prevents_the_timeout_R21(world: World) -> None:
    command = await world.begin()
    world.reader.hidden = {"inventory.replies"}
    world.answer(command)
    await world.pass_time(5_000)
    await world.pass_time(5_000)
    assert "TIMEOUT" not in await world.statuses()
    world.reader.hidden = set()
    await world.turn()
    assert (await world.saga()).active_index == 1
    assert "TIMEOUT" not in await world.statuses()


async def test_one_reply_topic_that_lags_holds_every_timeout_R21(world: World) -> None:
    await world.begin("order-1")
    command = await world.begin("order-2")
    world.reader.hidden = {"inventory.replies"}
    world.answer(command, Outcome.SUCCESS)
    await world.pass_time(10_000)
    assert "TIMEOUT" not in await world.statuses("order-1")
    world.reader.hidden = set()
    await world.turn(4)
    assert "TIMEOUT" in await world.statuses("order-1")


async def test_an_end_that_was_asked_for_before_the_deadline_does_not_count_R21(world: World) -> None:
    first = await world.begin("order-1")
    await world.pass_time(3_000)
    second = await world.begin("order-2")
    await world.pass_time(2_000)  # the ends are asked for at the first saga's deadline
    world.answer(first)
    world.reader.hidden = {"inventory.replies"}
    world.answer(second)
    await world.pass_time(3_000)
    assert "TIMEOUT" not in await world.statuses("order-2")


async def test_no_broker_no_timeouts_and_the_waits_begin_again_after_it_R21(world: World) -> None:
    await world.begin()
    world.kafka.away = True
    for _ in range(12):
        await world.pass_time(5_000)
    assert "TIMEOUT" not in await world.statuses()
    world.kafka.away = False
    await world.pass_time(10)
    assert "TIMEOUT" not in await world.statuses()
    assert (await world.saga()).wake_at == world.clock.at_ms + 5_000
    await world.pass_time(5_000)
    assert (await world.statuses())[-1] == "TIMEOUT"


async def test_a_broker_that_answers_late_was_away_too_R21(world: World) -> None:
    await world.begin()
    world.reader.ends_wait = asyncio.Event()  # it hangs, as a frozen broker does: no error, no answer
    for _ in range(4):
        await world.pass_time(2_000)
    world.reader.ends_wait.set()
    world.reader.ends_wait = None
    await world.turn(4)
    assert "TIMEOUT" not in await world.statuses(), "participants could not answer while the broker hung"
    assert (await world.saga()).wake_at == world.clock.at_ms + 5_000


async def test_timers_survive_a_restart(world: World) -> None:
    await world.begin()
    await world.crash()
    again = World(world.store, world.clock)
    again.kafka = world.kafka
    await again.start()
    await again.pass_time(5_000)
    assert (await again.statuses())[-1] == "TIMEOUT"
    await again.stop()


async def test_replies_that_waited_while_the_orchestrator_was_down_come_before_the_timeouts_R21(world: World) -> None:
    command = await world.begin()
    await world.crash()
    world.answer(command)
    world.clock.advance(600_000)
    again = World(world.store, world.clock)
    again.kafka = world.kafka
    await again.start()
    await again.turn(4)
    assert "TIMEOUT" not in await again.statuses()
    assert (await again.saga()).active_index == 1
    await again.stop()


async def test_a_wall_clock_that_jumps_back_fires_nothing_early_and_stops_nothing_R27(world: World) -> None:
    await world.begin()
    world.clock.wall_ahead_ms = -3_600_000
    await world.turn(3)
    assert "TIMEOUT" not in await world.statuses()
    await world.succeed("reserveItems")
    assert isinstance(world.store, MemoryStore)
    assert [entry.at for entry in await world.log()] == sorted(entry.at for entry in await world.log())


def holders(world: World) -> list[str]:
    """What a scrape names as holding timers."""
    families = {family.name: family for family in Showing(world.engine, world.clock).families()}
    return [sample.labels["by"] for sample in families["saga_timers_held"].samples]


def held(logs: list[Any]) -> list[Any]:
    return [entry for entry in logs if entry["event"] == "timers.held"]


async def test_a_partition_added_just_now_is_read_to_its_end_before_anything_times_out_R21(world: World) -> None:
    await world.begin()
    added = TopicPartition("inventory.replies", 1)
    world.reader.beside = {added: Extent(3, 3)}
    await world.pass_time(5_000)
    await world.pass_time(1_000)
    assert "TIMEOUT" not in await world.statuses()
    world.reader.taken_up = {added: 2}
    await world.turn()
    assert "TIMEOUT" not in await world.statuses()
    world.reader.taken_up = {added: 3}
    await world.turn(2)
    assert (await world.statuses())[-1] == "TIMEOUT"


async def test_an_added_partition_in_which_nothing_is_holds_nothing(world: World) -> None:
    await world.begin()
    world.reader.beside = {TopicPartition("inventory.replies", 1): Extent(0, 0)}
    await world.pass_time(5_000)
    assert (await world.statuses())[-1] == "TIMEOUT"


@pytest.mark.parametrize("committed", [True, False])
async def test_an_open_transaction_of_another_producer_holds_the_timers_until_it_ends_R21(
    world: World, committed: bool
) -> None:
    command = await world.begin()
    world.reader.stable["inventory.replies"] = 0
    world.answer(command)
    with capture_logs() as logs:
        for _ in range(7):
            await world.pass_time(5_000)
        assert "TIMEOUT" not in await world.statuses()
        told = held(logs)
        assert len(told) == 2, "after 5 s, and 10 s later again; the next time would be after 20 s more"
        assert (told[0]["partition"], told[0]["position"], told[0]["end"]) == ("inventory.replies[0]", 0, 1)
        assert {entry["why"] for entry in told} == {OPEN_TRANSACTION}
        assert world.engine.counts["timers_held"] == 2
        assert holders(world) == ["inventory.replies[0]"]

        del world.reader.stable["inventory.replies"]
        if not committed:  # what was in it is passed over
            world.reader.seek(TopicPartition("inventory.replies", 0), 1)
        await world.turn(3)
    assert [entry["held_ms"] for entry in logs if entry["event"] == "timers.released"] == [30_000]
    assert holders(world) == []
    assert ("TIMEOUT" in await world.statuses()) is not committed
    assert (await world.saga()).active_index == (1 if committed else 0)


async def test_a_partition_that_nobody_leads_holds_every_timer_and_the_waits_begin_again_after_it_R21(
    world: World,
) -> None:
    await world.begin()
    world.reader.refusing = "payment.replies[3] has no leader"
    with capture_logs() as logs:
        for _ in range(4):
            await world.pass_time(5_000)
    assert "TIMEOUT" not in await world.statuses()
    assert [entry["error"] for entry in held(logs)] == ["payment.replies[3] has no leader"] * 3
    assert holders(world) == ["brokers"]
    world.reader.refusing = ""
    await world.pass_time(10)
    assert (await world.saga()).wake_at == world.clock.at_ms + 5_000, "who answers there could not, either"
    await world.pass_time(5_000)
    assert (await world.statuses())[-1] == "TIMEOUT"


async def test_a_topic_that_is_shorter_than_what_was_read_of_it_is_read_anew_before_anything_times_out_R21(
    world: World,
) -> None:
    for number in range(3):
        await world.begin(f"earlier-{number}")
        await world.succeed("reserveItems")
    command = await world.begin()
    topic = "inventory.replies"
    world.kafka.logs[topic].clear()
    world.answer(command)
    await world.pass_time(5_000)
    await world.pass_time(1_000)
    assert "TIMEOUT" not in await world.statuses(), "its position is beyond the end, and says nothing"

    world.reader.seek(TopicPartition(topic, 0), 0)
    world.reader.resets.append(Reset(TopicPartition(topic, 0), 3, 0, "beyond_end"))
    await world.turn(3)
    assert (await world.saga()).active_index == 1
    assert "TIMEOUT" not in await world.statuses()


async def test_an_end_that_a_topic_has_lost_meanwhile_is_not_waited_for_for_ever_R21(world: World) -> None:
    await world.begin()
    topic, partition = "inventory.replies", TopicPartition("inventory.replies", 0)
    world.reader.hidden = {topic}
    for _ in range(3):
        world.put(topic, b"{}")
    await world.pass_time(5_000)
    assert "TIMEOUT" not in await world.statuses()
    world.kafka.logs[topic].clear()  # made anew before they were read
    world.reader.hidden = set()
    for _ in range(4):
        await world.pass_time(5_000)
    assert "TIMEOUT" in await world.statuses()
    assert (await world.reader.positions([topic]))[partition] == 0


async def test_an_end_that_a_topic_has_lost_after_hours_is_asked_for_as_soon_as_after_seconds_R21(world: World) -> None:
    await world.begin()
    topic = "inventory.replies"
    world.reader.hidden = {topic}
    for _ in range(3):
        world.put(topic, b"{}")
    for _ in range(24):
        await world.pass_time(300_000)
    world.kafka.logs[topic].clear()
    world.reader.hidden = set()
    for _ in range(4):
        await world.pass_time(5_000)
    assert "TIMEOUT" in await world.statuses()


async def test_a_hold_that_a_reply_ends_is_over_too(world: World) -> None:
    command = await world.begin()
    world.reader.beside = {TopicPartition("orders.replies", 1): Extent(1, 1)}
    with capture_logs() as logs:
        for _ in range(3):
            await world.pass_time(5_000)
        world.answer(command)
        await world.turn(2)
        await world.pass_time(1_000)
    assert len(held(logs)) == 1
    assert [entry["event"] for entry in logs if entry["event"].startswith("timers")][-1] == "timers.released"
