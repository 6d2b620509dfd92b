"""A durable saga orchestrator over Kafka.

    from kafka_saga import Saga, Step, Retry, from_request, from_reply       # a saga: docs/sagas.md
    from kafka_saga import Participant, Rejected, Transaction                # a service: docs/participants.md
    from kafka_saga.client import SagaClient                                 # starting sagas: docs/client.md
    from kafka_saga.testing import given, Harness                            # tests of both
    from kafka_saga.errors import SagaError                                  # what is raised

Names are imported when they are used: a participant loads nothing of the orchestrator, and `saga --help` neither.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kafka_saga import client, errors, testing
    from kafka_saga.messaging.settings import KafkaSettings
    from kafka_saga.orchestrator.cli.serving import run_participant
    from kafka_saga.orchestrator.config import Settings, load_settings
    from kafka_saga.orchestrator.definition import NoReply, Retry, Saga, SagaData, Step, from_reply, from_request
    from kafka_saga.participants.handlers import Participant
    from kafka_saga.participants.outcomes import Rejected, Reply
    from kafka_saga.participants.store.port import Prepare
    from kafka_saga.participants.transaction import CommandContext, Transaction
    from kafka_saga.runtime.postgres import PostgresUrl
    from kafka_saga.runtime.sqlite import SqlConnection
    from kafka_saga.schemas.sensitive import Sensitive
    from kafka_saga.schemas.topics import TopicNames

    __version__: str

__all__ = [
    "CommandContext",
    "KafkaSettings",
    "NoReply",
    "Participant",
    "PostgresUrl",
    "Prepare",
    "Rejected",
    "Reply",
    "Retry",
    "Saga",
    "SagaData",
    "Sensitive",
    "Settings",
    "SqlConnection",
    "Step",
    "TopicNames",
    "Transaction",
    "__version__",
    "client",
    "errors",
    "from_reply",
    "from_request",
    "load_settings",
    "run_participant",
    "testing",
]

_DEFINITION = "kafka_saga.orchestrator.definition"
_CONFIG = "kafka_saga.orchestrator.config"
_HOMES = {
    **dict.fromkeys(("NoReply", "Retry", "Saga", "SagaData", "Step", "from_reply", "from_request"), _DEFINITION),
    **dict.fromkeys(("Settings", "load_settings"), _CONFIG),
    "KafkaSettings": "kafka_saga.messaging.settings",
    "TopicNames": "kafka_saga.schemas.topics",
    "Participant": "kafka_saga.participants.handlers",
    "Rejected": "kafka_saga.participants.outcomes",
    "Reply": "kafka_saga.participants.outcomes",
    "Prepare": "kafka_saga.participants.store.port",
    "CommandContext": "kafka_saga.participants.transaction",
    "Transaction": "kafka_saga.participants.transaction",
    "PostgresUrl": "kafka_saga.runtime.postgres",
    "Sensitive": "kafka_saga.schemas.sensitive",
    "SqlConnection": "kafka_saga.runtime.sqlite",
    "run_participant": "kafka_saga.orchestrator.cli.serving",
}
_MODULES = ("client", "errors", "testing")


if not TYPE_CHECKING:  # a type checker would believe in any name that this function may know

    def __getattr__(name: str) -> Any:
        if name == "__version__":
            from importlib import metadata  # noqa: PLC0415 -- half of what importing this takes

            return metadata.version("kafka-saga")
        if name in _MODULES:
            return import_module(f"kafka_saga.{name}")
        home = _HOMES.get(name)
        if home is None:
            raise AttributeError(f"module 'kafka_saga' has no attribute '{name}'")
        return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return sorted({*(name for name in globals() if name.startswith("__")), *__all__})
