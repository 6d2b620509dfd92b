"""What replicas build on, for each store that they can share: lives, heirs, lanes, and proofs in every batch."""

from __future__ import annotations

import pytest

from kafka_saga.messaging.records import Message, TopicPartition
from kafka_saga.orchestrator.machine.events import Act, Admitted
from kafka_saga.orchestrator.machine.pausing import Pause
from kafka_saga.orchestrator.machine.saga import Hold
from kafka_saga.orchestrator.machine.states import EventKind
from kafka_saga.orchestrator.store.members import Horizon, Lanes, SharedStore, hash_of
from kafka_saga.orchestrator.store.port import (
    ActOutcome,
    Advance,
    Batch,
    Changed,
    Counted,
    Drained,
    Outage,
    QueuedAct,
    Started,
)
from kafka_saga.runtime.errors import ConflictError
from kafka_saga.schemas.ids import SagaRef
from tests.contracts.sharing import EVERY, LANES, Server, seen
from tests.contracts.stores import HASH, NOW, cancel, decided, move, new_saga, start, start_running, stored
from tests.contracts.test_store import MESSAGE, REPLIES

PAUSE = Pause(Hold("service:payment", "ops", "told to", NOW), under_way=True)
COUNTED = {"inventory.replies": Counted(1, NOW)}
FIRST = TopicPartition("inventory.replies", 0)


def others_lane(saga_id: str) -> Lanes:
    """Every lane but that of the saga."""
    return Lanes(LANES, frozenset(range(LANES)) - {hash_of(saga_id) % LANES})


async def refused(store: SharedStore, batch: Batch, what: str) -> None:
    with pytest.raises(ConflictError) as error:
        await store.commit(batch)
    assert error.value.what == what


async def test_each_life_has_a_number_of_its_own_and_sees_all_that_live_R61(server: Server) -> None:
    a, b = await server.joined("a"), await server.joined("b")
    assert 0 < a.members.replica < b.members.replica
    assert [(peer.replica, peer.name) for peer in await a.members.beat(1_000)] == [
        (a.members.replica, "a"),
        (b.members.replica, "b"),
    ]


async def test_a_beat_is_seen_to_move_R61(server: Server) -> None:
    a, b = await server.joined("a"), await server.joined("b")
    before = await seen(a, b)
    await b.members.beat(1_000)
    assert (await seen(a, b)).beat > before.beat


async def test_a_life_whose_beat_moved_since_it_was_seen_is_not_buried_R61(server: Server) -> None:
    a, b = await server.joined("a"), await server.joined("b")
    peer = await seen(a, b)
    await b.members.beat(1_000)
    assert not await a.members.bury(peer)
    await start(b, new_saga())


async def test_a_dead_life_writes_nothing_any_more_until_it_begins_a_new_one_R62(server: Server) -> None:
    a, b = await server.joined("a"), await server.joined("b")
    assert await a.members.bury(await seen(a, b))
    await refused(b, Batch(NOW, started=[Started(new_saga(), HASH)]), "life")
    assert await a.load([new_saga().ref]) == {}
    assert b.members.replica not in {peer.replica for peer in await b.members.beat(1_000)}
    with pytest.raises(ConflictError):
        await b.members.inherit()
    again = await server.joined("b")
    await start(again, new_saga())


async def test_nobody_is_buried_twice_R61(server: Server) -> None:
    a, b, c = await server.joined("a"), await server.joined("b"), await server.joined("c")
    peer = await seen(a, c)
    assert await a.members.bury(peer)
    assert not await b.members.bury(peer)


async def test_a_life_that_left_is_seen_no_more_and_writes_nothing_R62(server: Server) -> None:
    a, b = await server.joined("a"), await server.joined("b")
    await b.members.leave()
    assert [peer.name for peer in await a.members.beat(1_000)] == ["a"]
    await refused(b, Batch(NOW, started=[Started(new_saga(), HASH)]), "life")


async def test_what_a_dead_life_left_unpublished_is_its_judges_in_its_order_R73(server: Server) -> None:
    a, b = await server.joined("a"), await server.joined("b")
    for number in range(3):
        await b.commit(Batch(NOW + number, messages=[to(str(number))]))
    assert await a.members.bury(await seen(a, b))
    rows = await a.members.inherit()
    assert [row.messages for row in rows] == [[to("0")], [to("1")], [to("2")]]
    assert [row.created_at for row in rows] == [NOW, NOW + 1, NOW + 2]
    assert await a.members.inherit() == []
    await a.commit(Batch(NOW, published=[row.outbox_id for row in rows]))
    assert await a.outbox() == []


def to(key: str) -> Message:
    return MESSAGE._replace(key=key.encode())


async def test_the_rows_of_a_life_that_left_go_to_one_heir_and_from_a_dead_heir_to_the_next_R73(server: Server) -> None:
    a, b, c = await server.joined("a"), await server.joined("b"), await server.joined("c")
    await c.commit(Batch(NOW, messages=[MESSAGE]))
    await c.members.leave()
    assert len(await a.members.inherit()) == 1
    assert await b.members.inherit() == []
    assert await b.members.bury(await seen(b, a))
    assert len(await b.members.inherit()) == 1


