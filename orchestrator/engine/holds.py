"""Topics that take nothing for now, and whom that concerns (R56)."""

from __future__ import annotations

from collections.abc import Collection

from kafka_saga.orchestrator.engine.admission import Awaited
from kafka_saga.orchestrator.registry import Registry
from kafka_saga.schemas.topics import TopicNames

_NO_TYPES: frozenset[str] = frozenset()


def choked_types(held: Collection[str], registry: Registry, topics: TopicNames) -> frozenset[str]:
    """The saga types of which none begin: a topic that their commands need is `held`."""
    if not held:
        return _NO_TYPES
    active = ((saga_type, registry.active(saga_type)) for saga_type in registry.saga_types)
    return frozenset(
        saga_type
        for saga_type, definition in active
        if definition is not None and any(topics.commands(step.service) in held for step in definition.steps)
    )


def is_held(held: Collection[str], registry: Registry, topics: TopicNames, awaited: Awaited) -> bool:
    """Whether a reply is late because the command's own topic is `held`."""
    definition = registry.get(awaited.saga_type, awaited.definition_version)
    return definition is not None and topics.commands(definition.steps[awaited.step].service) in held
