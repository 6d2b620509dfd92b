"""A durable saga orchestrator over Kafka.

    from kafka_saga import Saga, Step, Retry, from_request, from_reply       # a saga: docs/sagas.md
    from kafka_saga import Participant, Rejected, Transaction                # a service: docs/participants.md
    from kafka_saga.testing import given, Harness                            # tests of both
    from kafka_saga.errors import SagaError                                  # what is raised

Names are imported when they are used: a participant loads nothing of the orchestrator, and `saga --help` neither.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kafka_saga.orchestrator.cli.serving import run_participant
    from kafka_saga.orchestrator.definition import Retry, Saga, SagaData, Step, from_reply, from_request
    from kafka_saga.participants.handlers import Participant
    from kafka_saga.participants.outcomes import Rejected, Reply
    from kafka_saga.participants.transaction import Transaction
    from kafka_saga.runtime.sqlite import SqlConnection

__all__ = [
    "Participant",
    "Rejected",
    "Reply",
    "Retry",
    "Saga",
    "SagaData",
    "SqlConnection",
    "Step",
    "Transaction",
    "from_reply",
    "from_request",
    "run_participant",
]

_DEFINITION = "kafka_saga.orchestrator.definition"
_HOMES = {
    **dict.fromkeys(("Retry", "Saga", "SagaData", "Step", "from_reply", "from_request"), _DEFINITION),
    "Participant": "kafka_saga.participants.handlers",
    "Rejected": "kafka_saga.participants.outcomes",
    "Reply": "kafka_saga.participants.outcomes",
    "Transaction": "kafka_saga.participants.transaction",
    "SqlConnection": "kafka_saga.runtime.sqlite",
    "run_participant": "kafka_saga.orchestrator.cli.serving",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'kafka_saga' has no attribute '{name}'")
    return getattr(import_module(home), name)


def __dir__() -> list[str]:
    return [*globals(), *_HOMES]
