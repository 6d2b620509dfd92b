"""The curves beside the rates: a moment each step, a quarter of an hour of them, whatever the counts do."""

from __future__ import annotations

from kafka_saga.orchestrator.operations.sagas.trend import TREND_MS, Curve, Moment, Trend
from kafka_saga.runtime.live_limits import TREND_MOMENTS_MAX, TREND_STEP_MS


def test_a_curve_needs_two_moments_and_tells_each_step_by_its_rate() -> None:
    trend = Trend()
    assert trend.ended == Curve()
    trend.note(Moment(1_000, 100, 90))
    assert trend.ended == Curve([])
    trend.note(Moment(1_000 + TREND_STEP_MS - 1, 10**6, 10**6))  # too soon after the one before
    trend.note(Moment(1_000 + TREND_STEP_MS, 150, 100))
    trend.note(Moment(1_000 + 3 * TREND_STEP_MS, 150, 110))

    assert trend.started == Curve([(2 * TREND_STEP_MS, 10.0), (0, 0.0)])
    assert trend.ended == Curve([(2 * TREND_STEP_MS, 2.0), (0, 1.0)])
    assert (trend.started.highest, Curve().highest) == (10.0, 0.0)


def test_what_is_older_than_the_curve_is_forgotten_and_a_store_that_was_put_back_has_no_rate_below_zero() -> None:
    trend = Trend()
    for step in range(3 * TREND_MOMENTS_MAX):
        trend.note(Moment(step * TREND_STEP_MS, step * 5, step * 5))
    points = trend.ended.points
    assert len(points) == TREND_MOMENTS_MAX
    assert points[0][0] < TREND_MS
    assert {rate for _, rate in points} == {1.0}

    trend.note(Moment(3 * TREND_MOMENTS_MAX * TREND_STEP_MS, 0, 0))
    assert trend.ended.points[-1] == (0, 0.0)
    trend.note(Moment(10 * TREND_MOMENTS_MAX * TREND_STEP_MS, 3, 3))
    assert len(trend.ended.points) == 1, "nobody noted anything for an hour"
