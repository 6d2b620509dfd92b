"""`saga dlq`: what could not be read, and what to do about it."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import cyclopts
from cyclopts import Parameter
from cyclopts.validators import Number
from rich.text import Text

from kafka_saga.messaging.dead_letters import ERROR_HEADERS
from kafka_saga.orchestrator.app import registry_of
from kafka_saga.orchestrator.cli.letters import LETTERS, Handled, LetterFlags
from kafka_saga.orchestrator.cli.options import DEFAULTS, OutputFlag, SettingFlags
from kafka_saga.orchestrator.cli.output import console, print_json, print_rows, say
from kafka_saga.orchestrator.cli.revealing import RevealFlag, note_messages
from kafka_saga.orchestrator.config import Settings
from kafka_saga.orchestrator.operations.dead_letters.letters import (
    By,
    DeadLetterFilter,
    count_dead_letters,
    dead_letter_topics,
    read_dead_letters,
    read_one,
)
from kafka_saga.orchestrator.operations.kafka.messages import id_fields
from kafka_saga.orchestrator.operations.kafka.needed_topics import dead_letter_topics_of
from kafka_saga.runtime.telemetry import configure_logging
from kafka_saga.runtime.wording import counted, plain
from kafka_saga.schemas.codec import encode

app = cyclopts.App(
    name="dlq", help="Dead letters, messages that could not be read: look at them, send them again, put them away."
)
app.command("kafka_saga.orchestrator.cli.redrive:redrive", name="redrive")
app.command("kafka_saga.orchestrator.cli.redrive:discard", name="discard")


@app.command(name="list")
def show_list(
    *,
    chosen: LetterFlags = LETTERS,
    handled: Handled = False,
    limit: Annotated[int, Parameter(name=["--limit", "-n"], validator=Number(gte=1, lte=100_000))] = 20,
    output: OutputFlag = "table",
    common: SettingFlags = DEFAULTS,
) -> None:
    """List open dead letters, newest first; with --all also those that were redriven or discarded.

    Examples:
        saga dlq list
        saga dlq list --since 2h --all
        saga dlq list --topic order.requests --cause conflict
        saga dlq list --saga order-123 -o jsonl

    """
    settings = common.settings()
    configure_logging(process="dlq", level="error")
    wanted = chosen.filter(settings, handled=handled)
    found = asyncio.run(read_dead_letters(settings.kafka, settings.topics, wanted, limit))
    if output != "table":
        print_rows(output, [], found.letters)
        return
    _say_others(settings, wanted)
    rows = [_listed(row) for row in found.letters]
    if rows:
        became = ["became"] if handled else []
        print_rows(output, ["position", "at", "saga", "cause", *became, "why"], rows, prose=("why", "became"))
        say(
            f"{len(rows):,} of {found.total:,}; `saga dlq show POSITION` shows one whole, `saga dlq count` sums them up"
        )
    else:
        kind = " of that kind" if chosen != LETTERS else ""
        say(
            f"there are no dead letters{kind}" if handled else f"there are no open dead letters{kind}; --all has others"
        )


@app.command
def count(
    *,
    by: Annotated[By, Parameter(help="What to sum up by")] = "cause",
    chosen: LetterFlags = LETTERS,
    handled: Handled = False,
    output: OutputFlag = "table",
    common: SettingFlags = DEFAULTS,
) -> None:
    """Count open dead letters by cause, topic or saga, the most first; with --all also handled ones.

    Examples:
        saga dlq count
        saga dlq count --by topic
        saga dlq count --by saga --cause unknown_saga

    """
    settings = common.settings()
    configure_logging(process="dlq", level="error")
    wanted = chosen.filter(settings, handled=handled)
    counts = asyncio.run(count_dead_letters(settings.kafka, settings.topics, wanted, by))
    rows = [{by: name, "dead letters": number} for name, number in counts]
    if output == "table":
        _say_others(settings, wanted)
    if rows or output != "table":
        print_rows(output, [by, "dead letters"], rows)
    else:
        say("there are no dead letters" if handled else "there are no open dead letters")


@app.command
def show(
    position: Annotated[str, Parameter(help="topic/partition/offset, as `saga dlq list` prints it")],
    /,
    *,
    reveal: RevealFlag = None,
    output: OutputFlag = "table",
    common: SettingFlags = DEFAULTS,
) -> None:
    """Show one dead letter whole: cause, origin, headers and value, and what became of it.

    Examples:
        saga dlq show dlq.order.requests/0/17
        saga dlq show dlq.order.requests/0/17 -o json | jq .value
        saga dlq show dlq.order.requests/0/17 --reveal "which field is wrong?"

    """
    settings = common.settings()
    configure_logging(process="dlq", level="error")
    reveals = note_messages(settings, position, reveal)
    fields = id_fields(registry_of(settings), settings.topics, reveals=reveals)
    letter = asyncio.run(read_one(settings.kafka, settings.topics, position, fields))
    if output == "table":
        _print_letter(letter)
    else:
        print_json(letter)


@app.command
def topics(*, output: OutputFlag = "table", common: SettingFlags = DEFAULTS) -> None:
    """List the dead letter topics that exist, and whether they are of topics that the sagas here need.

    Examples:
        saga dlq topics

    """
    settings = common.settings()
    configure_logging(process="dlq", level="error")
    names = asyncio.run(dead_letter_topics(settings.kafka, settings.topics))
    ours = dead_letter_topics_of(registry_of(settings), settings.topics)
    rows = [{"topic": name, "ours": ours is None or name in ours} for name in names]
    if output == "table":
        rows = [{**row, "ours": "yes" if row["ours"] else "no"} for row in rows]
    print_rows(output, ["topic", "ours"], rows)


def _say_others(settings: Settings, wanted: DeadLetterFilter) -> None:
    """That there are dead letter topics which nobody looked at: they may be of sagas that --app did not name."""
    if wanted.among is not None:
        names = asyncio.run(dead_letter_topics(settings.kafka, settings.topics))
        others = sum(not wanted.reads(name) for name in names)
        if others:
            left_out = counted(others, "dead letter topic")
            say(f"not looked at: {left_out} of others (see `saga dlq topics`); --all-topics does")


def _listed(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "position": row["position"],
        "at": row["at"][5:19].replace("T", " "),
        "saga": row["sagaId"] or row["key"],
        "cause": row["cause"],
        "became": "" if row["handled"] is None else _became(row["handled"]),
        "why": row["message"],
    }


def _became(handled: dict[str, Any]) -> str:
    reason = f": {handled['reason']}" if handled["reason"] else ""
    return f"{handled['verdict']} by {handled['actor']} at {handled['at'][:19]}Z{reason}"


def _print_letter(letter: dict[str, Any]) -> None:
    out = console()
    headers: dict[str, str] = letter["headers"]
    position = f"{letter['topic']}/{letter['partition']}/{letter['offset']}"
    cause = f"{letter.get('cause', 'no cause given')}: {letter.get('message', '')}"
    out.print(Text.assemble((plain(position), "bold"), f"  {letter['at']}"), soft_wrap=True)
    out.print(Text(plain(cause), "red"), soft_wrap=True)
    if letter["handled"] is not None:
        out.print(Text(plain(_became(letter["handled"])), "green"), soft_wrap=True)
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