async def test_the_rows_of_the_living_are_nobody_elses_however_old_R73(server: Server) -> None:
    a, b = await server.joined("a"), await server.joined("b")
    await b.commit(Batch(NOW - 10**6, messages=[MESSAGE]))
    assert await a.members.inherit() == []


async def test_a_batch_is_refused_that_was_decided_before_pauses_changed_R72(server: Server) -> None:
    a, b = await server.joined("a"), await server.joined("b")
    await a.commit(Batch(NOW, pauses={"service:payment": PAUSE}))
    batch = Batch(NOW, started=[Started(new_saga(), HASH)])
    await refused(b, batch, "settings")
    assert await b.pauses() == {"service:payment": PAUSE}
    await b.commit(batch)
    await a.commit(Batch(NOW, pauses={"service:payment": None}))
    assert await a.pauses() == {}


async def test_lanes_are_a_setting_like_pauses_R72(server: Server) -> None:
    a, b = await server.joined("a"), await server.joined("b")
    assert a.members.lanes == b.members.lanes == LANES
    await a.commit(Batch(NOW, lanes=6))
    assert a.members.lanes == 6
    await refused(b, Batch(NOW, started=[Started(new_saga(), HASH)]), "settings")
    await b.pauses()
    assert b.members.lanes == 6


async def test_an_event_that_a_row_in_memory_does_not_want_is_checked_like_one_that_it_does_R66(server: Server) -> None:
    a, b = await server.joined("a"), await server.joined("b")
    await start(a, new_saga())
    remembered = await stored(a)
    await move(b, Admitted())
    await refused(a, Batch(NOW, unchanged=[remembered], offsets={REPLIES: Advance(None, 1)}), "sagas")
    assert await a.offsets() == {}
    assert (await stored(a)).version > remembered.version


async def test_rows_in_memory_are_dropped_when_lanes_change_hands_R66(server: Server) -> None:
    a, b = await server.joined("a"), await server.joined("b")
    await start(a, new_saga())
    before = await stored(a)
    after = await move(b, Admitted())
    assert await stored(a) == before  # a row in memory, and the commit would find out
    a.members.own(EVERY)
    assert await stored(a) == after


async def test_rows_of_others_lanes_are_not_kept_R66(server: Server) -> None:
    a, b = await server.joined("a", others_lane("order-1")), await server.joined("b")
    await start(b, new_saga())
    await stored(a)
    assert await move(b, Admitted()) == await stored(a)


async def test_two_that_read_one_saga_do_not_both_change_it_R65(server: Server) -> None:
    a, b = await server.joined("a"), await server.joined("b")
    await start(a, new_saga())
    read = await stored(b)
    await move(a, Admitted())
    await refused(b, Batch(NOW, changed=[Changed(decided(read, Admitted()).saga, read.version)]), "sagas")


async def test_two_that_accept_one_id_do_not_both_start_it_R65(server: Server) -> None:
    a, b = await server.joined("a"), await server.joined("b")
    await start(a, new_saga())
    await refused(b, Batch(NOW, started=[Started(new_saga(), HASH)]), "ids")


async def test_two_that_read_one_partition_do_not_both_move_it_R65(server: Server) -> None:
    a, b = await server.joined("a"), await server.joined("b")
    await a.commit(Batch(NOW, offsets={REPLIES: Advance(None, 5)}))
    await refused(b, Batch(NOW, offsets={REPLIES: Advance(None, 6)}), "offsets")


async def test_locked_rows_are_read_anew_and_nobody_else_writes_them_meanwhile_R67(server: Server) -> None:
    a, b = await server.joined("a"), await server.joined("b")
    await start(a, new_saga())
    read = await stored(b)
    moved = decided(read, Admitted())
    async with a.locked([read.ref]):
        assert await stored(a) == read
        await refused(b, Batch(NOW, changed=[Changed(moved.saga, read.version)]), "sagas")
        await a.commit(Batch(NOW, changed=[Changed(moved.saga, read.version)]))
    assert await stored(b) == moved.saga


async def test_an_act_is_decided_once_R74(server: Server) -> None:
    a, b = await server.joined("a"), await server.joined("b")
    await start(a, new_saga())
    await server.queue_act(cancel("act-1"))
    batch = Batch(NOW, acts=[ActOutcome("act-1", "refused", "too late")])
    await a.commit(batch)
    await refused(b, batch, "acts")


async def test_acts_and_timers_and_what_waits_are_the_lane_owners_R71_R74(server: Server) -> None:
    a, b = await server.joined("a", others_lane("order-1")), await server.joined("b", EVERY)
    await start_running(b)
    await start(b, new_saga("order-2"))
    await server.queue_act(cancel("act-1"))
    ref = SagaRef("order", "order-1")
    assert ref not in await a.due(NOW + 10_000, 10)
    assert await a.waiting_acts(10) == []
    assert ref in await b.due(NOW + 10_000, 10)
    assert len(await b.waiting_acts(10)) == 1
    b.members.own(others_lane("order-2"))
    assert await b.pending(10) == []
    assert len(await a.pending(10)) == (hash_of("order-1") % LANES != hash_of("order-2") % LANES)


