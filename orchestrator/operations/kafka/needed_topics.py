"""The topics that the registered sagas need."""

from __future__ import annotations

from kafka_saga.messaging.topics import TopicSpec
from kafka_saga.orchestrator.operations.dead_letters.marks import marks_topic
from kafka_saga.orchestrator.registry import Registry
from kafka_saga.schemas.topics import TopicNames, dead_letter_topic

TOPIC_CONFIG = {"cleanup.policy": "delete"}
"""Compaction by saga id would eat a saga's earlier commands."""


def topics_read(registry: Registry, topics: TopicNames) -> list[str]:
    """What the orchestrator reads: requests and replies."""
    read = [topics.requests(saga_type) for saga_type in registry.saga_types]
    return read + [topics.replies_of(service) for service in registry.services]


def topic_specs(registry: Registry, topics: TopicNames, partitions: int) -> list[TopicSpec]:
    """Every topic that the registered sagas need, dead letters and what became of them included."""
    read = topics_read(registry, topics)
    written = [topics.events(saga_type) for saga_type in registry.saga_types]
    commands = [topics.commands(service) for service in registry.services]
    # Events have none: one that cannot be told is a line in the log, and nobody waits for it.
    dead = [dead_letter_topic(topic) for topic in read + commands]
    specs = [TopicSpec(name, partitions, TOPIC_CONFIG) for name in [*read, *commands, *written, *dead]]
    return [*specs, marks_topic(topics)]


def dead_letter_topics_of(registry: Registry, topics: TopicNames) -> frozenset[str] | None:
    """The dead letter topics of what our sagas need; None with a prefix: then all that begin with it are ours.

    Without one, a cluster that others use too may have dead letters of their making: none of ours to send again.
    """
    if topics.prefix:
        return None
    return frozenset(dead_letter_topic(spec.name) for spec in topic_specs(registry, topics, 1))
