"""How a participant becomes a process: what `saga participant` does, without the command line's libraries."""

from __future__ import annotations

import os
from pathlib import Path

from kafka_saga.orchestrator.cli import check_interpreter
from kafka_saga.orchestrator.config import DAY_MS, Settings, load_settings, remarks
from kafka_saga.orchestrator.store.location import read_address
from kafka_saga.participants.app import Shared
from kafka_saga.participants.app import run_participant as run
from kafka_saga.participants.faults import Faults
from kafka_saga.participants.handlers import Participant
from kafka_saga.participants.store.port import Prepare
from kafka_saga.runtime.postgres import PostgresUrl
from kafka_saga.runtime.process import run_process
from kafka_saga.runtime.telemetry import configure_logging, log
from kafka_saga.runtime.trace_export import exported_traces


def run_participant(
    participant: Participant,
    *,
    prepare: Prepare | None = None,
    database: Path | str | PostgresUrl | None = None,
    settings: Settings | None = None,
) -> int:
    """Run `participant` as this process until SIGTERM or SIGINT; the exit code.

    For programs that start without the `saga` command: `sys.exit(run_participant(payment, prepare=prepare))`.

    Args:
        participant: whose handlers run.
        prepare: a coroutine function of the database connection that creates the service's tables; runs at every start.
        database: the service's own: a SQLite file, or `postgresql://…`; what the setting `service_database`
            or `service_databases` says when not given, and else `<name>.db` in the data directory.
        settings: from `saga.toml` and `SAGA_…` variables when not given.

    Raises:
        ConfigError: a setting is unknown or wrong.

    """
    check_interpreter()
    chosen = settings or load_settings(flags={}, environment=os.environ).settings
    told = read_address(database) if isinstance(database, str) else database
    at = told or chosen.service_database or chosen.database_of(participant.name)
    faults = Faults.from_environment(os.environ)
    configure_logging(process=f"participant:{participant.name}", level=chosen.log_level, log_format=chosen.log_format)
    log_remarks()
    with exported_traces(participant.name, os.environ):
        return run_process(
            lambda lifecycle: run(
                lifecycle,
                participant=participant,
                kafka=chosen.kafka,
                topics=chosen.topics,
                database=Shared(at, chosen.worker or "", chosen.data_dir) if isinstance(at, PostgresUrl) else at,
                faults=faults,
                prepare=prepare,
                partitions=chosen.partitions if chosen.create_topics else None,
                fence_retention_ms=chosen.fence_retention_days * DAY_MS,
                handler_timeout_ms=chosen.handler_timeout_ms,
                broker_wait_ms=chosen.broker_wait_ms,
                admin=chosen.admin_at,
            )
        )


def log_remarks() -> None:
    """Say in the log which variables look like settings and are none."""
    for remark in remarks(os.environ):
        log("config").warning("config.variable_ignored", why=remark)
