"""What the demo plays on: a directory of its own, a broker, and the real processes."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from kafka_saga.messaging.settings import KafkaSettings
from kafka_saga.orchestrator.demo.follower import DemoError
from kafka_saga.orchestrator.demo.orders import fault_variables
from kafka_saga.orchestrator.demo.outsider import Outsider
from kafka_saga.orchestrator.http.ports import free_place
from kafka_saga.orchestrator.supervisor.child import Child
from kafka_saga.orchestrator.supervisor.lines import Line
from kafka_saga.orchestrator.supervisor.stack import BROKER, ORCHESTRATOR, SERVICES, saga_programs, start_broker
from kafka_saga.orchestrator.supervisor.supervisor import Death, Supervisor
from kafka_saga.schemas.codec import JsonObject
from kafka_saga.schemas.topics import TopicNames

START_TIMEOUT_S = 30.0
_LINES_KEPT = 40


@dataclass(frozen=True, slots=True)
class Where:
    """Where the demo plays.

    Attributes:
        directory: for all databases; empty at the start.
        kafka: a configured Kafka, or None for an embedded broker.
        prefix: of all topics.
        environment: of all processes, without our own settings.

    """

    directory: Path
    kafka: KafkaSettings | None
    prefix: str
    environment: Mapping[str, str]


class Stage(Outsider):
    """The running system, and the hands of an outside producer and observer."""

    def __init__(self, where: Where, seen: Callable[[str, JsonObject], None]) -> None:
        """`seen` gets each saga's id and record when it says something on `order.events`."""
        super().__init__(where.kafka or KafkaSettings(), TopicNames(prefix=where.prefix), seen)
        self.where = where
        self.dashboard = free_place()
        self.lines: deque[Line] = deque(maxlen=_LINES_KEPT)
        self.deaths: list[Death] = []
        self.recovered = asyncio.Event()
        """The orchestrator is ready again; cleared before it is killed."""
        self._broker: Child | None = None
        self._supervisor = Supervisor(clock=self.clock, tell=self._hear, mourn=self.deaths.append)

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if error is not None:
            self.kill()  # nothing here is worth a clean stop any more
        await super().__aexit__(kind, error, trace)

    async def open(self) -> None:
        """Start everything, and wait until it works.

        Raises:
            SagaError: it does not; the message says why.

        """
        if self.where.kafka is None:
            self._broker = broker = await start_broker(self.where.environment, self._hear)
            self._closing.push_async_callback(broker.stop, 5.0)
            self.kafka = KafkaSettings(bootstrap_servers=broker.first_line)
        await self._start_processes()
        await self.attach(self.store)

    @property
    def store(self) -> Path:
        """The orchestrator's database."""
        return self.where.directory / "orchestrator.db"

    @property
    def orchestrator_pid(self) -> int:
        return self._supervisor.child(ORCHESTRATOR).pid

    def processes(self) -> list[tuple[str, int]]:
        """Every process and its id."""
        broker = [] if self._broker is None else [(BROKER, self._broker.pid)]
        return [*broker, *((name, self._supervisor.child(name).pid) for name in (ORCHESTRATOR, *SERVICES))]

    async def kill_orchestrator(self) -> None:
        """`kill -9`, and wait until it is dead. The supervisor starts another one, as any would in production."""
        child = self._supervisor.child(ORCHESTRATOR)
        self.recovered.clear()
        child.kill()
        await child.ended()

    async def until_recovered(self) -> None:
        """Wait until the orchestrator that was started instead works.

        Raises:
            DemoError: it does not.

        """
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                await self.recovered.wait()
        except TimeoutError:
            raise DemoError("the orchestrator did not come back after it was killed") from None

    async def close_processes(self) -> None:
        """Stop orchestrator and participants, so that their databases can be counted in peace."""
        await self._supervisor.stop()

    def kill(self) -> None:
        """End all processes at once."""
        self._supervisor.kill()
        if self._broker is not None:
            self._broker.kill()

    async def _start_processes(self) -> None:
        (self.where.directory / "saga.toml").touch()  # the user's own settings have no part in this
        flags = ["--config", str(self.where.directory / "saga.toml"), "--data-dir", str(self.where.directory)]
        environment = {**self.where.environment, **_kafka_variables(self.kafka), **fault_variables()}
        if self.where.prefix:
            flags += ["--prefix", self.where.prefix]
        self._closing.push_async_callback(self._supervisor.stop)
        services = {name: name for name in SERVICES}
        await self._supervisor.start(saga_programs(flags, services, environment, self.dashboard))
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                await self._supervisor.all_ready()
        except TimeoutError:
            raise DemoError(f"the processes were not ready within {START_TIMEOUT_S:g} s") from None

    def _hear(self, line: Line) -> None:
        self.lines.append(line)
        if line.process == ORCHESTRATOR and line.event == "orchestrator.ready":
            self.recovered.set()

    def last_words(self) -> Sequence[str]:
        """The latest lines of the processes, for when something went wrong."""
        return [f"{line.process:<12} {line.readable()}" for line in self.lines]


def _kafka_variables(kafka: KafkaSettings) -> dict[str, str]:
    """`kafka` as variables for the processes; secrets go this way too, and never onto a command line."""
    variables: dict[str, str] = {}
    for name in KafkaSettings.model_fields:
        value = getattr(kafka, name)
        if value is not None:
            secret = getattr(value, "get_secret_value", None)
            variables[f"SAGA_KAFKA__{name.upper()}"] = secret() if secret is not None else str(value)
    return variables
