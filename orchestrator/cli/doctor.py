"""`saga doctor`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import asdict

from kafka_saga.orchestrator.app import registry_of, topic_specs
from kafka_saga.orchestrator.cli.edge import EXIT_FAILED
from kafka_saga.orchestrator.cli.options import DEFAULTS, OutputFlag, SettingFlags
from kafka_saga.orchestrator.cli.output import print_rows, say
from kafka_saga.orchestrator.config import DAY_MS, Loaded, Settings
from kafka_saga.orchestrator.operations.checking import (
    Finding,
    check_broker,
    check_dead_letters,
    check_group,
    check_store,
    check_topics,
)
from kafka_saga.orchestrator.operations.store_size import check_size
from kafka_saga.orchestrator.registry import Registry
from kafka_saga.runtime.clock import SystemClock
from kafka_saga.runtime.errors import SagaError
from kafka_saga.runtime.telemetry import configure_logging


def doctor(*, output: OutputFlag = "table", common: SettingFlags = DEFAULTS) -> int:
    """Check broker, topics, store, definitions and settings; exit 1 when something is wrong.

    Nothing is changed: each line says what was found and, where it is not right, what to do.

    Examples:
        saga doctor
        saga doctor --app shop.sagas --bootstrap-servers kafka:9092
        saga doctor -o jsonl | jq 'select(.verdict == "wrong")'

    """
    configure_logging(process="doctor", level="error")
    findings = _examine(common)
    rows = [asdict(finding) for finding in findings]
    if output == "table":
        shown = [
            {"": row["verdict"], "check": row["check"], "found": row["found"], "what to do": row["remedy"]}
            for row in rows
        ]
        print_rows(output, ["", "check", "found", "what to do"], shown, prose=("found", "what to do"))
    else:
        print_rows(output, [], rows)
    wrong = sum(finding.verdict == "wrong" for finding in findings)
    if wrong:
        say(f"{wrong} of {len(findings)} checks found something wrong")
    return EXIT_FAILED if wrong else 0


def _examine(common: SettingFlags) -> list[Finding]:
    try:
        loaded = common.loaded()
    except SagaError as error:
        return [Finding("wrong", "settings", "they cannot be used", str(error))]
    findings = [_settings_finding(loaded)]
    registry: Registry | None = None
    try:
        registry = registry_of(loaded.settings)
        names = ", ".join(f"{definition.saga_type} v{definition.version}" for definition in registry)
        findings.append(Finding("ok", "definitions", names))
    except SagaError as error:
        findings.append(Finding("wrong", "definitions", "they cannot be used", str(error)))
    return findings + asyncio.run(_look(loaded.settings, registry))


def _settings_finding(loaded: Loaded) -> Finding:
    given = len(loaded.sources)
    where = ", ".join(sorted(set(loaded.sources.values())))
    return Finding("ok", "settings", f"{given} given ({where})" if given else "all at their defaults")


async def _look(settings: Settings, registry: Registry | None) -> list[Finding]:
    broker, embedded = await check_broker(settings.kafka)
    findings = [broker]
    if embedded is not None and registry is not None:
        specs = topic_specs(registry, settings.topics, settings.partitions)
        names = [spec.name for spec in specs]
        read = [settings.topics.requests(saga_type) for saga_type in registry.saga_types]
        read += [settings.topics.replies_of(service) for service in registry.services]
        findings += await _tried("topics", check_topics(settings.kafka, specs))
        group = check_group(settings.kafka, settings.group_name, read, settings.store_path)
        findings += await _tried("consumer group", group)
        findings += await _tried("dead letters", check_dead_letters(settings.kafka, names, settings.topics))
    store = check_store(settings.store_path, registry, SystemClock().now_ms())
    findings += await _tried("store", store)
    retention_ms = settings.retention_days * DAY_MS or None
    return findings + await _tried("store size", check_size(settings.store_path, SystemClock().now_ms(), retention_ms))


async def _tried(check: str, looking: Awaitable[Finding | list[Finding]]) -> list[Finding]:
    """One check's findings; a check that cannot be made is a finding too, and the others go on."""
    try:
        found = await looking
    except SagaError as error:
        return [Finding("wrong", check, "it cannot be checked", str(error))]
    return found if isinstance(found, list) else [found]
