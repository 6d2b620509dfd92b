from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from bench.machine import MachineTime, Usage, cpu_ms_each, tree_bytes, usages


def test_cpu_per_saga_is_of_the_processes_that_lived_through_it() -> None:
    before = {"a": Usage(1.0, 10.0), "gone": Usage(1.0, 10.0)}
    after = {"a": Usage(3.0, 12.0), "new": Usage(9.0, 1.0)}

    assert cpu_ms_each(before, after, 1_000) == {"a": 2.0}


def test_what_others_use_is_what_is_busy_and_not_ours() -> None:
    before, after = MachineTime(100.0, 1_000.0), MachineTime(115.0, 1_020.0)

    assert before.others(after, ours_s=10.0) == 0.25
    assert before.others(after, ours_s=16.0) == 0.0  # clocks of unlike resolution
    assert before.others(before, ours_s=0.0) == 0.0


def test_this_process_is_seen_with_its_memory_and_its_time() -> None:
    usage = Usage.of(os.getpid())

    assert usage is not None
    assert usage.rss_mb > 10
    assert usage.cpu_s > 0
    assert MachineTime.now().busy_s > usage.cpu_s


def test_a_process_that_has_ended_has_no_usage() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()

    assert Usage.of(process.pid) is None
    assert set(usages({"here": os.getpid(), "gone": process.pid})) == {"here"}


def test_the_bytes_of_a_tree_are_those_on_the_disk(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "full").write_bytes(b"x" * 8_192)
    with (tmp_path / "sparse").open("wb") as sparse:
        sparse.truncate(1_000_000)  # as Kafka's index files are: long, and mostly not there
    os.sync()

    assert 8_192 <= tree_bytes(tmp_path) < 100_000
