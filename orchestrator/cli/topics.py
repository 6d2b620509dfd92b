"""`saga topics`."""

from __future__ import annotations

import asyncio
import sys
from typing import Annotated, Any, Literal

import cyclopts
from cyclopts import Parameter

from kafka_saga.messaging import acls as messaging_acls
from kafka_saga.messaging.topics import create_topics, hidden_topics, list_topics
from kafka_saga.orchestrator.app import registry_of
from kafka_saga.orchestrator.cli.options import DEFAULTS, OutputFlag, SettingFlags
from kafka_saga.orchestrator.cli.output import print_rows, say
from kafka_saga.orchestrator.operations.kafka.needed_topics import topic_specs
from kafka_saga.orchestrator.operations.kafka.rights import acls_of, read_principals
from kafka_saga.runtime.telemetry import configure_logging
from kafka_saga.runtime.wording import counted

app = cyclopts.App(name="topics", help="Create and list the topics that sagas need, and the rights on them.")


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
    hidden = asyncio.run(hidden_topics(settings.kafka, [name for name in names if name not in existing]))
    rows: list[dict[str, Any]] = [
        {"topic": name, "partitions": existing.get(name, 0), "exists": None if name in hidden else name in existing}
        for name in names
    ]
    if output == "table":
        words = {True: "yes", False: "no", None: f"hidden from {settings.kafka.principal}"}
        rows = [{**row, "exists": words[row["exists"]]} for row in rows]
    print_rows(output, ["topic", "partitions", "exists"], rows)


@app.command
def acls(
    *,
    principal: Annotated[
        tuple[str, ...],
        Parameter(
            help="Whom a role is, ROLE=PRINCIPAL; repeat for more. Roles: orchestrator, a service's name, client (or "
            "client:TYPE), operator [default: each a user of its own name]",
            negative="",
            consume_multiple=False,
        ),
    ] = (),
    apply: Annotated[bool, Parameter(help="Grant them, as a user who may alter the cluster", negative="")] = False,
    command_config: Annotated[
        str | None, Parameter(help="In the lines: the file of properties by which kafka-acls.sh logs in")
    ] = None,
    output: Annotated[
        Literal["commands", "table", "json", "jsonl"],
        Parameter(name=["--output", "-o"], help="commands: lines of kafka-acls.sh; json or jsonl for programs"),
    ] = "commands",
    common: SettingFlags = DEFAULTS,
) -> None:
    """Print the least rights on Kafka that each role needs, out of the sagas' definitions; or grant them.

    Rights are only added: what a principal may do already stays.

    Examples:
        saga topics acls > acls.sh
        saga topics acls --principal payment=User:CN=payment --principal orchestrator=User:orders
        saga topics acls --apply
        saga topics acls -o json | jq '.[] | select(.principal == "User:payment")'

    """
    settings = common.settings()
    configure_logging(process="topics", level="error")
    registry = registry_of(settings)
    found = acls_of(read_principals(principal, registry), registry, settings.topics, settings.group_name)
    if apply:
        asyncio.run(messaging_acls.grant(settings.kafka, found))
        say(f"{counted(len(found), 'right')} granted to {counted(len({acl.principal for acl in found}), 'principal')}")
    elif output == "commands":
        lines = messaging_acls.commands(found, settings.kafka.bootstrap_servers, command_config)
        sys.stdout.write("".join(f"{line}\n" for line in lines))
    else:
        print_rows(output, ["principal", "resource", "name", "operation"], [acl._asdict() for acl in found])
