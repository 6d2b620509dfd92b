"""A crash loop: killed five times in a row while it recovers (fault 10; I1, I3, I21)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.crash.kills import Cell, Lane
from tests.integration.world import World

pytestmark = [pytest.mark.kafka, pytest.mark.real_kafka, pytest.mark.processes]

LOOPS = {
    "orchestrator": (
        "orchestrator.start.migrated",
        "orchestrator.start.republished",
        "orchestrator.start.reading",
        "orchestrator.publish.before",
        "orchestrator.poll.after",
    ),
    "payment": (
        "participant.start.migrated",
        "participant.poll.after",
        "participant.commit.before",
        "participant.commit.after",
        "participant.publish.before",
    ),
}


@pytest.mark.parametrize("role", LOOPS)
async def test_five_kills_in_a_row_during_the_recovery_change_no_sum(world: World, tmp_path: Path, role: str) -> None:
    lane = Lane(world, role, tmp_path)
    await lane.start()
    await lane.kill_at(*[Cell(point, role) for point in LOOPS[role]])
    assert (tmp_path / "reached.log").read_text().count("\n") == len(LOOPS[role]) == 5
