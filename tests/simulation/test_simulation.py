"""The simulator in the suite: a fixed set of seeds, a few fresh ones, and the scenarios it once failed."""

from __future__ import annotations

import functools
import logging
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from kafka_saga.runtime.failpoints import FAILPOINTS
from tests.simulation.checkers import check
from tests.simulation.running import Outcome, outcome_of
from tests.simulation.world import World, scenario, simulate

FIXED = range(1, 41)

SHARED = range(1, 25)
"""Worlds in which replicas share the store."""

REFUSING = [["orders", [["SAGA_FAULT_REJECT", "createOrder:every=2"]]]]
"""A last step that says no: what came before is undone."""


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.reset_defaults()


@functools.cache
def came_to(seed: int) -> Outcome:
    return outcome_of(seed)


@functools.cache
def shared_came_to(seed: int) -> Outcome:
    return outcome_of(seed, shared=True)


@pytest.mark.parametrize("seed", FIXED)
def test_every_invariant_holds_under_the_faults_of_a_seed(seed: int) -> None:
    assert came_to(seed).violations == (), f"repeat: make sim SEED={seed}"
    assert came_to(seed).sagas


def test_every_invariant_holds_under_the_faults_of_a_seed_that_nobody_has_run(fresh_seed: int) -> None:
    assert came_to(fresh_seed).violations == (), f"repeat: make sim SEED={fresh_seed}"


@pytest.mark.parametrize("seed", SHARED)
def test_every_invariant_holds_where_replicas_share_the_store_R60(seed: int) -> None:
    assert shared_came_to(seed).violations == (), f"repeat: make sim SEED={seed} REPLICAS=1"
    assert shared_came_to(seed).sagas


def test_every_invariant_holds_where_replicas_share_the_store_in_a_seed_that_nobody_has_run(fresh_seed: int) -> None:
    assert shared_came_to(fresh_seed).violations == (), f"repeat: make sim SEED={fresh_seed} REPLICAS=1"


def test_replicas_that_are_all_given_every_partition_get_on_and_do_nothing_twice_R67() -> None:
    for seed in range(1, 4):
        world = holds(seed, orders=60, shared=2, replicas=2, overlapping=True, latency_ms_max=200)
        assert world.server.tables is not None
        assert world.server.tables.conflicts


def test_a_replica_that_was_frozen_for_a_minute_harms_nothing_R62() -> None:
    losing = [[service, [["SAGA_FAULT_LOSE", "*:every=4"]]] for service in ("inventory", "payment", "orders")]
    for seed in range(1, 4):
        faults: dict[str, Any] = {"freezes": 6, "fault_phase_ms": 180_000, "handler_faults": losing}
        assert "freeze" in holds(seed, orders=60, spread_ms=120_000, shared=3, replicas=2, **faults).broker.happened


def test_topics_that_take_nothing_for_a_while_cost_replicas_no_effect_R56_R73() -> None:
    for seed in range(1, 4):
        world = holds(seed, orders=40, spread_ms=60_000, refusals=4, shared=2, replicas=2, fault_phase_ms=60_000)
        assert "refusal" in world.broker.happened


def test_the_seeds_of_replicas_meet_every_kind_of_fault_that_only_these_have() -> None:
    happened: Counter[str] = Counter()
    for seed in SHARED:
        happened.update(shared_came_to(seed).happened)
    assert set(happened) >= {
        "cut",
        "freeze",
        "group rebalance",
        "store: the answer was lost",
        "store: the question was lost",
        "store outage",
    }


def test_the_fixed_seeds_come_to_every_failpoint_and_meet_every_kind_of_fault() -> None:
    reached: Counter[str] = Counter()
    happened: Counter[str] = Counter()
    for seed in FIXED:
        reached.update(came_to(seed).reached)
        happened.update(came_to(seed).happened)
    assert set(reached) == set(FAILPOINTS)
    assert set(happened) == {
        "act cancel",
        "act pause",
        "act resolve",
        "act resume",
        "act retry_now",
        "act skip",
        "commit unknown, done",
        "commit unknown, not done",
        "growth",
        "jump",
        "leaderless",
        "mended by resume",
        "mended by retry_now",
        "no broker at a start",
        "outage",
        "rebalance",
        "recreation",
        "refusal",
        "refused",
        "restore all",
        "retention",
        "rolled back",
        "stop",
        "store busy",
        "transaction",
    }


