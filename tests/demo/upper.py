"""A `saga up` in a directory of its own, for the tests."""

from __future__ import annotations

import asyncio
import os
import re
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from kafka_saga.messaging.consumer import Consumer
from kafka_saga.messaging.producer import Producer
from kafka_saga.messaging.records import Message
from kafka_saga.orchestrator.config import Settings, load_settings
from kafka_saga.orchestrator.demo.follower import Follower
from kafka_saga.orchestrator.demo.orders import Order
from kafka_saga.runtime.store_lock import StoreLock

PATIENCE_S = 60.0
SAGA = (sys.executable, "-P", "-m", "kafka_saga.orchestrator.cli")


def clean_environment(**more: str) -> dict[str, str]:
    """Ours, without what would configure Kafka or `saga`, or tell how wide a screen is."""
    others = ("SAGA_", "KAFKA_", "COLUMNS", "LINES")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(others)}
    return {**kept, **more}


class Up:
    """A running `saga up`."""

    def __init__(self, process: subprocess.Popen[str], directory: Path) -> None:
        self.process = process
        self.directory = directory
        self.lines: list[str] = []
        self._news = threading.Condition()
        self._closed = False
        assert process.stderr is not None
        if not process.stderr.closed:  # a test may have hung up
            threading.Thread(target=self._read, daemon=True).start()

    def until(self, pattern: str, *, after: int = 0) -> int:
        """Wait for a line that matches, beyond the first `after`; the number of lines up to it."""
        found: list[int] = []

        def is_there() -> bool:
            found[:] = [place for place, line in enumerate(self.lines) if place >= after and re.search(pattern, line)]
            return bool(found) or self._closed

        with self._news:
            self._news.wait_for(is_there, PATIENCE_S)
            assert found, f"no line like {pattern!r} in:\n" + "\n".join(self.lines)
            return found[0] + 1

    @property
    def settings(self) -> Settings:
        """What a command in another terminal would find."""
        return load_settings(flags={"data_dir": self.directory / ".saga"}, environment={}).settings

    def holder(self, database: str) -> int:
        """The id of the process that owns this database."""
        holder = StoreLock(self.directory / ".saga" / f"{database}.db").holder()
        assert holder is not None
        return int(holder.rpartition(" ")[2].rstrip(")"))

    def children(self) -> list[int]:
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in path.read_text().split()]

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_S)

    def complete(self, *orders: Order) -> list[str]:
        """Publish orders as an outsider would, and wait until their sagas end; their states."""
        return asyncio.run(self._complete(orders))

    async def _complete(self, orders: Sequence[Order]) -> list[str]:
        kafka = self.settings.kafka
        producer = Producer(kafka)
        follower = Follower(
            Consumer(kafka, ["order.events"], group="test"), events="order.events", seen=lambda *_: None
        )
        await follower.start()
        try:
            await producer.publish([Message("order.requests", None, order.request) for order in orders])
            await follower.until_ended([order.order_id for order in orders], PATIENCE_S)
            return [follower.state(order.order_id) for order in orders]
        finally:
            await follower.stop()
            await producer.stop()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._news:
                self.lines.append(line.rstrip("\n"))
                self._news.notify_all()
        with self._news:
            self._closed = True
            self._news.notify_all()


@contextmanager
def saga_up(directory: Path, *arguments: str, **environment: str) -> Iterator[Up]:
    """`saga up` in `directory`; killed at the end, if it still runs."""
    with subprocess.Popen(
        [*SAGA, "up", *arguments],
        cwd=directory,
        env=clean_environment(**environment),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield Up(process, directory)
        finally:
            process.kill()


def until_gone(pids: Sequence[int]) -> None:
    """Wait until these processes, which may be nobody's children, have ended."""
    for pid in pids:
        try:
            descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        with os.fdopen(descriptor) as handle:
            ended, _, _ = select.select([handle], [], [], PATIENCE_S)
            assert ended, f"process {pid} is still there"
