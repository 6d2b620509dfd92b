"""`saga dlq`."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import cyclopts
from cyclopts import Parameter
from cyclopts.validators import Number
from rich.text import Text

from messaging.dead_letters import ERROR_HEADERS
from orchestrator.cli.options import DEFAULTS, OutputFlag, SettingFlags
from orchestrator.cli.output import console, plain, print_json, print_rows, say
from orchestrator.operations.dead_letters import (
    By,
    DeadLetterFilter,
    count_dead_letters,
    dead_letter_topics,
    read_dead_letters,
    read_one,
)
from runtime.telemetry import configure_logging
from schemas.codec import encode

app = cyclopts.App(name="dlq", help="Look at dead letters: messages that could not be read, with the cause.")

Topic = Annotated[str | None, Parameter(help="Only of this topic, e.g. order.requests")]
Cause = Annotated[str | None, Parameter(help="Only with this cause, e.g. conflict")]
Saga = Annotated[str | None, Parameter(help="Only of this saga's id")]


@app.command(name="list")
def show_list(
    *,
    topic: Topic = None,
    cause: Cause = None,
    saga: Saga = None,
    limit: Annotated[int, Parameter(name=["--limit", "-n"], validator=Number(gte=1, lte=100_000))] = 20,
    output: OutputFlag = "table",
    common: SettingFlags = DEFAULTS,
) -> None:
    """List dead letters, newest first.

    Examples:
        saga dlq list
        saga dlq list --topic order.requests --cause conflict
        saga dlq list --saga order-123 -o jsonl

    """
    settings = common.settings()
    configure_logging(process="dlq", level="error")
    wanted = DeadLetterFilter(topic, cause, saga)
    found = asyncio.run(read_dead_letters(settings.kafka, settings.topics, wanted, limit))
    if output != "table":
        print_rows(output, [], found.newest)
        return
    rows = [_listed(row) for row in found.newest]
    if rows:
        print_rows(output, ["position", "at", "saga", "cause", "why"], rows, prose=("why",))
        say(
            f"{len(rows):,} of {found.total:,}; `saga dlq show POSITION` shows one whole, `saga dlq count` sums them up"
        )
    else:
        say("there are no dead letters" + (" of that kind" if wanted != DeadLetterFilter() else ""))


@app.command
def count(
    *,
    by: Annotated[By, Parameter(help="What to sum up by")] = "cause",
    topic: Topic = None,
    cause: Cause = None,
    saga: Saga = None,
    output: OutputFlag = "table",
    common: SettingFlags = DEFAULTS,
) -> None:
    """Count dead letters by cause, topic or saga; the most first.

    Examples:
        saga dlq count
        saga dlq count --by topic
        saga dlq count --by saga --cause unknown_saga

    """
    settings = common.settings()
    configure_logging(process="dlq", level="error")
    wanted = DeadLetterFilter(topic, cause, saga)
    counts = asyncio.run(count_dead_letters(settings.kafka, settings.topics, wanted, by))
    rows = [{by: name, "dead letters": number} for name, number in counts]
    if rows or output != "table":
        print_rows(output, [by, "dead letters"], rows)
    else:
        say("there are no dead letters")


@app.command
def show(
    position: Annotated[str, Parameter(help="topic/partition/offset, as `saga dlq list` prints it")],
    /,
    *,
    output: OutputFlag = "table",
    common: SettingFlags = DEFAULTS,
) -> None:
    """Show one dead letter whole: cause, origin, headers and value.

    Examples:
        saga dlq show dlq.order.requests/0/17
        saga dlq show dlq.order.requests/0/17 -o json | jq .value

    """
    settings = common.settings()
    configure_logging(process="dlq", level="error")
    letter = asyncio.run(read_one(settings.kafka, position))
    if output == "table":
        _print_letter(letter)
    else:
        print_json(letter)


@app.command
def topics(*, output: OutputFlag = "table", common: SettingFlags = DEFAULTS) -> None:
    """List the dead letter topics that exist.

    Examples:
        saga dlq topics

    """
    settings = common.settings()
    configure_logging(process="dlq", level="error")
    names = asyncio.run(dead_letter_topics(settings.kafka, settings.topics))
    print_rows(output, ["topic"], [{"topic": name} for name in names])


def _listed(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "position": row["position"],
        "at": row["at"][5:19].replace("T", " "),
        "saga": row["sagaId"] or row["key"],
        "cause": row["cause"],
        "why": row["message"],
    }


def _print_letter(letter: dict[str, Any]) -> None:
    out = console()
    headers: dict[str, str] = letter["headers"]
    position = f"{letter['topic']}/{letter['partition']}/{letter['offset']}"
    cause = f"{letter.get('cause', 'no cause given')}: {letter.get('message', '')}"
    out.print(Text.assemble((plain(position), "bold"), f"  {letter['at']}"), soft_wrap=True)
    out.print(Text(plain(cause), "red"), soft_wrap=True)
    for title, names in (
        ("where it came from", [name for name in headers if name in ERROR_HEADERS]),
        ("its own headers", [name for name in headers if name not in ERROR_HEADERS]),
    ):
        out.print(Text(title, "bold"))
        for name in names:
            out.print(Text(plain(f"  {name}: {headers[name]}")), soft_wrap=True)
        if not names:
            out.print("  none")
    value = letter["value"]
    shown = value if isinstance(value, str) else "null" if value is None else encode(value).decode()
    out.print(Text.assemble(("key    ", "bold"), plain(letter["key"] or "none")), soft_wrap=True)
    out.print(Text.assemble(("value  ", "bold"), plain(shown)), soft_wrap=True)
