"""The embedded broker: a Kafka for demos and quick tests that needs neither Java nor Docker.

    python -m kafka_saga.messaging.embedded            prints its bootstrap address, runs until Ctrl-C or SIGTERM

It is librdkafka's mock cluster, which confluent-kafka carries: real TCP, works with any Kafka client and with
consumer groups. Its limits: everything is in memory and gone when it ends; at most about 5 MiB a partition,
then the oldest records are dropped without a word; topics appear on first use, with 4 partitions; no topic
administration; acknowledgements and timestamps are made up. Never evidence of reliability.
"""

from __future__ import annotations

import argparse
import contextlib
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from kafka_saga.runtime.errors import BrokerUnavailableError, ConfigError
from kafka_saga.runtime.extras import require

_START_TIMEOUT_S = 15
_STOP_TIMEOUT_S = 5
_COMMAND = (sys.executable, "-m", "kafka_saga.messaging.embedded", "--until-input-ends")


def serve() -> Iterator[str]:
    """Run the broker in this process while the iterator lives; yields its bootstrap address once.

    Raises:
        ConfigError: confluent-kafka is not installed.
        BrokerUnavailableError: the mock cluster did not come up.

    """
    require("demo", "the embedded broker")
    from confluent_kafka import KafkaException, Producer  # noqa: PLC0415 - an extra that most do without

    # The mock cluster lives as long as the client that asked for it; the client itself is not used.
    # bootstrap.servers must be something, and is replaced by the mock's own address.
    client = Producer({"test.mock.num.brokers": 1, "bootstrap.servers": "127.0.0.1:1", "log_level": 0})
    try:
        brokers: dict[int, Any] = client.list_topics(timeout=_START_TIMEOUT_S).brokers
    except KafkaException as error:
        raise BrokerUnavailableError(f"the embedded broker did not start: {error}") from error
    yield ",".join(f"{broker.host}:{broker.port}" for broker in brokers.values())
    del client


@dataclass(frozen=True, slots=True)
class EmbeddedBroker:
    """An embedded broker in a process of its own."""

    bootstrap_servers: str
    pid: int


@contextmanager
def embedded_broker() -> Iterator[EmbeddedBroker]:
    """Start an embedded broker as a child process, and stop it at the end.

    Raises:
        ConfigError: confluent-kafka is not installed.
        BrokerUnavailableError: the process ended without an address; its own words are in the message.

    """
    process = subprocess.Popen(  # noqa: S603 - our own module, no shell
        _COMMAND,
        stdin=subprocess.PIPE,  # it ends when we do, even when we are killed
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        start_new_session=True,  # Ctrl-C is for us; we stop it when we are done with it
    )
    try:
        yield EmbeddedBroker(_first_line(process), process.pid)
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_TIMEOUT_S)
        if process.poll() is None:
            process.kill()
        process.communicate()


def _first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    assert process.stderr is not None
    line = process.stdout.readline().strip()
    if line:
        return line
    words = process.stderr.read().strip()
    kind = ConfigError if "pip install" in words else BrokerUnavailableError
    raise kind(words.removeprefix("error: ") or "the embedded broker ended at once")


def _at_end_of_input(act: Callable[[], None]) -> None:
    sys.stdin.read()
    act()


def main() -> int:
    """`python -m kafka_saga.messaging.embedded`: print the address, run until SIGTERM or SIGINT."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--until-input-ends", action="store_true", help="also stop when standard input is closed")
    ended = threading.Event()
    if parser.parse_args().until_input_ends:
        threading.Thread(target=_at_end_of_input, args=(ended.set,), daemon=True).start()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    try:
        for address in serve():
            print(address, flush=True)  # noqa: T201 - the command's output
            ended.wait()
    except (ConfigError, BrokerUnavailableError) as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201 - the command's output
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
