"""`saga lag`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

from cyclopts import Parameter

from kafka_saga.messaging.inspection import Member
from kafka_saga.orchestrator.app import registry_of
from kafka_saga.orchestrator.cli.options import DEFAULTS, OutputFlag, SettingFlags
from kafka_saga.orchestrator.cli.output import print_rows, say
from kafka_saga.orchestrator.cli.sagas import read_store
from kafka_saga.orchestrator.config import Settings
from kafka_saga.orchestrator.operations.checks.workers import group_of
from kafka_saga.orchestrator.operations.kafka.lag import Groups, PartitionLag, read_groups
from kafka_saga.orchestrator.store.vitals import read_offsets
from kafka_saga.runtime.errors import NotFoundError
from kafka_saga.runtime.probe import look
from kafka_saga.runtime.telemetry import configure_logging
from kafka_saga.runtime.wording import counted


def lag(
    *,
    topic: Annotated[str | None, Parameter(help="Only this topic")] = None,
    behind: Annotated[bool, Parameter(negative="", show_default=False, help="Only where something waits")] = False,
    output: OutputFlag = "table",
    common: SettingFlags = DEFAULTS,
) -> None:
    """Show how far behind the orchestrator and every service are, by topic and partition, and who reads each.

    The orchestrator's positions are those of its store; a service's are what its group has committed. Participants on
    SQLite are no members of their group: what those that have this data directory say of themselves (`saga health`)
    stands there instead, as the member in a table and as `process` in JSON.

    Examples:
        saga lag

        saga lag --behind -o json | jq 'map(.lag) | add'

    """
    settings = common.settings()
    configure_logging(process="lag", level="error")
    found = asyncio.run(_find(settings))
    topics = sorted({one.partition.topic for one in found.lags})
    if topic is not None and topic not in topics:
        raise NotFoundError(f"nobody here reads a topic {topic}: it is one of {', '.join(topics) or 'none'}")
    shown = [one for one in found.lags if topic in (None, one.partition.topic) and (one.behind or not behind)]
    said = {group_of(seen.process, settings.topics): seen.in_words() for seen in look(settings.data_dir)}
    rows = [
        {**one.as_json(), "member": _reader_of(one, found.members), "process": said.get(one.group)} for one in shown
    ]
    if output == "table":
        columns = ["topic", "partition", "group", "position", "end", "lag", "member"]
        print_rows(output, columns, map(_line, rows), prose=())
        waiting = sum(one.behind for one in shown)
        say(
            f"{counted(waiting, 'message')} {'waits' if waiting == 1 else 'wait'} in {counted(len(shown), 'partition')}"
        )
    else:
        print_rows(output, [], rows)


async def _find(settings: Settings) -> Groups:
    registry = registry_of(settings)
    positions = await read_store(settings.store_at, read_offsets)
    return await read_groups(positions, settings.kafka, registry, settings.topics, settings.group_name)


def _reader_of(one: PartitionLag, members: Mapping[str, tuple[Member, ...]]) -> str | None:
    """Who of its group reads a partition; None where nobody is a member, or nobody was given it."""
    group: Iterable[Member] = members.get(one.group, ())
    return next((f"{member.name}@{member.host}" for member in group if one.partition in member.partitions), None)


def _line(row: dict[str, Any]) -> dict[str, Any]:
    return {
        **row,
        "position": "-" if row["position"] is None else row["position"],
        "member": row["member"] or row["process"] or "",
    }
