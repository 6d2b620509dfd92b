"""The system that is measured: one orchestrator and three participants, each in a process, as a user runs them."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from bench.broker import Kafka
from kafka_saga.messaging.settings import KafkaSettings
from kafka_saga.orchestrator.app import ensure_topics, registry_of
from kafka_saga.orchestrator.config import Settings
from kafka_saga.orchestrator.operations.kafka.needed_topics import topic_specs
from kafka_saga.orchestrator.supervisor.child import Child, Program, saga_command
from kafka_saga.orchestrator.supervisor.lines import Line
from kafka_saga.orchestrator.supervisor.stack import ORCHESTRATOR, SERVICES
from kafka_saga.runtime.clock import new_id
from kafka_saga.runtime.errors import SagaError
from kafka_saga.schemas.topics import TopicNames

READY_TIMEOUT_S = 120.0
"""A store with a million sagas, or a backlog of a hundred thousand, may take a while."""

STOP_TIMEOUT_S = 60.0
_KEPT_LINES = 20


class BenchError(SagaError):
    """A measurement did not come about; the message says why."""

    code = "bench"


@dataclass(frozen=True, slots=True)
class Options:
    """How the system is run, where not by its defaults.

    Attributes:
        partitions: of every topic.
        apps: modules with the sagas that it carries.
        flags: more flags of the orchestrator.
        wrappers: by process name, what its program is run by: `("strace", "-D", …)`.
        store: the URL of the orchestrator's store, where it is no file.
        databases: by service, the URL of its database, where that is no file.
        copies: by role, how many processes share its work.
        participants: by service, what `saga participant` is told, where that is not its name.

    """

    partitions: int = 4
    apps: tuple[str, ...] = ("kafka_saga.orchestrator.sagas.order",)
    flags: tuple[str, ...] = ()
    wrappers: Mapping[str, Sequence[str]] = field(default_factory=dict)
    store: str | None = None
    databases: Mapping[str, str] = field(default_factory=dict)
    copies: Mapping[str, int] = field(default_factory=dict)
    participants: Mapping[str, str] = field(default_factory=dict)

    @property
    def processes(self) -> tuple[str, ...]:
        """The names of all processes: a second of one role is `orders#2`."""
        return tuple(
            role if number == 1 else f"{role}#{number}"
            for role in (ORCHESTRATOR, *SERVICES)
            for number in range(1, self.copies.get(role, 1) + 1)
        )


class System:
    """Orchestrator and participants on one Kafka, with topics and databases of their own."""

    def __init__(self, kafka: Kafka, directory: Path, options: Options) -> None:
        self.kafka = kafka
        self.directory = directory
        self.topics = TopicNames(prefix=f"bench-{new_id()[:8]}.")
        self.options = options
        self.servers: dict[str, int] = {}
        """Process ids of the database servers that it uses, by name."""
        self._children: dict[str, Child] = {}
        self._words: list[str] = []

    @property
    def processes(self) -> dict[str, int]:
        """Process ids by name; the broker's too, where it is ours."""
        broker = {} if self.kafka.pid is None else {"kafka": self.kafka.pid}
        return {name: child.pid for name, child in self._children.items()} | self.servers | broker

    @property
    def settings(self) -> Settings:
        return Settings(
            kafka=KafkaSettings(bootstrap_servers=self.kafka.bootstrap),
            topics=self.topics,
            data_dir=self.directory,
            app=self.options.apps,
            partitions=self.options.partitions,
        )

    async def create_topics(self) -> None:
        """All topics with the number of partitions wanted, before anybody creates them with another."""
        await ensure_topics(self.settings, registry_of(self.settings))

    async def delete_topics(self) -> None:
        """Delete all topics. A broker that will not keeps them, and whoever runs it is told.

        Topics of earlier runs cost a broker of ours, too: twice the CPU for a saga after some eight of them.
        """
        admin = AIOKafkaAdminClient(bootstrap_servers=self.kafka.bootstrap)
        try:
            await admin.start()
            specs = topic_specs(registry_of(self.settings), self.topics, self.options.partitions)
            await admin.delete_topics([spec.name for spec in specs])
        except KafkaError as error:
            say(f"the topics {self.topics.prefix}* are still there: {error!r}")
        finally:
            await admin.close()

    async def start(self, *names: str) -> float:
        """Start these processes, or all, and wait until they are ready; how many seconds that took.

        Raises:
            BenchError: one did not become ready; the message has its last lines.

        """
        began = time.perf_counter()
        wanted = names or self.options.processes
        for name in wanted:
            self._children[name] = await Child.start(self._program(name), self._hear)
        ready = await asyncio.gather(*(self._children[name].until_ready(READY_TIMEOUT_S) for name in wanted))
        if not all(ready):
            failed = [name for name, works in zip(wanted, ready, strict=True) if not works]
            raise BenchError(f"{', '.join(failed)} did not become ready:\n" + "\n".join(self._words))
        return time.perf_counter() - began

    async def stop(self, *names: str) -> None:
        """Stop these processes, or all; when this returns their databases are closed."""
        stopping = [self._children.pop(name) for name in names or tuple(self._children) if name in self._children]
        await asyncio.gather(*(child.stop(STOP_TIMEOUT_S) for child in stopping))

    async def kill(self, name: str) -> None:
        """End a process as a crash would."""
        child = self._children.pop(name)
        child.kill()
        await child.ended()

    def kill_all(self) -> None:
        for child in self._children.values():
            child.kill()

    def database(self, name: str) -> Path:
        return self.directory / f"{name}.db"

    def database_bytes(self) -> dict[str, int]:
        """The size of each database, with its write-ahead log."""
        names = (ORCHESTRATOR, *SERVICES)
        return {
            name: sum(path.stat().st_size for path in self.directory.glob(f"{name}.db*") if path.suffix != ".lock")
            for name in names
        }

    def _program(self, name: str) -> Program:
        flags = ["--bootstrap-servers", self.kafka.bootstrap, "--prefix", self.topics.prefix]
        flags += ["--data-dir", str(self.directory)]
        own = {key: value for key, value in os.environ.items() if not key.startswith(("SAGA_", "KAFKA_"))}
        environment = {**own, "SAGA_LOG_FORMAT": "json"}
        role, _, _ = name.partition("#")
        if role == ORCHESTRATOR:
            apps = [word for app in self.options.apps for word in ("--app", app)]
            store = [] if self.options.store is None else ["--store", self.options.store]
            command = saga_command(ORCHESTRATOR, *flags, *apps, *store, *self.options.flags)
        else:
            url = self.options.databases.get(role)
            database = [] if url is None else ["--database", url]
            command = saga_command("participant", self.options.participants.get(role, role), *flags, *database)
        wrapper = tuple(self.options.wrappers.get(name, ()))
        named = dict.fromkeys(("SAGA_REPLICA", "SAGA_WORKER"), name.replace("#", "-"))
        return Program(name, (*wrapper, *command), environment | named, f"{_kind(role)}.ready")

    def _hear(self, line: Line) -> None:
        if line.level in {"warning", "error", "critical"}:
            self._words = [*self._words[-_KEPT_LINES:], f"{line.process}: {line.readable()}"]

    @property
    def complaints(self) -> list[str]:
        """What the processes warned of."""
        return list(self._words)


def _kind(name: str) -> str:
    return ORCHESTRATOR if name == ORCHESTRATOR else "participant"


@asynccontextmanager
async def prepared(kafka: Kafka, directory: Path, options: Options | None = None) -> AsyncIterator[System]:
    """A system with its topics, nothing started. At the end all its processes, databases and topics are gone."""
    directory.mkdir(parents=True)
    system = System(kafka, directory, options or Options())
    try:
        await system.create_topics()
        yield system
    except BaseException:
        system.kill_all()
        raise
    finally:
        await asyncio.shield(system.stop())
        await asyncio.shield(system.delete_topics())
        shutil.rmtree(directory, ignore_errors=True)


@asynccontextmanager
async def running(kafka: Kafka, directory: Path, options: Options | None = None) -> AsyncIterator[System]:
    """The same, with everything started."""
    async with prepared(kafka, directory, options) as system:
        say(f"orchestrator and participants ready after {await system.start():.1f} s")
        yield system


def say(text: str) -> None:
    """Progress, for whoever waits."""
    sys.stderr.write(f"bench: {text}\n")
    sys.stderr.flush()