async def test_an_act_that_waits_for_long_is_anyones_R74(server: Server) -> None:
    a = await server.joined("a", others_lane("order-1"))
    await server.queue_act(cancel("act-1"))
    assert await a.waiting_acts(10) == []
    server.clock.at_ms += 10_001
    await a.members.beat(1_000)
    assert len(await a.waiting_acts(10)) == 1


async def test_an_act_on_a_scope_is_for_the_owner_of_the_first_lane_R74(server: Server) -> None:
    a, b = (
        await server.joined("a", Lanes(LANES, frozenset({1}))),
        await server.joined("b", Lanes(LANES, frozenset({0}))),
    )
    act = Act("act-1", EventKind.PAUSE, "ops", "told to", arguments={"scope": "service:payment"})
    await server.queue_act(QueuedAct(act, SagaRef("", "")))
    assert await a.waiting_acts(10) == []
    assert len(await b.waiting_acts(10)) == 1


async def test_what_is_under_way_and_waits_is_counted_together_and_outlives_who_counted_it_R72(server: Server) -> None:
    a, b = await server.joined("a", window=10), await server.joined("b", window=7)
    await a.commit(Batch(NOW, in_flight=3, pending=2))
    await b.commit(Batch(NOW, in_flight=2, pending=-1, messages=[MESSAGE, MESSAGE]))
    assert b.members.sums == (5, 1, 2, 7)
    assert await a.members.bury(await seen(a, b))
    await a.members.beat(10)
    assert a.members.sums == (5, 1, 2, 10)


async def test_a_start_counts_what_there_is_R72(server: Server) -> None:
    a = await server.joined("a")
    await start(a, new_saga("order-2"))
    await start_running(a)
    assert (await server.joined("b")).members.sums[:2] == (1, 1)


async def test_a_partition_counts_as_drained_once_what_was_read_of_it_is_committed_R69(server: Server) -> None:
    a = await server.joined("a")
    await refused(a, Batch(NOW, drained={FIRST: Drained(3, NOW)}), "offsets")
    assert (await a.members.horizon()).reached_at(["inventory.replies"]) == 0
    await a.commit(Batch(NOW, offsets={FIRST: Advance(None, 3)}, drained={FIRST: Drained(3, NOW - 1)}, counted=COUNTED))
    assert (await a.members.horizon()).reached_at(["inventory.replies"]) == NOW - 1


async def test_a_partition_that_nobody_drained_or_a_topic_that_nobody_counted_holds_every_timer_R70() -> None:
    ours, both = ["inventory.replies"], ["inventory.replies", "payment.replies"]
    known = Horizon(counted=COUNTED, drained={FIRST: NOW})
    assert (known.reached_at(ours), known.unread(ours, NOW)) == (NOW, [])
    assert (known.reached_at(both), known.unread(both, NOW)) == (0, ["payment.replies"])
    widened = Horizon(counted={"inventory.replies": Counted(2, NOW)}, drained={FIRST: NOW})
    assert (widened.reached_at(ours), widened.unread(ours, NOW)) == (0, ["inventory.replies[1]"])


async def test_timers_are_decided_from_everybodys_outbox_and_outages_R70(server: Server) -> None:
    a, b = await server.joined("a"), await server.joined("b")
    await b.commit(Batch(NOW + 5, messages=[MESSAGE], outage=Outage(NOW + 3)))
    found = await a.members.horizon()
    assert (found.oldest_unsent_at, found.outage_ended_at) == (NOW + 5, NOW + 3)
    assert await a.members.bury(await seen(a, b))
    assert (await a.members.horizon()).outage_ended_at == NOW + 3


async def test_what_one_topic_refuses_holds_only_timers_of_that_topic_R73(server: Server) -> None:
    a, b = await server.joined("a"), await server.joined("b")
    held = await b.commit(Batch(NOW, messages=[MESSAGE]))
    await b.commit(Batch(NOW + 7, messages=[MESSAGE]))
    assert held is not None
    await b.members.withhold({held: "order.events"})
    found = await a.members.horizon()
    assert (found.oldest_unsent_at, found.withheld) == (NOW + 7, {"order.events": NOW})
    await b.commit(Batch(NOW + 8, published=[held]))
    assert (await a.members.horizon()).withheld == {}


async def test_the_clock_is_the_servers_whatever_a_replicas_own_wall_clock_says_R64(server: Server) -> None:
    a = await server.joined("a")
    assert a.now() == NOW
    b = await server.joined("b")
    await b.commit(Batch(NOW + 500, offsets={REPLIES: Advance(None, 1)}))
    await a.members.beat(1_000)
    assert a.now() >= NOW + 500
