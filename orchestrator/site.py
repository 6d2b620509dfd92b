"""What `saga doctor` and `saga explain` examine, according to the settings."""

from __future__ import annotations

from kafka_saga.orchestrator.config import DAY_MS, Settings
from kafka_saga.orchestrator.operations.checks.examination import Site
from kafka_saga.orchestrator.operations.checks.topics import Wanted
from kafka_saga.orchestrator.operations.kafka.needed_topics import topic_specs
from kafka_saga.orchestrator.registry import Registry


def site_of(settings: Settings, registry: Registry) -> Site:
    """Where everything is, and how it should be."""
    names = settings.topics
    requests = frozenset(names.requests(saga_type) for saga_type in registry.saga_types)
    commands = frozenset(names.commands(service) for service in registry.services)
    replies = frozenset(names.replies_of(service) for service in registry.services)
    wanted = Wanted(
        specs=topic_specs(registry, names, settings.partitions),
        live=requests | commands | replies,
        commands=commands,
        requests=requests,
        fence_ms=settings.fence_retention_days * DAY_MS,
        purged_ms=settings.purged_retention_days * DAY_MS or None,
    )
    return Site(
        kafka=settings.kafka,
        names=names,
        store=settings.store_at,
        data_dir=settings.data_dir,
        group=settings.group_name,
        registry=registry,
        wanted=wanted,
        databases={service: settings.database_of(service) for service in registry.services},
    )