def test_the_same_seed_gives_the_same_world() -> None:
    first, second = simulate(13), simulate(13)
    assert first.crashes == second.crashes
    assert first.broker.happened == second.broker.happened
    assert first.ended_at_ms == second.ended_at_ms
    dump = "SELECT saga_id, state, version, steps, updated_at FROM sagas ORDER BY saga_id"
    assert first.store.connection.execute(dump).fetchall() == second.store.connection.execute(dump).fetchall()


def states(world: World) -> Counter[str]:
    query = "SELECT state, count(*) FROM sagas GROUP BY state"
    return Counter(dict(world.store.connection.execute(query).fetchall()))


def holds(seed: int = 1, **settings: Any) -> World:
    """A scenario in which every invariant holds."""
    world = scenario(seed, **settings)
    assert check(world) == []
    return world


def test_without_faults_every_order_completes() -> None:
    world = holds(orders=50, external=True, replay=True)
    assert world.reached["orchestrator.timers.before"] == 0
    assert states(world).keys() <= {"COMPLETED", "COMPENSATED"}  # some customers are poor
    assert states(world)["COMPLETED"] > 30


# What the simulator once found, each as the smallest world that shows it; most are mutants in breakages.py as well.


def test_a_wall_clock_that_is_set_back_does_not_freeze_the_stores_clock_R27() -> None:
    losing = [[service, [["SAGA_FAULT_LOSE", "*:every=3"]]] for service in ("inventory", "payment", "orders")]
    holds(orders=30, spread_ms=60_000, clock_jumps=5, handler_faults=losing)


@pytest.mark.parametrize("seed", [1, 8])
def test_two_orchestrators_on_one_store_neither_take_each_others_row_keys_nor_lose_a_first_batch_R23(seed: int) -> None:
    holds(seed, orders=80, spread_ms=1, replicas=2)


@pytest.mark.parametrize("seed", [312345775, 400000237, 700000112])
def test_two_orchestrators_on_one_store_lose_no_reply_that_one_of_them_does_not_want_R66(seed: int) -> None:
    assert came_to(seed).violations == ()


def test_a_refund_outside_is_made_once_though_its_service_dies_between_the_call_and_the_commit_R17() -> None:
    dying = [["participant.call.after", 0.3]]
    faults: dict[str, Any] = {"crash": dying, "handler_faults": REFUSING, "fault_phase_ms": 60_000}
    world = holds(orders=40, spread_ms=50_000, external=True, **faults)
    refunds = [key for key in world.processor.calls if "/compensate/" in key]
    assert any(world.processor.calls[key] > 1 for key in refunds)
    assert world.processor.refunded.keys() <= set(refunds)


def test_handlers_that_lose_the_transaction_cost_their_neighbours_nothing_R57() -> None:
    world = holds(orders=60, spread_ms=1, spoils=0.1, fault_phase_ms=60_000)
    assert world.broker.happened.count("rolled back") > 10


def test_a_process_that_dies_after_an_outage_leaves_to_the_next_when_the_waits_began_R21() -> None:
    assert check(simulate(400000009, transactions=0, leaderless=0)) == []  # as it was found


def test_requests_of_a_type_that_is_paused_are_not_read_again_and_nobody_waits_for_them() -> None:
    assert came_to(500000120).violations == ()


def test_topics_that_take_nothing_for_a_while_cost_nobody_an_effect_R56() -> None:
    for seed in range(1, 7):
        world = holds(seed, orders=30, spread_ms=60_000, refusals=4)
        assert "refusal" in world.broker.happened


def test_a_topic_that_was_created_anew_is_stored_at_its_new_beginning_R23() -> None:
    for seed in range(1, 4):
        assert "recreation" in holds(seed, orders=10, recreations=3).broker.happened


