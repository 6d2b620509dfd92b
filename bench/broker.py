"""The Kafka that is measured with: one of our own, or the one that KAFKA_BOOTSTRAP_SERVERS names."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.machine import tree_bytes
from deploy.kafka.kafka import Broker

_PROPERTIES = {
    "log.segment.bytes": str(512 * 1024 * 1024),  # rolling segments is not what is measured
    "log.retention.hours": "24",
}


@dataclass(frozen=True, slots=True)
class Kafka:
    """A broker, and its process where it is ours."""

    bootstrap: str
    pid: int | None = None
    logs: Path | None = None

    def log_bytes(self, prefix: str) -> int | None:
        """What the topics that begin with `prefix` take on the disk; None where it is another's."""
        return None if self.logs is None else sum(map(tree_bytes, self.logs.glob(f"{prefix}*")))


@contextmanager
def open_kafka(directory: Path) -> Iterator[Kafka]:
    """A broker with its data below `directory`; stopped at the end where it is ours.

    Raises:
        KafkaError: it could not be started; the message says what is missing.

    """
    named = os.environ.get("KAFKA_BOOTSTRAP_SERVERS")
    if named:
        yield Kafka(named)
        return
    broker = Broker(directory / "kafka", config=_PROPERTIES)
    try:
        broker.start()
        yield Kafka(broker.bootstrap_servers, broker.pid, broker.data_dir / "logs")
    finally:
        broker.stop()
