"""`saga acts`: who did what, why, and what came of it. The queue and the audit are one table (R25)."""

from __future__ import annotations

from typing import Annotated, Any

from cyclopts import Parameter
from cyclopts.validators import Number

from kafka_saga.orchestrator.cli.naming import meant
from kafka_saga.orchestrator.cli.options import DEFAULTS, OutputFlag, SagaType, SettingFlags
from kafka_saga.orchestrator.cli.output import clock, print_rows, say
from kafka_saga.orchestrator.cli.sagas import read, said
from kafka_saga.orchestrator.operations.acts.pausing import scope_text
from kafka_saga.orchestrator.operations.acts.telling import act_document
from kafka_saga.orchestrator.store.act_rows import ActRow
from kafka_saga.orchestrator.store.reader import StoreReader


def acts(
    saga_id: Annotated[str | None, Parameter(help="Only of this saga")] = None,
    /,
    *,
    waiting: Annotated[bool, Parameter(negative="", help="Only those that no orchestrator has taken yet")] = False,
    bulk_id: Annotated[str | None, Parameter(help="Only of this bulk act")] = None,
    saga_type: SagaType = None,
    limit: Annotated[int, Parameter(name=["--limit", "-n"], validator=Number(gte=1, lte=100_000))] = 20,
    output: OutputFlag = "table",
    common: SettingFlags = DEFAULTS,
) -> None:
    """List what operators did, newest first: who, why, when, and what became of it.

    Examples:
        saga acts
        saga acts order-123
        saga acts --waiting
        saga acts --bulk-id 4f2a9c01b7d3 -n 10000 -o jsonl

    """

    async def question(reader: StoreReader) -> list[ActRow]:
        of_saga, of_type = saga_id, saga_type
        if saga_id is not None:  # a saga that is not there has no acts, and that is not an empty list
            of_type, of_saga = await meant(reader, saga_id, saga_type)
        return await reader.acts(limit, saga_id=of_saga, saga_type=of_type, waiting=waiting, bulk_id=bulk_id)

    found = read(common.settings(), question)
    if output != "table":
        print_rows(output, [], map(act_document, found))
        return
    if not found:
        say("no acts")
        return
    columns = ["at", "saga", "verb", "actor", "outcome", "reason", "message"]
    print_rows(output, columns, map(_line, found), prose=("reason", "message"))
    if len(found) == limit:
        say(f"the newest {limit}; more with --limit")


def _line(row: ActRow) -> dict[str, Any]:
    return {
        "at": clock(row.created_at),
        "saga": row.ref.saga_id or scope_text(str(row.arguments.get("scope", ""))),
        "verb": said(row),
        "actor": row.actor,
        "outcome": row.outcome or "waiting",
        "reason": row.reason,
        "message": row.message,
    }
