"""`saga doctor`."""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import asdict
from typing import Annotated

from cyclopts import Parameter

from kafka_saga.orchestrator.app import registry_of
from kafka_saga.orchestrator.cli.edge import EXIT_FAILED, EXIT_PARTLY_FAILED, EXIT_UNAVAILABLE
from kafka_saga.orchestrator.cli.options import DEFAULTS, OutputFlag, SettingFlags
from kafka_saga.orchestrator.cli.output import print_rows, say
from kafka_saga.orchestrator.config import DAY_MS, Loaded, remarks
from kafka_saga.orchestrator.operations.checks.examination import examine, examine_without_definitions
from kafka_saga.orchestrator.operations.checks.finding import Finding, Verdict
from kafka_saga.orchestrator.site import site_of
from kafka_saga.runtime.clock import SystemClock
from kafka_saga.runtime.errors import SagaError
from kafka_saga.runtime.telemetry import configure_logging

_EXIT_CODES: tuple[tuple[Verdict, int], ...] = (
    ("unreachable", EXIT_UNAVAILABLE),
    ("wrong", EXIT_FAILED),
    ("warning", EXIT_PARTLY_FAILED),
)
"""The first that was found decides: where Kafka or the store does not answer, the rest is only a part."""


def doctor(
    *,
    thorough: Annotated[
        bool, Parameter(negative="", show_default=False, help="Also read every page of a large store: 4 s a gigabyte")
    ] = False,
    database: Annotated[
        dict[str, str] | None,
        Parameter(
            help="A service's database: --database.payment postgresql://… [default: the setting service_databases, "
            "else NAME.db in the data directory]"
        ),
    ] = None,
    output: OutputFlag = "table",
    common: SettingFlags = DEFAULTS,
) -> int:
    """Examine broker, topics, services, store and settings: what is wrong, and what to do about it.

    Nothing is changed, and what runs is not disturbed. Exit code 0: all is well. 1: something is wrong. 5: Kafka or the
    store does not answer. 6: there are warnings only: look at them, soon.

    Examples:
        saga doctor
        saga doctor --app shop.sagas --bootstrap-servers kafka:9092
        saga doctor --database.payment postgresql://payment@db/payment
        saga doctor -o jsonl | jq 'select(.verdict == "wrong")'

    """
    configure_logging(process="doctor", level="error")
    findings = _examine(common, database, thorough=thorough)
    rows = [asdict(finding) for finding in findings]
    if output == "table":
        shown = [
            {"": row["verdict"], "check": row["check"], "found": row["found"], "what to do": row["remedy"]}
            for row in rows
        ]
        print_rows(output, ["", "check", "found", "what to do"], shown, prose=("found", "what to do"))
        say(_summary(findings))
    else:
        print_rows(output, [], rows)
    return exit_code(findings)


def exit_code(findings: Collection[Finding]) -> int:
    """What the worst finding comes to."""
    verdicts = {finding.verdict for finding in findings}
    return next((code for verdict, code in _EXIT_CODES if verdict in verdicts), 0)


def _summary(findings: Collection[Finding]) -> str:
    counts = Counter(finding.verdict for finding in findings)
    said = [f"{counts[verdict]} {verdict}" for verdict in ("unreachable", "wrong", "warning") if counts[verdict]]
    return f"{len(findings)} checks: {', '.join(said) or 'all is well'}"


def _examine(common: SettingFlags, databases: Mapping[str, str] | None, *, thorough: bool) -> list[Finding]:
    try:
        loaded = common.loaded(service_databases=databases)
    except SagaError as error:
        return [Finding("wrong", "settings", "they cannot be used", str(error))]
    settings, clock = loaded.settings, SystemClock()
    retention_ms = settings.retention_days * DAY_MS or None
    findings = [_settings_finding(loaded)]
    findings += [Finding("note", "settings", remark) for remark in remarks(os.environ)]
    try:
        registry = registry_of(settings)
    except SagaError as error:
        findings.append(Finding("wrong", "definitions", "they cannot be used", str(error)))
        looking = examine_without_definitions(settings.kafka, settings.store_at, settings.data_dir, clock, retention_ms)
        return findings + asyncio.run(looking)
    names = [f"{definition.saga_type} v{definition.version}" for definition in registry]
    findings.append(Finding("ok", "definitions", ", ".join(names), "", {"definitions": names}))
    return findings + asyncio.run(
        examine(site_of(settings, registry), clock, retention_ms=retention_ms, thorough=thorough)
    )


def _settings_finding(loaded: Loaded) -> Finding:
    given = len(loaded.sources)
    where = ", ".join(sorted(set(loaded.sources.values())))
    found = f"{given} given ({where})" if given else "all at their defaults"
    return Finding("ok", "settings", found, "", {"given": dict(loaded.sources)})
