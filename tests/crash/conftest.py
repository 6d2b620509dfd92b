from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from deploy.kafka import kafka as local_kafka
from tests.brokers import BrokerUnderTest
from tests.integration.world import World


@pytest.fixture
async def world(kafka: BrokerUnderTest, tmp_path: Path, topic_prefix: str) -> AsyncIterator[World]:
    """The system on the run's broker, not started yet; everything is ended afterwards."""
    world = World(kafka.bootstrap_servers, tmp_path, topic_prefix)
    yield world
    await world.stop()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 32 MB of the test's own."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=32m,mode=700", "tmpfs", place], capture_output=True, text=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"may not mount a file system here ({mounted.stderr.strip()}); the file size limit stands for it")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


@pytest.fixture
def failing_fsync(tmp_path: Path) -> Path:
    """A library that makes fsync fail: see failing_fsync.c."""
    source, library = Path(__file__).with_name("failing_fsync.c"), tmp_path / "failing_fsync.so"
    try:
        built = subprocess.run(
            ["cc", "-shared", "-fPIC", "-o", library, source, "-ldl"], capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        pytest.skip("no C compiler here to build the library that makes fsync fail")
    assert built.returncode == 0, built.stderr
    return library


@pytest.fixture
def own_broker(tmp_path: Path) -> Iterator[local_kafka.Broker]:
    """A broker of the test's own, which it may stop and kill."""
    missing = local_kafka.missing_tools()
    if missing:
        pytest.skip(f"needs a broker of its own: {missing}")
    broker = local_kafka.Broker(tmp_path / "kafka")
    try:
        broker.start()
        yield broker
    finally:
        broker.stop()


@pytest.fixture
async def fragile(own_broker: local_kafka.Broker, tmp_path: Path, topic_prefix: str) -> AsyncIterator[World]:
    """The system on a broker of its own."""
    world = World(own_broker.bootstrap_servers, tmp_path, topic_prefix)
    yield world
    await world.stop()
