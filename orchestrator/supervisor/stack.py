"""What a whole saga system consists of here: a broker, an orchestrator, participants, each in its own process."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from kafka_saga.orchestrator.http.ports import Place
from kafka_saga.orchestrator.supervisor.child import Child, Program, Tell, saga_command
from kafka_saga.runtime.clock import SystemClock
from kafka_saga.runtime.errors import BrokenStoreError, BrokerUnavailableError, ConfigError, StoreRefusedError
from kafka_saga.runtime.identity import identify
from kafka_saga.runtime.sqlite import open_inline, transaction
from kafka_saga.runtime.store_lock import StoreLock

BROKER = "broker"
ORCHESTRATOR = "orchestrator"
SERVICES = ("inventory", "payment", "orders")
"""The participants of the shipped order saga."""

BROKER_START_TIMEOUT_S = 20.0

BROKER_LIMITS = (
    "It keeps everything in memory and forgets it when it ends; at most about 5 MiB a partition, then the oldest\n"
    "records are dropped without a word; 4 partitions a topic; no topic administration. For demos and quick tests,\n"
    "never for reliability."
)


def command_name() -> str:
    """What to type for `saga`: its path where the shell does not know it, as in a `.venv` that is not activated."""
    return "saga" if shutil.which("saga") else sys.argv[0]


def saga_programs(
    flags: Sequence[str],
    participants: Mapping[str, str],
    environment: Mapping[str, str],
    dashboard: Place,
    admin_port: int | None = None,
) -> tuple[Program, ...]:
    """The orchestrator and the participants, with these flags each. The orchestrator is the first to be stopped.

    `participants` says for each service what `saga participant` is told; `dashboard` is served by the orchestrator,
    which shows its health and its metrics on `admin_port`, too; each participant on the next port.
    """
    ports = [
        () if admin_port is None else ("--admin-port", str(admin_port and admin_port + place))
        for place in range(1 + len(participants))
    ]
    # We read what they write, whatever the locale; people get it from us.
    logging = {**environment, "SAGA_LOG_FORMAT": "json", "PYTHONIOENCODING": "utf-8"}
    return (
        Program(
            ORCHESTRATOR,
            saga_command("orchestrator", "--http", dashboard.told, *flags, *ports[0]),
            logging,
            "orchestrator.ready",
            dashboard.descriptors,
        ),
        *(
            Program(name, saga_command("participant", told, *flags, *port), logging, "participant.ready")
            for (name, told), port in zip(participants.items(), ports[1:], strict=True)
        ),
    )


async def start_broker(environment: Mapping[str, str], tell: Tell) -> Child:
    """An embedded broker that accepts connections; its address is its `first_line`.

    Raises:
        ConfigError: confluent-kafka is not installed.
        BrokerUnavailableError: it did not come up.

    """
    command = (sys.executable, "-P", "-m", "kafka_saga.messaging.embedded", "--until-input-ends")
    broker = await Child.start(Program(BROKER, command, environment), tell)
    if await broker.until_ready(BROKER_START_TIMEOUT_S):
        return broker
    broker.kill()
    code = await broker.ended()
    words = broker.last_error.removeprefix("error: ") or "the embedded broker did not start"
    raise ConfigError(words) if code == ConfigError.exit_code else BrokerUnavailableError(words)


async def forget_positions(databases: Sequence[Path]) -> int:
    """Forget which records were read: with a new embedded broker all topics begin anew; how many were forgotten.

    A kept position could lie within a new topic, and what stands before it would never be read. Reading from the
    start is safe (R3, R7, R14).

    Raises:
        StoreRefusedError: a process uses one of the databases.

    """
    forgotten = 0
    for path in databases:
        if not _keeps_positions(path):
            continue
        lock = StoreLock(path)
        await lock.take("saga up", SystemClock())
        try:
            connection = await open_inline(path)
            try:
                found = identify(path)  # again, now that nobody changes it
                if found is not None and (table := found.table("offsets")) is not None:
                    async with transaction(connection):
                        forgotten += await connection.execute(f"DELETE FROM {table}")  # noqa: S608
            finally:
                await connection.close()
        finally:
            lock.release()
    return forgotten


def _keeps_positions(path: Path) -> bool:
    """Whether a program of ours keeps its positions there; what is no database, its user will say."""
    try:
        found = identify(path)
    except (StoreRefusedError, BrokenStoreError):
        return False
    return found is not None and found.table("offsets") is not None
