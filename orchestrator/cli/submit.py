"""`saga submit`."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import cyclopts
from cyclopts import Parameter
from cyclopts.validators import Number
from rich.progress import TextColumn

from kafka_saga.orchestrator.app import registry_of
from kafka_saga.orchestrator.cli.edge import EXIT_FAILED, EXIT_TIMED_OUT
from kafka_saga.orchestrator.cli.options import AS_DURATION, DEFAULTS, OutputFlag, SettingFlags
from kafka_saga.orchestrator.cli.output import print_json, print_rows, say
from kafka_saga.orchestrator.cli.progress import counts, progress_bar
from kafka_saga.orchestrator.config import Settings
from kafka_saga.orchestrator.definition import Saga as Definition
from kafka_saga.orchestrator.machine.states import SagaState
from kafka_saga.orchestrator.operations.sagas import submitting
from kafka_saga.orchestrator.operations.sagas.requests import Request, definition_of, prepare, read_documents
from kafka_saga.orchestrator.operations.sagas.sample_orders import sample_orders
from kafka_saga.orchestrator.operations.sagas.submitting import Before, Ended, Submission, look_before, open_submission
from kafka_saga.orchestrator.registry import Registry
from kafka_saga.runtime.clock import SystemClock, new_id
from kafka_saga.runtime.errors import RefusedError, UsageError
from kafka_saga.runtime.telemetry import configure_logging
from kafka_saga.runtime.user import this_user
from kafka_saga.runtime.wording import counted, duration

app = cyclopts.App(
    name="submit",
    help="Publish requests for sagas: one, from a file, or many. Each is checked before anything is sent.",
)

Wait = Annotated[
    bool,
    Parameter(
        name=["--wait", "-w"],
        negative="",
        help="Follow to the end; exit 1 if one is not completed, 4 if its id has another request",
        show_default=False,
    ),
]
Timeout = Annotated[int, AS_DURATION, Parameter(help="With --wait: exit 124 after this long", show_default=False)]
File = Annotated[
    str | None,
    Parameter(
        name=["--file", "-f"], help="JSON, an array or one request a line; - is stdin", allow_leading_hyphen=True
    ),
]
Json = Annotated[str | None, Parameter(help="The request itself", allow_leading_hyphen=True)]


_REFUSED_SHOWN = 10


@dataclass(frozen=True, slots=True)
class _Options:
    settings: Settings
    registry: Registry
    definition: Definition
    wait: bool
    timeout_ms: int
    output: str


@app.default
def submit(
    saga_type: Annotated[str, Parameter(help="The saga's type, e.g. order")],
    /,
    *,
    file: File = None,
    json: Json = None,
    saga_id: Annotated[
        str | None, Parameter(name="--id", help="The saga's id, where the request does not carry it")
    ] = None,
    wait: Wait = False,
    timeout: Timeout = 60_000,
    output: OutputFlag = "table",
    common: SettingFlags = DEFAULTS,
) -> int:
    """Publish requests for sagas of any type, from a file, standard input or the command line.

    Each is checked against the definition's request model first; nothing is sent when one does not fit.

    Examples:
        saga submit shipment --app shop.sagas --json '{"parcel": "p-1"}' --id p-1 --wait
        saga submit order --file orders.jsonl --wait --timeout 5m
        generate-orders | saga submit order --file - -o jsonl

    """
    settings = common.settings()
    registry = registry_of(settings)
    definition = definition_of(registry, saga_type)
    if (file is None) == (json is None):
        raise UsageError("say what to send: --file FILE, --file - for standard input, or --json '{…}'")
    origin = _named(file)
    documents = read_documents(_text(file, json), origin)
    requests = prepare(definition, settings.topics, documents, saga_id=saga_id, origin=origin, actor=this_user())
    return _run(_Options(settings, registry, definition, wait, timeout, output), requests)


@app.command
def order(
    *,
    order_id: Annotated[str | None, Parameter(help="[default: a new one]")] = None,
    customer: Annotated[str, Parameter(help="Who pays; `broke` has no money")] = "alice",
    item: Annotated[
        tuple[str, ...], Parameter(help="SKU or SKU:QUANTITY; repeat for more", negative="", consume_multiple=False)
    ] = ("lamp:1",),
    amount: Annotated[int, Parameter(help="In cents")] = 4_990,
    currency: str = "EUR",
    count: Annotated[
        int | None, Parameter(name=["--count", "-n"], help="So many made-up orders", validator=Number(gte=1))
    ] = None,
    declined: Annotated[
        int, Parameter(help="With --count: so many of a hundred are declined", validator=Number(gte=0, lte=100))
    ] = 0,
    file: File = None,
    json: Json = None,
    wait: Wait = False,
    timeout: Timeout = 60_000,
    output: OutputFlag = "table",
    common: SettingFlags = DEFAULTS,
) -> int:
    """Publish order requests: one from options, many that are made up, or those of a file.

    The id of a single order is printed on standard output.

    Examples:
        saga submit order --wait
        saga submit order --customer bob --item lamp:2 --item desk --amount 44880
        saga submit order --customer broke --wait        # is declined: see `saga log`
        saga submit order --count 1000 --declined 5 --wait
        saga submit order --file orders.jsonl

    """
    settings = common.settings()
    registry = registry_of(settings)
    definition = definition_of(registry, "order")
    if sum(source is not None for source in (file, json, count)) > 1:
        raise UsageError("give one of --file, --json and --count")
    documents: list[Any]
    if file is not None or json is not None:
        origin = _named(file)
        documents = read_documents(_text(file, json), origin)
    elif count is not None:
        run = f"order-{new_id()[:6]}"
        documents, origin = list(sample_orders(count, run=run, declined_percent=declined)), "--count"
    else:
        origin = "the order"
        documents = [
            {
                "order_id": order_id or f"order-{new_id()[:8]}",
                "customer_id": customer,
                "items": [_item(text) for text in item],
                "amount": amount,
                "currency": currency,
            }
        ]
    requests = prepare(definition, settings.topics, documents, saga_id=None, origin=origin, actor=this_user())
    return _run(_Options(settings, registry, definition, wait, timeout, output), requests)


def _text(file: str | None, json: str | None) -> bytes:
    if file is None:
        return (json or "").encode()
    if file == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read {file}: {error.strerror}") from error


def _named(file: str | None) -> str:
    return "--json" if file is None else "standard input" if file == "-" else file


def _item(text: str) -> dict[str, Any]:
    sku, _, quantity = text.partition(":")
    if quantity and not quantity.isdecimal():
        raise UsageError(f"--item {text}: write SKU or SKU:QUANTITY, e.g. lamp:2")
    return {"sku": sku, "quantity": int(quantity or 1)}


def _run(options: _Options, requests: Sequence[Request]) -> int:
    configure_logging(process="submit", level="error")
    return asyncio.run(_submit(options, requests))


async def _submit(options: _Options, requests: Sequence[Request]) -> int:
    clock = SystemClock()
    bar = progress_bar(*counts(), TextColumn("[dim]{task.fields[remark]}"), worth_it=len(requests) > 1)
    task = bar.add_task("sending", total=len(requests), remark="")
    throttled = False

    def show(progress: submitting.Progress) -> None:
        nonlocal throttled
        following = options.wait and progress.sent == progress.total
        remark = ""
        if progress.throttled and not following:
            remark = "throttled: embedded broker, 5 MiB a partition"
            if not throttled and bar.disable:
                say("throttled: the embedded broker keeps 5 MiB a partition, so sending waits for sagas to end")
            throttled = True
        done = len(progress.ended) + len(progress.refused) if following else progress.sent
        bar.update(task, description="following" if following else "sending", completed=done, remark=remark)

    async with AsyncExitStack() as stack:
        submission = await stack.enter_async_context(
            open_submission(
                options.settings.kafka,
                saga_type=options.definition.saga_type,
                topics=options.settings.topics,
                total=len(requests),
                follows=options.wait,
                clock=clock,
                on_progress=show,
            )
        )
        stack.enter_context(bar)
        settings, registry = options.settings, options.registry
        before = await look_before(settings.store_at, registry, requests) if options.wait else Before()
        submission.note(before)
        begun = clock.monotonic_ms()
        await submission.send(requests)
        sent_ms = clock.monotonic_ms() - begun
        in_time = await submission.wait(options.timeout_ms) if options.wait else True
    if known := before.ended:
        say(f"{len(known):,} of {len(requests):,} had ended before: a saga is started once, this is how it ended then")
    if not options.wait:
        _print_sent(options, requests, sent_ms)
        return 0
    return _print_ended(options, requests, submission, in_time=in_time)


def _print_sent(options: _Options, requests: Sequence[Request], sent_ms: int) -> None:
    rows = [{"sagaId": request.saga_id, "topic": request.message.topic} for request in requests]
    if options.output == "json":
        print_json(rows[0] if len(rows) == 1 else rows)
    elif options.output == "jsonl":
        for row in rows:
            print_json(row)
    elif len(rows) == 1:
        sys.stdout.write(f"{rows[0]['sagaId']}\n")
        say(f"sent to {rows[0]['topic']}; follow it with: saga show {rows[0]['sagaId']}")
    else:
        first, last = rows[0]["sagaId"], rows[-1]["sagaId"]
        say(f"sent {counted(len(rows), 'request')} to {rows[0]['topic']} in {duration(sent_ms)}: {first} to {last}")


def _print_ended(options: _Options, requests: Sequence[Request], submission: Submission, *, in_time: bool) -> int:
    ended, refused = submission.progress.ended, submission.progress.refused
    records = [{**item.record, "afterMs": item.after_ms} for item in ended.values()]
    records += [{"sagaId": saga_id, "state": None, "refused": why} for saga_id, why in refused.items()]
    if options.output == "json":
        print_json(records[0] if len(requests) == 1 and records else records)
    elif options.output == "jsonl":
        for record in records:
            print_json(record)
    elif len(requests) == 1:
        for item in ended.values():
            error = f": {item.record['error']}" if item.record.get("error") else ""
            print_rows("table", ["saga", "state", "took", "error"], [_row(item, error.removeprefix(": "))])
    else:
        _print_summary(list(ended.values()), len(requests))
    _say_refused(refused)
    if not in_time:
        waiting = [request.saga_id for request in requests if not submission.progress.has(request.saga_id)]
        say(
            f"saga: {len(waiting):,} of {len(requests):,} had not ended after {duration(options.timeout_ms)}; "
            f"`saga explain {waiting[0]}` says what it waits for"
        )
        return EXIT_TIMED_OUT
    if refused:
        return RefusedError.exit_code
    completed = SagaState.COMPLETED.value
    return 0 if all(item.record["state"] == completed for item in ended.values()) else EXIT_FAILED


def _say_refused(refused: Mapping[str, str]) -> None:
    """Requests that are none of a saga's: what it came to is not theirs to tell."""
    for why in list(refused.values())[:_REFUSED_SHOWN]:
        say(f"saga: {why}")
    if len(refused) > _REFUSED_SHOWN:
        say(f"saga: … and {len(refused) - _REFUSED_SHOWN:,} more were refused: -o jsonl lists all")


def _row(item: Ended, error: str) -> dict[str, Any]:
    return {
        "saga": item.record["sagaId"],
        "state": item.record["state"],
        "took": duration(item.after_ms),
        "error": error,
    }


def _print_summary(ended: Sequence[Ended], total: int) -> None:
    took = sorted(item.after_ms for item in ended)
    states = submitting.count_states(ended)
    rows: list[dict[str, Any]] = [{"state": state, "sagas": count} for state, count in states.items()]
    print_rows("table", ["state", "sagas"], rows)
    if took:
        middle, slow = took[len(took) // 2], took[min(len(took) - 1, len(took) * 99 // 100)]
        say(f"{len(took):,} of {total:,} ended; half within {duration(middle)}, 99 % within {duration(slow)}")
