"""`saga demo --attach`, as a process, on a system that runs already."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.demo.upper import SAGA, clean_environment, saga_up

pytestmark = pytest.mark.processes


def attach(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*SAGA, "demo", "--attach"], cwd=folder, env=clean_environment(), capture_output=True, text=True, check=False
    )


def test_its_orders_go_to_what_runs_and_are_counted_there_again_and_again(tmp_path: Path) -> None:
    with saga_up(tmp_path) as up:
        up.until("everything is ready")
        for _ in range(2):  # a system keeps what it did before: its figures are those of this run's orders
            done = attach(tmp_path)
            assert done.returncode == 0, done.stdout + done.stderr
            assert "Sagas              202: 177 COMPLETED, 25 COMPENSATED, 0 PARKED" in done.stdout
            assert "Lost               0 of 202, which were asked for 394 times" in done.stdout
            assert (
                "Duplicate effects  0 (rows: 202 in inventory, 177 in payment, 177 in orders; 25 undone)" in done.stdout
            )
            assert "Every figure is as it must be" in done.stdout
        assert up.stop() == 0


def test_where_nothing_runs_it_says_so(tmp_path: Path) -> None:
    environment = {**clean_environment(), "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}

    done = subprocess.run(
        [*SAGA, "demo", "--attach"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )

    assert done.returncode == 5
    assert "cannot reach Kafka at 127.0.0.1:1" in done.stderr
    assert "Traceback" not in done.stderr
