"""A shipped service as a process: `python -m tests.participants.service_process NAME BROKERS PREFIX DATABASE`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from kafka_saga.messaging.settings import KafkaSettings
from kafka_saga.participants.app import Shared, run_participant
from kafka_saga.participants.faults import Faults
from kafka_saga.participants.services import SERVICES
from kafka_saga.runtime.postgres import PostgresUrl, is_postgres_url
from kafka_saga.runtime.process import Lifecycle, run_process
from kafka_saga.runtime.telemetry import configure_logging
from kafka_saga.schemas.topics import TopicNames


def main(name: str, brokers: str, prefix: str, database: str, worker: str = "") -> int:
    configure_logging(process=f"participant:{name}", log_format="json")
    service = SERVICES[name]
    faults = Faults.from_environment(os.environ)

    async def run(lifecycle: Lifecycle) -> None:
        await run_participant(
            lifecycle,
            participant=service.participant,
            kafka=KafkaSettings(bootstrap_servers=brokers),
            topics=TopicNames(prefix=prefix),
            database=Shared(PostgresUrl(database), worker) if is_postgres_url(database) else Path(database),
            faults=faults,
            prepare=service.prepare,
        )

    return run_process(run)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
