"""How often an open page is drawn again: what is looked at by many once, what is slow seldom, and nothing never."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from kafka_saga.orchestrator.dashboard import live
from kafka_saga.orchestrator.dashboard.live import LIVE_MS, LIVE_SHARE, Looks
from kafka_saga.orchestrator.dashboard.pages.timers import PAGE
from kafka_saga.orchestrator.http.security.roles import Role
from kafka_saga.runtime.live_limits import LIVE_MS_MAX
from tests.engine.world import StillClock


class Drawn:
    """Counts how often a page is drawn, and takes its time for it."""

    def __init__(self, clock: StillClock) -> None:
        self.clock, self.cost_ms, self.count = clock, 0, 0

    async def __call__(self, _page: Any, _visit: Any) -> dict[str, str]:
        self.count += 1
        self.clock.advance(self.cost_ms)
        return {"number": str(self.count)}


def visit(query: str = "") -> Any:
    request = SimpleNamespace(url=SimpleNamespace(path="/timers", query=query), headers={})
    return SimpleNamespace(request=request, actor=SimpleNamespace(role=Role.READER, name="ann"))


@pytest.mark.parametrize(
    ("cost_ms", "pace_ms"), [(0, LIVE_MS), (20, 20 * LIVE_SHARE), (3_000, LIVE_MS_MAX)], ids=["quick", "slow", "stuck"]
)
async def test_a_look_is_shared_until_it_is_old_and_a_slow_one_is_taken_more_seldom_but_taken(
    monkeypatch: pytest.MonkeyPatch, cost_ms: int, pace_ms: int
) -> None:
    clock = StillClock()
    drawn = Drawn(clock)
    monkeypatch.setattr(live, "_draw", drawn)
    looks = Looks(clock)
    drawn.cost_ms = cost_ms

    first = await looks.take(PAGE, visit())
    clock.advance(pace_ms - cost_ms - 1)
    assert (await looks.take(PAGE, visit()), drawn.count) == (first, 1)
    clock.advance(1)
    again, _ = await looks.take(PAGE, visit())
    assert again == {"number": "2"}
    assert (await looks.take(PAGE, visit("state=parked")))[0] == {"number": "3"}, "another page is another look"


async def test_a_page_that_was_just_opened_is_not_set_back_to_a_look_from_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What somebody has just sent was gone from the page again, for as long as the look before it was shared."""
    clock = StillClock()
    drawn = Drawn(clock)
    monkeypatch.setattr(live, "_draw", drawn)
    looks = Looks(clock)
    drawn.cost_ms = 1_000  # shared for five seconds
    await looks.take(PAGE, visit(), clock.monotonic_ms())
    clock.advance(10)
    opened_at = clock.monotonic_ms()
    after, _ = await looks.take(PAGE, visit(), opened_at)
    assert after == {"number": "2"}
    clock.advance(1)
    assert (await looks.take(PAGE, visit(), opened_at))[0] == after, (
        "the same page shares what came after it was opened"
    )
