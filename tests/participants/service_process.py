"""A shipped service as a process: `python -m tests.participants.service_process NAME BROKERS PREFIX DATABASE`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from messaging.settings import KafkaSettings
from participants.app import run_participant
from participants.faults import Faults
from participants.services import SERVICES
from runtime.process import Lifecycle, run_process
from runtime.telemetry import configure_logging
from schemas.topics import TopicNames


def main(name: str, brokers: str, prefix: str, database: str) -> int:
    configure_logging(process=f"participant:{name}", log_format="json")
    service = SERVICES[name]
    faults = Faults.from_environment(os.environ)

    async def run(lifecycle: Lifecycle) -> None:
        await run_participant(
            lifecycle,
            participant=service.participant,
            kafka=KafkaSettings(bootstrap_servers=brokers),
            topics=TopicNames(prefix=prefix),
            database=Path(database),
            faults=faults,
            prepare=service.prepare,
        )

    return run_process(run)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
