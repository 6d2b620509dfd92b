"""`saga topics`."""

from __future__ import annotations

import asyncio
from typing import Annotated

import cyclopts
from cyclopts import Parameter

from kafka_saga.messaging.topics import create_topics, list_topics
from kafka_saga.orchestrator.app import registry_of
from kafka_saga.orchestrator.cli.options import DEFAULTS, OutputFlag, SettingFlags
from kafka_saga.orchestrator.cli.output import print_rows, say
from kafka_saga.orchestrator.operations.kafka.needed_topics import topic_specs
from kafka_saga.runtime.telemetry import configure_logging

app = cyclopts.App(name="topics", help="Create and list the topics that sagas need.")


@app.command
def create(
    *,
    partitions: Annotated[int | None, Parameter(help="Partitions of each [default: 4]")] = None,
    output: OutputFlag = "table",
    common: SettingFlags = DEFAULTS,
) -> int:
    """Create the topics that the sagas need; existing ones stay as they are.

    Examples:
        saga topics create --partitions 12

        saga topics create --app shop.sagas --prefix shop.

    """
    settings = common.settings(partitions=partitions)
    configure_logging(process="topics", level="error")
    specs = topic_specs(registry_of(settings), settings.topics, settings.partitions)
    reports = asyncio.run(create_topics(settings.kafka, specs))
    rows = [
        {"topic": item.name, "outcome": item.outcome, "partitions": item.partitions, "detail": item.detail}
        for item in reports
    ]
    details = {item.detail for item in reports}
    if output == "table" and len(details) == 1:  # the same of all: said once
        print_rows(output, ["topic", "outcome", "partitions"], rows)
        say(details.pop())
    else:
        print_rows(output, ["topic", "outcome", "partitions", "detail"], rows)
    return 4 if any(report.outcome == "refused" for report in reports) else 0


@app.command(name="list")
def show_list(*, output: OutputFlag = "table", common: SettingFlags = DEFAULTS) -> None:
    """List the topics that the sagas need, and whether they exist.

    Examples:
        saga topics list -o json

    """
    settings = common.settings()
    configure_logging(process="topics", level="error")
    existing = asyncio.run(list_topics(settings.kafka))
    names = [spec.name for spec in topic_specs(registry_of(settings), settings.topics, settings.partitions)]
    rows = [{"topic": name, "partitions": existing.get(name, 0), "exists": name in existing} for name in names]
    if output == "table":
        rows = [{**row, "exists": "yes" if row["exists"] else "no"} for row in rows]
    print_rows(output, ["topic", "partitions", "exists"], rows)
