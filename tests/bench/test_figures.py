from __future__ import annotations

import itertools

import pytest

from bench.figures import Spread, median, per_second, percentile, schedule, steady_rate


def test_a_percentile_is_a_value_that_was_measured() -> None:
    values = [float(number) for number in range(1, 1_001)]

    assert [percentile(values, percent) for percent in (50, 99, 99.9, 100)] == [500, 990, 999, 1_000]
    assert [percentile([7.0], percent) for percent in (0, 50, 99.9)] == [7.0, 7.0, 7.0]


def test_one_slow_value_in_a_hundred_shows_in_the_highest_percentile_only() -> None:
    spread = Spread.of([900.0, *([1.0] * 99)])

    assert spread == Spread(count=100, p50=1.0, p99=1.0, p999=900.0, max=900.0, mean=9.99)


def test_a_spread_of_nothing_is_a_bug_of_ours() -> None:
    with pytest.raises((AssertionError, IndexError)):
        Spread.of([])


@pytest.mark.parametrize(("count", "rate"), [(5, 1), (1_000, 200), (60_000, 1_000)])
def test_a_schedule_has_the_rate_that_was_asked_for_and_is_fixed_by_its_seed(count: int, rate: float) -> None:
    moments = schedule(count, rate, seed=1)

    assert len(moments) == count
    assert moments == sorted(moments)
    assert moments[-1] == pytest.approx(count / rate)
    assert moments == schedule(count, rate, seed=1)
    assert moments != schedule(count, rate, seed=2)


def test_scheduled_requests_come_as_independent_customers_do() -> None:
    moments = schedule(10_000, 100, seed=3)
    gaps = [later - earlier for earlier, later in itertools.pairwise(moments)]

    # Of exponential gaps 1 - 1/e, 63 %, are shorter than their mean; of even ones none or all.
    assert sum(gap < 0.01 for gap in gaps) / len(gaps) == pytest.approx(0.632, abs=0.02)


def test_moments_are_counted_by_second_and_empty_seconds_show() -> None:
    assert per_second([0.1, 0.2, 2.5]) == [2, 0, 1]
    assert per_second([]) == []


def test_the_steady_rate_leaves_out_a_slow_start_and_a_slow_end() -> None:
    middle = [10 + number / 100 for number in range(80)]
    moments = [*(float(number) for number in range(10)), *middle, *(20.0 + number for number in range(10))]

    assert steady_rate(moments) == pytest.approx(100, rel=0.02)
    assert steady_rate([1.0]) == 0.0


def test_the_median_is_a_value_that_was_measured() -> None:
    assert median([3.0, 1.0, 2.0]) == 2.0
    assert median([4.0, 1.0, 2.0, 3.0]) == 2.0
