"""Which Kafka the tests run against: the first that is there, and why the ones before it were not taken.

1. `KAFKA_BOOTSTRAP_SERVERS`   a broker that somebody else runs
2. Docker                      testcontainers
3. Maven and Java              deploy/kafka: the only one that tests can pause, kill and restart
4. embedded                    librdkafka's mock cluster: quick, and no evidence of reliability

`SAGA_TEST_BROKER=real|env|docker|maven|embedded` forces the choice; `real` means any but the embedded one.
"""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from deploy.kafka import kafka as local_kafka
from kafka_saga.messaging.embedded import embedded_broker
from kafka_saga.messaging.settings import KafkaSettings
from kafka_saga.runtime.clock import SystemClock
from tests.servers import NoServerError, first_of

DOCKER_PING_TIMEOUT_S = 2
QUESTION_TIMEOUT_S = 5
COORDINATOR_TIMEOUT_MS = 120_000
CLOCK = SystemClock()


@dataclass
class BrokerUnderTest:
    """The broker of this test run."""

    kind: str
    bootstrap_servers: str
    skipped: list[str] = field(default_factory=list)  # "<kind>: <reason>", of those that come before it
    process: local_kafka.Broker | None = None  # with pause, resume, kill, start, stop, restart

    @property
    def is_real(self) -> bool:
        return self.kind != "embedded"

    @property
    def settings(self) -> KafkaSettings:
        return KafkaSettings(bootstrap_servers=self.bootstrap_servers)

    def delete_topics(self, parts: Collection[str]) -> None:
        """Delete the topics that have one of `parts` in their names."""
        admin = AdminClient({"bootstrap.servers": self.bootstrap_servers})
        names = admin.list_topics(timeout=30).topics
        found = [name for name in names if any(part in name for part in parts)]
        for deleted in admin.delete_topics(found).values() if found else ():
            deleted.result()

    def describe(self) -> str:
        lines = [f"broker under test: {self.kind} at {self.bootstrap_servers}"]
        return "\n".join(lines + [f"  not {reason}" for reason in self.skipped])


Starter = Callable[[ExitStack, Mapping[str, str]], BrokerUnderTest]


def _from_environment(_stack: ExitStack, environ: Mapping[str, str]) -> BrokerUnderTest:
    address = environ.get("KAFKA_BOOTSTRAP_SERVERS")
    if not address:
        raise NoServerError("KAFKA_BOOTSTRAP_SERVERS is not set")
    return BrokerUnderTest("env", address)


def ping_docker(host: str) -> None:
    """Ask the engine before believing in it: a client without an engine is common."""
    url = urlsplit(host)
    try:
        if url.scheme == "unix":
            connection = socket.socket(socket.AF_UNIX)
            connection.settimeout(DOCKER_PING_TIMEOUT_S)
            address: str | tuple[str, int] = url.path
        else:
            connection = socket.socket()
            connection.settimeout(DOCKER_PING_TIMEOUT_S)
            address = (url.hostname or "localhost", url.port or 2375)
        with connection:
            connection.connect(address)
            connection.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
            if b"200" not in connection.recv(64):
                raise NoServerError(f"the Docker engine at {host} is not well")
    except OSError as error:
        raise NoServerError(f"no Docker engine at {host} ({error})") from error


def _from_docker(stack: ExitStack, environ: Mapping[str, str]) -> BrokerUnderTest:
    ping_docker(environ.get("DOCKER_HOST", "unix:///var/run/docker.sock"))
    try:
        from testcontainers.community.kafka import KafkaContainer  # noqa: PLC0415 - only where it is tried
    except ImportError as error:
        raise NoServerError(f"{error.name} is not installed") from error
    container = KafkaContainer().with_kraft().with_env("KAFKA_AUTO_CREATE_TOPICS_ENABLE", "false")
    try:
        stack.enter_context(container)
    except Exception as error:
        raise NoServerError(f"the container did not start: {error}") from error
    return BrokerUnderTest("docker", container.get_bootstrap_server())


def await_coordinator(bootstrap_servers: str) -> None:
    """Wait until a new broker has made its topic of groups, which takes a busy machine longer than clients wait.

    The first question about a group has it made.
    """
    admin = AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 0})
    deadline = CLOCK.monotonic_ms() + COORDINATOR_TIMEOUT_MS
    while True:
        described = admin.describe_consumer_groups(["nobodys"], request_timeout=QUESTION_TIMEOUT_S)
        try:
            described["nobodys"].result()
        except KafkaException as error:
            if error.args[0].code() == KafkaError.GROUP_ID_NOT_FOUND:
                return
            if CLOCK.monotonic_ms() > deadline:
                raise NoServerError(f"the broker at {bootstrap_servers} coordinates no group: {error}") from error
        else:
            return


def _from_maven(stack: ExitStack, _environ: Mapping[str, str]) -> BrokerUnderTest:
    directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="saga-kafka-", ignore_cleanup_errors=True))
    broker = local_kafka.Broker(Path(directory))
    stack.callback(broker.stop)
    try:
        broker.start()
    except local_kafka.KafkaError as error:
        raise NoServerError(str(error)) from error
    await_coordinator(broker.bootstrap_servers)
    return BrokerUnderTest("maven", broker.bootstrap_servers, process=broker)


def _embedded(stack: ExitStack, _environ: Mapping[str, str]) -> BrokerUnderTest:
    return BrokerUnderTest("embedded", stack.enter_context(embedded_broker()).bootstrap_servers)


_STARTERS: dict[str, Starter] = {
    "env": _from_environment,
    "docker": _from_docker,
    "maven": _from_maven,
    "embedded": _embedded,
}


def kinds(choice: str) -> list[str]:
    """The kinds to try, in order, for a value of SAGA_TEST_BROKER."""
    if choice == "":
        return list(_STARTERS)
    if choice == "real":
        return [kind for kind in _STARTERS if kind != "embedded"]
    if choice in _STARTERS:
        return [choice]
    raise NoServerError(f"SAGA_TEST_BROKER={choice}: it must be real, {', '.join(_STARTERS)}, or not set")


@contextmanager
def open_broker(
    environ: Mapping[str, str] = os.environ, starters: Mapping[str, Starter] = _STARTERS
) -> Iterator[BrokerUnderTest]:
    """The first broker that can be had; stopped at the end, unless somebody else runs it."""
    with first_of(kinds(environ.get("SAGA_TEST_BROKER", "")), starters, environ, "broker") as broker:
        yield broker
