"""The simulator in the suite: a fixed set of seeds, a few fresh ones, and the scenarios it once failed."""

from __future__ import annotations

import functools
import logging
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from runtime.failpoints import FAILPOINTS
from tests.simulation.checkers import check
from tests.simulation.running import Outcome, outcome_of
from tests.simulation.world import World, scenario, simulate

FIXED = range(1, 41)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.reset_defaults()


@functools.cache
def came_to(seed: int) -> Outcome:
    return outcome_of(seed)


@pytest.mark.parametrize("seed", FIXED)
def test_every_invariant_holds_under_the_faults_of_a_seed(seed: int) -> None:
    assert came_to(seed).violations == (), f"repeat: make sim SEED={seed}"
    assert came_to(seed).sagas


def test_every_invariant_holds_under_the_faults_of_a_seed_that_nobody_has_run(fresh_seed: int) -> None:
    assert came_to(fresh_seed).violations == (), f"repeat: make sim SEED={fresh_seed}"


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
        "mended by resume",
        "mended by retry_now",
        "outage",
        "rebalance",
        "recreation",
        "retention",
        "stop",
        "store busy",
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
