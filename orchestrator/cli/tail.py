"""`saga tail`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from cyclopts import Parameter
from cyclopts.validators import Number
from rich.text import Text

from kafka_saga.messaging.consumer import Consumer
from kafka_saga.messaging.errors import NotAllowedError
from kafka_saga.messaging.records import Record
from kafka_saga.messaging.settings import KafkaSettings
from kafka_saga.messaging.topics import hidden_topics, list_topics
from kafka_saga.orchestrator.app import registry_of
from kafka_saga.orchestrator.cli.naming import meant
from kafka_saga.orchestrator.cli.options import DEFAULTS, SagaType, SettingFlags
from kafka_saga.orchestrator.cli.output import console, print_json, say
from kafka_saga.orchestrator.cli.revealing import RevealFlag, note_messages
from kafka_saga.orchestrator.cli.sagas import read
from kafka_saga.orchestrator.config import Settings
from kafka_saga.orchestrator.operations.kafka.messages import (
    IdFields,
    concerns,
    describe,
    id_fields,
    kcat_commands,
    topics_of,
)
from kafka_saga.orchestrator.operations.kafka.reading import onwards, open_topics, until_end
from kafka_saga.orchestrator.operations.sagas.naming import AmbiguousError
from kafka_saga.orchestrator.operations.sagas.requests import definition_of
from kafka_saga.orchestrator.registry import Registry
from kafka_saga.orchestrator.store.location import may_be_there
from kafka_saga.orchestrator.store.reader import StoreReader
from kafka_saga.runtime.errors import NotFoundError, StoreUnavailableError
from kafka_saga.runtime.telemetry import configure_logging
from kafka_saga.runtime.wording import plain
from kafka_saga.schemas.codec import encode
from kafka_saga.schemas.ids import SagaRef

_KIND_STYLES = {"request": "bold", "command": "cyan", "reply": "green", "event": "magenta", "dead letter": "bold red"}


def tail(
    saga_id: Annotated[str | None, Parameter(help="Only messages of the saga with this id, or its beginning")] = None,
    /,
    *,
    topic: Annotated[
        tuple[str, ...],
        Parameter(
            help="Only this topic; repeat for more [default: all of the registered sagas]",
            negative="",
            consume_multiple=False,
            show_default=False,
        ),
    ] = (),
    saga_type: SagaType = None,
    from_beginning: Annotated[
        bool | None,
        Parameter(
            help="Start with the oldest message [default: for a saga]", negative="--from-now", show_default=False
        ),
    ] = None,
    follow: Annotated[
        bool | None,
        Parameter(
            name=["--follow", "-f"],
            negative="--no-follow",
            help="Go on until Ctrl-C [default: for topics]",
            show_default=False,
        ),
    ] = None,
    limit: Annotated[
        int | None, Parameter(name=["--limit", "-n"], help="Stop after so many", validator=Number(gte=1))
    ] = None,
    reveal: RevealFlag = None,
    full: Annotated[bool, Parameter(negative="", help="Whole values and all headers", show_default=False)] = False,
    output: Annotated[
        Literal["table", "json", "jsonl", "kcat"],
        Parameter(name=["--output", "-o"], help="kcat prints the kcat commands that show the same"),
    ] = "table",
    common: SettingFlags = DEFAULTS,
) -> None:
    """Read the messages of a saga, all there are, or of topics, from now on; decoded from Kafka.

    Examples:
        saga tail order-123                        # the whole conversation
        saga tail order-123 --full                 # with headers and values
        saga tail --topic order.events             # live
        saga tail --topic payment.commands --from-beginning --no-follow -o jsonl
        saga tail order-123 -o kcat                # the same with kcat

    """
    settings = common.settings()
    configure_logging(process="tail", level="error")
    registry = registry_of(settings)
    topics = list(topic) or _topics(settings, registry, saga_type)
    whole = saga_id is not None if from_beginning is None else from_beginning
    follows = saga_id is None if follow is None else follow
    none = f"there is no message of saga '{saga_id}' on {', '.join(topics)}"
    saga_id, none, secrets = _meant(settings, saga_id, saga_type, none)
    reveals = note_messages(settings, f"saga {saga_id}" if saga_id else ", ".join(topics)[:400], reveal)
    wanted = _Wanted(saga_id, id_fields(registry, settings.topics, reveals=reveals))
    wanted.fields.secrets.update(secrets)
    if output == "kcat":
        _print_kcat(settings.kafka, topics, wanted, whole=whole)
        return
    shown = asyncio.run(
        _tail(settings, topics, wanted, whole=whole, follows=follows, limit=limit, full=full, output=output)
    )
    if not shown and saga_id is not None and not follows:
        raise NotFoundError(none)


Secrets = dict[SagaRef, frozenset[str] | None]


@dataclass(frozen=True, slots=True)
class _Wanted:
    """Which messages: those of a saga, or all."""

    saga_id: str | None
    fields: IdFields

    def lets(self, record: Record) -> bool:
        return self.saga_id is None or concerns(record, self.saga_id, self.fields)


def _topics(settings: Settings, registry: Registry, saga_type: str | None) -> list[str]:
    definition = None if saga_type is None else definition_of(registry, saga_type)
    return topics_of(registry, settings.topics, definition)


def _print_kcat(kafka: KafkaSettings, topics: Sequence[str], wanted: _Wanted, *, whole: bool) -> None:
    servers, saga_id, fields = kafka.bootstrap_servers, wanted.saga_id, wanted.fields
    for line in kcat_commands(servers, topics, saga_id=saga_id, from_end=not whole, fields=fields):
        sys.stdout.write(f"{line}\n")


def _meant(settings: Settings, text: str | None, saga_type: str | None, none: str) -> tuple[str | None, str, Secrets]:
    """The id that `text` names, where the store knows it; what to say if nothing is there; what is hidden.

    A request that never became a saga has messages all the same, so its whole id is looked for in any case.
    """
    if text is None or not may_be_there(settings.store_at):
        return text, none, {}

    async def question(reader: StoreReader) -> tuple[str, str, Secrets]:
        try:
            ref = await meant(reader, text, saga_type, to_change=True)
        except AmbiguousError as error:
            return text, str(error), {}
        except NotFoundError:
            return text, none, {}
        return ref.saga_id, none, {ref: await reader.secrets(ref)}

    try:
        return read(settings, question)
    except StoreUnavailableError as error:  # Kafka is all that is needed
        say(f"the store was not asked: {error}")
        return text, none, {}


async def _tail(
    settings: Settings,
    topics: Sequence[str],
    wanted: _Wanted,
    *,
    whole: bool,
    follows: bool,
    limit: int | None,
    full: bool,
    output: str,
) -> int:
    there = await _existing(settings.kafka, topics)
    async with open_topics(settings.kafka, there, from_end=not whole) as consumer:
        found: list[Record] = []
        shown = 0
        # What is there already is sorted by time over all topics; what comes later comes in its own order.
        if whole:
            found = [record async for record in until_end(consumer, there) if wanted.lets(record)]
            for record in sorted(found, key=lambda record: record.timestamp)[:limit]:
                _print(record, wanted, full=full, output=output)
                shown += 1
        if follows and shown != limit:
            if not whole:
                say(f"waiting for messages on {', '.join(there)}; Ctrl-C ends it")
            async for record in _coming(consumer, wanted):
                _print(record, wanted, full=full, output=output)
                shown += 1
                if shown == limit:
                    break
    return shown


async def _coming(consumer: Consumer, wanted: _Wanted) -> AsyncIterator[Record]:
    async for record in onwards(consumer):
        if wanted.lets(record):
            yield record


async def _existing(kafka: KafkaSettings, topics: Sequence[str]) -> list[str]:
    there = await list_topics(kafka)
    existing = [topic for topic in topics if topic in there]
    if not existing:
        hidden = await hidden_topics(kafka, topics)
        if hidden:
            raise NotAllowedError.to_read(kafka.principal, hidden)
        raise NotFoundError(f"there is no topic {', '.join(topics)}; `saga topics list` shows which there are")
    return existing


def _print(record: Record, wanted: _Wanted, *, full: bool, output: str) -> None:
    described = describe(record, wanted.fields)
    if output != "table":
        print_json(described)
        return
    out = console()
    line = _line(described, names_saga=wanted.saga_id is None)
    if full:
        out.print(line)
        for name, value in described["headers"].items():
            out.print(Text(plain(f"    {name}: {value}"), style="dim"), soft_wrap=True)
        out.print(Text(f"    {_compact(described['value'])}"), soft_wrap=True)
    else:
        line.append(f"  {_compact(described['value'])}", style="dim")
        out.print(line, no_wrap=True, overflow="ellipsis", crop=True)


def _line(described: dict[str, Any], *, names_saga: bool) -> Text:
    """`10:42:07.123 payment.commands[2]@17  order-123  chargePayment process_payment #1`; one saga's need no id."""
    where = f"{described['topic']}[{described['partition']}]@{described['offset']}"
    said = " ".join(
        plain(str(word))
        for word in (
            described["type"] or described["kind"],
            described.get("step"),
            f"#{described['attempt']}" if "attempt" in described else None,
            described.get("outcome"),
            f"effect={described['effect']}" if "effect" in described else None,
            described.get("reason"),
            described.get("cause"),
            described.get("message"),
        )
        if word
    )
    style = _KIND_STYLES.get(described["kind"], "")
    named = f"{plain(described['sagaId'] or '-')}  " if names_saga else ""
    return Text.assemble((described["at"][11:23], "dim"), f" {plain(where)}  ", (named, "bold"), (said, style))


def _compact(value: Any) -> str:
    return plain(value) if isinstance(value, str) else plain(encode(value).decode())
