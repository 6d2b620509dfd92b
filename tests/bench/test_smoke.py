"""The benchmark itself, on a real Kafka and with few orders: does it measure, and does it clean up?"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient

from bench.broker import Kafka
from bench.report import headline, last_line, report
from bench.results import Results
from bench.run import TINY, Bench
from bench.sections import SECTIONS, SHORT_SECTIONS
from deploy.kafka import kafka as local_kafka
from tests.brokers import BrokerUnderTest

pytestmark = [pytest.mark.kafka, pytest.mark.real_kafka, pytest.mark.processes]
ROOT = Path(__file__).resolve().parent.parent.parent
OTHERS = [name for name in SECTIONS if name not in SHORT_SECTIONS]


def begin(kafka: BrokerUnderTest, tmp_path: Path) -> Bench:
    return Bench(Kafka(kafka.bootstrap_servers), tmp_path / "data", TINY, Results.begin("full", tmp_path / "results"))


async def test_the_short_sections_measure_all_that_the_last_line_tells(kafka: BrokerUnderTest, tmp_path: Path) -> None:
    bench = begin(kafka, tmp_path)

    for name in SHORT_SECTIONS:
        await SECTIONS[name](bench)

    found = bench.results.sections
    assert set(found["throughput"]) == {"200 succeed #1", "200 compensated #1"}
    assert found["throughput"]["200 compensated #1"]["states"] == {"COMPLETED": 160, "COMPENSATED": 40}
    assert set(found["throughput"]["200 succeed #1"]["cpu_ms_per_saga"]) == {
        "orchestrator", "inventory", "payment", "orders", "load",
    }  # fmt: skip
    assert found["limit"]["8 messages a saga #1"]["messages_of_a_saga"]["order.events"] == 4
    assert found["limit"]["8 messages a saga #1"]["per_s"] > 0
    alone = found["latency"]["one at a time"]
    assert alone["states"] == {"COMPLETED": 20}
    # None waited for another: all together took as long as they did one after the other.
    assert sum([alone["latency_ms"]["mean"]] * 20) <= alone["seconds"] * 1000 + 1
    spread = found["latency"]["50/s"]["latency_ms"]
    assert spread["count"] == 50
    assert 0 < spread["p50"] <= spread["p99"] <= spread["max"]
    # The headline is of other sizes and rates than these, but for the limit.
    assert re.fullmatch(r"bench: sagas_per_s=- limit_per_s=\d+ ratio=- p50_ms=- p99_ms=-", last_line(found))
    assert headline(found)["ratio"] is None
    assert "200 succeed #1" in report(found, bench.results.machine)


async def topics_of(kafka: BrokerUnderTest) -> set[str]:
    admin = AIOKafkaAdminClient(bootstrap_servers=kafka.bootstrap_servers)
    await admin.start()
    try:
        return {topic for topic in await admin.list_topics() if topic.startswith("bench-")}
    finally:
        await admin.close()


@pytest.mark.parametrize("name", OTHERS)
async def test_every_other_section_measures_and_leaves_nothing(
    name: str, kafka: BrokerUnderTest, tmp_path: Path
) -> None:
    bench = begin(kafka, tmp_path)
    before = await topics_of(kafka)

    await SECTIONS[name](bench)

    async with asyncio.timeout(30):
        while not await topics_of(kafka) <= before:  # a broker's answers lag a little behind its deeds
            pass
    assert bench.results.sections[name]
    assert report(bench.results.sections, {})
    assert [path for path in bench.directory.iterdir() if path.is_dir()] == []
    assert processes_of(tmp_path) == []


async def test_what_was_measured_is_not_measured_again(kafka: BrokerUnderTest, tmp_path: Path) -> None:
    bench = begin(kafka, tmp_path)
    await SECTIONS["latency"](bench)
    first = bench.results.sections["latency"]["50/s"]

    resumed = Results.resume("full", tmp_path / "results")
    assert resumed is not None
    # On a broker that does not exist: whatever were measured would fail.
    await SECTIONS["latency"](Bench(Kafka("127.0.0.1:1"), tmp_path / "again", TINY, resumed))

    assert resumed.sections["latency"]["50/s"] == first


def processes_of(directory: Path) -> list[str]:
    """The command lines of all processes that work below `directory`."""
    found = []
    for proc in Path("/proc").glob("[0-9]*"):
        try:
            line = (proc / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has just ended
        if str(directory) in line:
            found.append(line)
    return found


def test_an_interrupted_run_ends_all_that_it_started(tmp_path: Path) -> None:
    missing = local_kafka.missing_tools()
    if missing:
        pytest.skip(f"needs a broker of its own: {missing}")
    command = [sys.executable, "-m", "bench", "--short", "--directory", str(tmp_path), "--results", str(tmp_path / "r")]
    environment = {name: value for name, value in os.environ.items() if name != "KAFKA_BOOTSTRAP_SERVERS"}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True) as bench:
        assert bench.stderr is not None
        for line in bench.stderr:
            if "ready after" in line:
                break
        running = " ".join(processes_of(tmp_path))
        assert all(name in running for name in ("kafka.Kafka", "orchestrator", "inventory", "payment", "orders"))
        bench.send_signal(signal.SIGINT)
        said = bench.stderr.read()
        assert bench.wait() == 130, said

    assert "interrupted" in said
    assert processes_of(tmp_path) == []
    assert [path.name for path in tmp_path.iterdir()] == ["r"]