def test_a_saga_that_is_paused_in_the_batch_that_accepts_it_can_be_resumed_R25() -> None:
    pauses = 0
    for seed in range(1, 6):
        world = holds(seed, orders=30, spread_ms=20_000, acts=60, in_flight_max=1)
        pauses += world.broker.happened.count("mended by resume")
    assert pauses


def test_replies_on_partitions_that_were_added_just_now_come_before_timeouts_R21() -> None:
    for seed in range(1, 4):
        assert "growth" in holds(seed, orders=30, spread_ms=20_000, growths=6, partitions=1).broker.happened


def test_replies_behind_an_open_transaction_come_before_timeouts_R21() -> None:
    for seed in range(1, 4):
        assert "transaction" in holds(seed, orders=30, spread_ms=20_000, transactions=3).broker.happened


def test_replies_on_a_partition_without_a_leader_come_before_timeouts_R21() -> None:
    for seed in range(1, 4):
        assert "leaderless" in holds(seed, orders=30, spread_ms=20_000, leaderless=3).broker.happened


@pytest.mark.parametrize("after_ms", [0, 1, 20, 400, 600, 5_000])
def test_of_two_databases_of_every_owner_one_acts_and_the_other_is_refused_R22(after_ms: int) -> None:
    for seed in range(1, 4):
        world = holds(seed, orders=30, rival_after_ms=after_ms, latency_ms_max=200, replay=True)
        assert "refused" in world.broker.happened


def test_who_owns_a_group_is_told_by_outages_and_crashes_no_more_than_before_R22() -> None:
    crash = [["orchestrator.poll.after", 0.05]]
    faults = {"outages": 3, "outage_ms_max": 20_000, "lose_ack": 0.1, "growths": 2, "stops": 4, "crash": crash}
    for seed in range(1, 9):
        world = holds(seed, orders=30, spread_ms=60_000, fault_phase_ms=60_000, rival_after_ms=0, **faults)
        assert "refused" in world.broker.happened


def test_an_owner_whose_group_is_adopted_stops_before_the_new_one_begins_R22() -> None:
    for seed in range(1, 4):
        world = holds(seed, orders=80, spread_ms=60_000, rival_after_ms=20_000, adopted=True)
        assert "refused" in world.broker.happened


@pytest.mark.parametrize("owner", ["all", "orchestrator"])
@pytest.mark.parametrize("seed", range(1, 5))
def test_after_a_restore_no_compensated_saga_keeps_an_effect_and_sequences_go_on_R59(seed: int, owner: str) -> None:
    """Stock is short and every fifth card refused, so services decide otherwise the second time."""
    refusing = (("payment", (("SAGA_FAULT_REJECT", "chargePayment:every=5:text=card declined"),)),)
    settings = {"orders": 60, "spread_ms": 15_000, "latency_ms_max": 200, "handler_faults": refusing}
    world = scenario(seed, restore=owner, **settings)
    assert world.broker.happened == [f"restore {owner}"]
    assert check(world) == []


@pytest.mark.parametrize("seed", [9, 10, 26])
def test_a_crash_while_topics_refuse_neither_sends_what_was_said_unsent_nor_gives_up_what_was_just_sent_R21_R56(
    seed: int,
) -> None:
    settings = {"orders": 80, "spread_ms": 60_000, "refusals": 12, "latency_ms_max": 500}
    holds(seed, crash=(("orchestrator.hint.before", 0.2),), **settings)


@pytest.mark.parametrize("seed", [12, 19])
def test_a_command_that_cannot_be_sent_after_a_restore_may_have_been_sent_before_it_R56_R59(seed: int) -> None:
    refusing = (("payment", (("SAGA_FAULT_REJECT", "chargePayment:every=5:text=card declined"),)),)
    settings = {"orders": 60, "spread_ms": 30_000, "fault_phase_ms": 60_000, "latency_ms_max": 200, "refusals": 6}
    world = holds(seed, restore="orchestrator", handler_faults=refusing, **settings)
    assert any(reason == "too_large" for _, reason in world.broker.refused)
