"""The fresh seeds of a run, so that it can be repeated even where everything held."""

from __future__ import annotations

import os
import random  # noqa: TID251 -- fresh seeds

import pytest

from tests.remarks import REMARKS

_RUN = os.environ.get("PYTEST_XDIST_TESTRUNUID")
"""New in each run, and the same in all of its workers: they must agree on the tests that there are."""

_chance = random.SystemRandom() if _RUN is None else random.Random(_RUN)
_seeds = [_chance.randrange(10**9) for _ in range(int(os.environ.get("SIM_FRESH_SEEDS", "10")))]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "fresh_seed" in metafunc.fixturenames:
        metafunc.parametrize("fresh_seed", _seeds)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    remark = f"simulated fresh seeds: {' '.join(map(str, _seeds))} (repeat: make sim SEED=…)"
    session.config.stash[REMARKS].append(remark)
