"""The client is for other people's services: importing it loads nothing that starting sagas does not need."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

NOT_AT_IMPORT = {
    "aiokafka", "structlog", "rich", "opentelemetry", "prometheus_client", "uvloop",
    "pydantic", "pydantic_core", "orjson", "importlib.metadata",
}  # fmt: skip
"""pydantic takes longer than all the rest, and the first model, with which it looks for plugins, as long again."""

NEVER = {
    "aiosqlite",
    "sqlite3",
    "asyncpg",
    "sqlalchemy",
    "cyclopts",
    "fastapi",
    "uvicorn",
    "ormsgpack",
    "confluent_kafka",
}
ROOMS = ("kafka_saga.orchestrator", "kafka_saga.participants")
MODULES_MAX = 20
"""Of ours, when it is imported."""

CODE = """
import sys
import kafka_saga.client
from kafka_saga.client import SagaClient, SagaType
def loaded():
    return sorted(sys.modules)
first = loaded()
SagaClient("localhost:9092")
import kafka_saga.client.reader, kafka_saga.client.sending, kafka_saga.client.requests, kafka_saga.client.streaming
import kafka_saga.messaging.consumer, kafka_saga.messaging.producer
import json
print(json.dumps([first, loaded()]))
"""


@pytest.fixture(scope="module")
def loaded() -> list[list[str]]:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True, timeout=60)
    found: list[list[str]] = json.loads(done.stdout)
    return found


def test_importing_it_loads_no_kafka_no_logging_and_no_other_room(loaded: list[list[str]]) -> None:
    assert set(loaded[0]) & (NOT_AT_IMPORT | NEVER) == set()
    ours = [name for name in loaded[0] if name.startswith("kafka_saga.")]
    assert [name for name in ours if name.startswith(ROOMS)] == []
    assert 10 < len(ours) <= MODULES_MAX, ours


def test_a_client_that_works_still_loads_no_database_and_no_command_line(loaded: list[list[str]]) -> None:
    tops = {name.partition(".")[0] for name in loaded[1]}
    assert "aiokafka" in tops
    assert tops & (NEVER - {"sqlite3", "aiosqlite"}) == set()
    assert [name for name in loaded[1] if name.startswith(ROOMS)] == []
