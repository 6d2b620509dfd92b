"""The simulator in the suite: a fixed set of seeds, a few fresh ones, and the scenarios it once failed."""

from __future__ import annotations

import logging
import os
import random  # noqa: TID251 -- fresh seeds; a failure prints which
from collections.abc import Iterator

import pytest
import structlog

from tests.simulation.checkers import check
from tests.simulation.world import simulate

FIXED = range(1, 26)
FRESH = [random.SystemRandom().randrange(10**9) for _ in range(int(os.environ.get("SIM_FRESH_SEEDS", "5")))]


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.reset_defaults()


@pytest.mark.parametrize("seed", [*FIXED, *FRESH])
def test_every_invariant_holds_under_the_faults_of_a_seed(seed: int) -> None:
    world = simulate(seed)
    assert check(world) == [], f"repeat: make sim SEED={seed}"
    assert world.orders


def test_the_same_seed_gives_the_same_world() -> None:
    first, second = simulate(13), simulate(13)
    assert first.crashes == second.crashes
    assert first.ended_at_ms == second.ended_at_ms
    dump = "SELECT saga_id, state, version, steps, updated_at FROM sagas ORDER BY saga_id"
    assert first.store.connection.execute(dump).fetchall() == second.store.connection.execute(dump).fetchall()


@pytest.mark.parametrize(
    ("seed", "found"),
    [
        (2, "a wall clock set back by an hour froze the store's clock, and every timer with it (R27)"),
        (31, "two orchestrators on one store: the second one chose row keys that the first had taken (R23)"),
        (24, "after a conflict, a partition that was never stored was read on from where the lost batch ended (R23)"),
    ],
)
def test_flaws_that_the_simulator_found_stay_mended(seed: int, found: str) -> None:
    assert check(simulate(seed)) == [], found
