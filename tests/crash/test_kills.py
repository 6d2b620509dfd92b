"""Every failpoint × every role that comes to it, with a real SIGKILL (I1–I5, I9, I11; R14, R17, R23, R26)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from kafka_saga.runtime.failpoints import FAILPOINTS
from tests.brokers import BrokerUnderTest
from tests.crash.kills import CARDS, Cell, Killed, cells, hits_max, in_lanes, run_lanes
from tests.integration.world import SERVICES

pytestmark = [pytest.mark.kafka, pytest.mark.real_kafka, pytest.mark.processes]


def test_no_failpoint_and_no_role_is_left_out() -> None:
    assert {cell.point for cell in cells()} == set(FAILPOINTS)
    assert {cell.role for cell in cells() if cell.point == "publish.half"} == {"orchestrator", *SERVICES}
    assert {cell.role for cell in cells() if cell.point == "participant.call.after"} == {CARDS}


@pytest.mark.timeout(600)  # 45 kills: a minute and a half on two quiet cores
async def test_a_kill_at_any_point_changes_no_sum(
    kafka: BrokerUnderTest, tmp_path: Path, remark: Callable[[str], None]
) -> None:
    todo = [Cell(cell.point, cell.role, 1 + number % hits_max(cell.point)) for number, cell in enumerate(cells())]
    results: list[Killed] = []
    await run_lanes(kafka.bootstrap_servers, tmp_path, in_lanes(todo), results.append)
    for killed in results:
        remark(killed.row())
    assert [killed.violation for killed in results if killed.violation] == []
    assert len(results) == len(todo)
