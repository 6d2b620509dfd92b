"""How much room there is where databases live, and how much of it they need in any case."""

from __future__ import annotations

from pathlib import Path

import pytest

from kafka_saga.orchestrator.operations.checks.database import check_disks, judge_disk
from kafka_saga.orchestrator.store.sqlite import open_store
from kafka_saga.runtime.clock import SystemClock
from kafka_saga.runtime.wal import room_needed
from tests.disks import fill_up, small_disk

__all__ = ["small_disk"]


@pytest.mark.parametrize(
    ("free", "total", "writable", "verdict"),
    [
        (50 * 10**9, 100 * 10**9, True, "ok"),
        (900 * 10**6, 100 * 10**9, True, "warning"),
        (100 * 10**6, 100 * 10**9, True, "wrong"),
        (500 * 10**6, 10**9, True, "ok"),
        (50 * 10**6, 10**9, True, "warning"),
        (10**6, 10**9, True, "wrong"),
        (50 * 10**9, 100 * 10**9, False, "warning"),
    ],
)
def test_a_disk_is_small_by_what_it_is(free: int, total: int, writable: bool, verdict: str) -> None:
    assert judge_disk("/data", free, total, writable=writable).verdict == verdict


@pytest.mark.parametrize(
    ("free", "needed", "said"),
    [
        (500_000, 0, "full: 0 MB free"),
        (
            20 * 10**6,
            33 * 10**6,
            "nearly full: 20 MB free of 100 MB at /data, and write-ahead logs need up to 33 MB more",
        ),
        (1_500_000, 0, "nearly full: 2 MB free of 100 MB at /data"),
        (40 * 10**6, 33 * 10**6, "40 MB free of 100 MB at /data"),
    ],
)
def test_a_full_disk_is_called_so_and_one_that_soon_is(free: int, needed: int, said: str) -> None:
    finding = judge_disk("/data", free, 10**8, writable=True, needed=needed)
    assert finding.found.startswith(said)
    assert finding.verdict == ("ok" if said.startswith("40") else "wrong")


async def test_each_disk_is_looked_at_once_wherever_the_files_are(small_disk: Path, tmp_path: Path) -> None:
    store, linked = small_disk / "orchestrator.db", tmp_path / "data" / "payment.db"
    for path in (store, small_disk / "payment.db"):
        await (await open_store(path, SystemClock())).close()
    linked.parent.mkdir()
    linked.symlink_to(small_disk / "payment.db")
    files = [store, linked, tmp_path / "nothing.db"]
    there, here = check_disks(linked.parent, files)
    assert (there.details["path"], there.details["neededBytes"]) == (str(linked.parent), 0)
    assert here.details["neededBytes"] == room_needed(store) + room_needed(linked)
    assert (here.verdict, here.found.startswith("nearly full: ")) == ("wrong", True), "a log may grow to 16 MB"
    fill_up(small_disk / "ballast", leave=100_000)
    assert check_disks(linked.parent, files)[1].found.startswith("full: 0 MB free of 34 MB")
