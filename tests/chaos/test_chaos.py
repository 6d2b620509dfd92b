"""The short form of `make chaos`: each kind of fault once."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.kafka.kafka import KafkaError
from deploy.postgres.postgres import PostgresError
from tests.chaos.faults import FAULTS
from tests.chaos.network import NoNamespacesError
from tests.chaos.run import ONE_ROUND, Chaos

pytestmark = [pytest.mark.kafka, pytest.mark.real_kafka, pytest.mark.processes]


async def test_replicas_and_workers_that_are_broken_in_turn_lose_and_double_nothing(tmp_path: Path) -> None:
    chaos = Chaos(ONE_ROUND, tmp_path, print)

    try:
        await chaos.run()
    except (KafkaError, NoNamespacesError, PostgresError) as error:
        pytest.skip(f"needs servers of its own, and network namespaces: {error}")

    assert set(chaos.made) == {fault.name for fault in FAULTS}
    assert set(chaos.outcomes) == {"COMPLETED", "COMPENSATED"}
