"""Every public name, drawn from its docstring by mkdocstrings when the site is built."""

from __future__ import annotations

from types import ModuleType

import kafka_saga
from kafka_saga import client, errors, testing
from kafka_saga.client import outbox

HEAD = """# Python API

Everything that is meant to be imported. By example: [sagas](../sagas.md), [participants](../participants.md),
[client](../client.md). What else the package has inside may change at any time.

"""

GROUPS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    (
        "Sagas",
        "What a saga is.",
        ("Saga", "Step", "Retry", "NoReply", "SagaData", "from_request", "from_reply", "Sensitive"),
    ),
    (
        "Participants",
        "What a service is.",
        (
            *("Participant", "Rejected", "Reply", "Transaction", "CommandContext"),
            *("Prepare", "SqlConnection", "run_participant"),
        ),
    ),
    (
        "Settings",
        "What can be [set](settings.md).",
        ("Settings", "load_settings", "KafkaSettings", "TopicNames", "PostgresUrl"),
    ),
)
"""Title, what it is about, names: what `kafka_saga` itself exports, but its modules."""

MODULES: tuple[tuple[str, ModuleType, str], ...] = (
    ("Starting sagas", client, "Of services that start sagas: `kafka_saga.client`."),
    ("Outbox", outbox, "Starting a saga in a transaction of one's own: `kafka_saga.client.outbox`."),
    ("Testing", testing, "Tests without Kafka: `kafka_saga.testing`."),
)


def page() -> str:
    """The page: directives for mkdocstrings."""
    parts = [HEAD]
    for title, about, names in GROUPS:
        parts += [f"## {title}\n\n{about}\n\n", *(_directive(f"kafka_saga.{name}") for name in names)]
    for title, module, about in MODULES:
        parts += [f"## {title}\n\n{about}\n\n", *(_directive(f"{module.__name__}.{name}") for name in module.__all__)]
    listed = ", ".join(f"`{name}`" for name in errors.__all__)
    parts.append(f"## Errors\n\n`kafka_saga.errors` has {listed}: [what each means](errors.md).\n")
    return "".join(parts)


def grouped() -> set[str]:
    """The names of `kafka_saga` that the page has."""
    modules = {name for name in kafka_saga.__all__ if isinstance(getattr(kafka_saga, name), ModuleType)}
    return {name for *_rest, names in GROUPS for name in names} | modules | {"__version__"}


def _directive(name: str) -> str:
    return f"::: {name}\n\n"
