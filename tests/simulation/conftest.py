"""The fresh seeds of a run, so that it can be repeated even where everything held."""

from __future__ import annotations

import os
import random  # noqa: TID251 -- fresh seeds

import pytest

_seeds = [random.SystemRandom().randrange(10**9) for _ in range(int(os.environ.get("SIM_FRESH_SEEDS", "10")))]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "fresh_seed" in metafunc.fixturenames:
        metafunc.parametrize("fresh_seed", _seeds)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    terminalreporter.write_line(f"simulated fresh seeds: {' '.join(map(str, _seeds))} (repeat: make sim SEED=…)")
