"""`saga list`, `saga show` and `saga log`: what the store knows, read beside its owner."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any, TypeVar

from cyclopts import Parameter
from cyclopts.validators import Number
from rich.text import Text

from kafka_saga.orchestrator.app import registry_of, sight_of
from kafka_saga.orchestrator.cli.filters import ANY, FilterFlags
from kafka_saga.orchestrator.cli.naming import meant
from kafka_saga.orchestrator.cli.options import (
    DEFAULTS,
    Output,
    OutputFlag,
    SagaId,
    SagaType,
    SettingFlags,
)
from kafka_saga.orchestrator.cli.output import (
    clock,
    console,
    day_and_clock,
    print_indented,
    print_json,
    print_rows,
    say,
    styled,
)
from kafka_saga.orchestrator.cli.revealing import RevealFlag, revealing
from kafka_saga.orchestrator.config import Settings
from kafka_saga.orchestrator.machine.pausing import describe
from kafka_saga.orchestrator.machine.saga import Hold, Saga
from kafka_saga.orchestrator.machine.states import TERMINAL, LogStatus, StepStatus
from kafka_saga.orchestrator.operations.sagas.filtering import filter_by
from kafka_saga.orchestrator.operations.sagas.listing import summary
from kafka_saga.orchestrator.operations.sagas.paging import steps_named
from kafka_saga.orchestrator.operations.sagas.show import LogRow, Shown, StepShown, purged_document, read_log
from kafka_saga.orchestrator.operations.sagas.show import show as show_saga
from kafka_saga.orchestrator.store.act_rows import ActRow, verb_word
from kafka_saga.orchestrator.store.location import StoreLocation
from kafka_saga.orchestrator.store.reader import StoreReader, was_purged
from kafka_saga.orchestrator.store.retention import Purged
from kafka_saga.orchestrator.store.sight import WHOLE, Sight
from kafka_saga.runtime.clock import SystemClock
from kafka_saga.runtime.errors import NotFoundError
from kafka_saga.runtime.wording import counted, duration, plain
from kafka_saga.schemas.codec import encode

Result = TypeVar("Result")

DATA_SHOWN_MAX = 400
"""Five lines of a request or a reply."""


def list_sagas(
    *,
    saga_type: Annotated[str | None, Parameter(name="--type", help="Only of this type")] = None,
    step: Annotated[str | None, Parameter(help="Only those that stand at this step")] = None,
    filters: FilterFlags = ANY,
    limit: Annotated[int, Parameter(name=["--limit", "-n"], validator=Number(gte=1, lte=100_000))] = 20,
    output: OutputFlag = "table",
    common: SettingFlags = DEFAULTS,
) -> None:
    """List sagas, newest first.

    Examples:
        saga list                                   # the 20 newest
        saga list --state parked                    # what needs a person
        saga list --state running --older-than 10m  # what may be stuck
        saga list --held                            # what stands still, by whom and why
        saga list --id order-2026 --field customer_id=alice
        saga list --error "card declined" -n 100 -o jsonl | jq -r .sagaId

    """
    settings = common.settings()
    now = SystemClock().now_ms()
    steps = None if step is None else steps_named(registry_of(settings), step, saga_type)
    wanted = filter_by(filters.said, now=now, saga_type=saga_type, steps=steps, limit=limit)

    async def question(reader: StoreReader) -> list[Saga]:
        return await (
            reader.newest(wanted) if filters.prefix is None else reader.beginning_with(filters.prefix, wanted)
        )

    found = [summary(saga, now) for saga in read(settings, question)]
    if output == "table":
        print_rows(output, ["saga", "type", "status", "started", "took", "error"], map(_listed, found))
        if len(found) == limit:
            say(f"the newest {limit}; more with --limit")
    else:
        print_rows(output, [], found)


def show(
    saga_id: SagaId,
    /,
    *,
    saga_type: SagaType = None,
    reveal: RevealFlag = None,
    output: OutputFlag = "table",
    common: SettingFlags = DEFAULTS,
) -> None:
    """Show one saga: its record, where it stands in one sentence, its steps with their times, request and replies.

    Examples:
        saga show order-123
        saga show order-12                          # the beginning of an id, where only one saga's begins so
        saga show order-123 -o json | jq .data.replies
        saga show order-123 --reveal "the customer asks which card it was"

    """
    settings = common.settings()
    try:
        shown = _shown(settings, saga_id, saga_type, reveal)
    except NotFoundError:
        gone = read(settings, lambda reader: reader.find_purged(saga_id, saga_type))
        if gone is None:
            raise
        _print_purged(gone, output)
        return
    if output == "table":
        _print_record(shown)
    else:
        print_json(shown.record)


def log(
    saga_id: SagaId,
    /,
    *,
    every_row: Annotated[bool, Parameter(name="--all", negative="", help="Every row: attempts, retries, acts")] = False,
    saga_type: SagaType = None,
    reveal: RevealFlag = None,
    output: OutputFlag = "table",
    common: SettingFlags = DEFAULTS,
) -> None:
    """Show what happened to each step of one saga, in order.

    Examples:
        saga log order-123
        saga log order-123 --all

    """
    settings = common.settings()

    async def question(reader: StoreReader) -> list[LogRow]:
        ref = await meant(reader, saga_id, saga_type)
        shows = await revealing(settings, reader, ref, "log", reveal)
        return await read_log(shows, registry_of(settings), ref.saga_id, ref.saga_type, every_row=every_row)

    rows = read(settings, question)
    if output == "table":
        print_rows(output, ["at", "step", "status", "attempt", "detail"], map(_log_line, rows))
    else:
        print_rows(output, [], map(_log_row, rows))


def read(settings: Settings, question: Callable[[StoreReader], Awaitable[Result]]) -> Result:
    """Ask the store something, beside the orchestrator that owns it."""
    return asyncio.run(read_store(settings.store_at, question, sight_of(settings)))


async def read_store(
    at: StoreLocation, question: Callable[[StoreReader], Awaitable[Result]], sight: Sight = WHOLE
) -> Result:
    """The same, inside a running loop."""
    reader = await StoreReader.open(at, sight)
    try:
        return await question(reader)
    finally:
        await reader.close()


def _shown(settings: Settings, saga_id: str, saga_type: str | None, reveal: str | None) -> Shown:
    now = SystemClock().now_ms()

    async def question(reader: StoreReader) -> Shown:
        ref = await meant(reader, saga_id, saga_type)
        shows = await revealing(settings, reader, ref, "record", reveal)
        return await show_saga(shows, registry_of(settings), ref.saga_id, ref.saga_type, now=now)

    return read(settings, question)


def _held(held: dict[str, Any] | None) -> str | None:
    if held is None:
        return None
    return describe(Hold(held["scope"], held["actor"], held["reason"], 0))


def _listed(found: dict[str, Any]) -> dict[str, Any]:
    return {
        "saga": found["sagaId"],
        "type": found["sagaType"],
        "status": found["status"],
        "started": f"{duration(found['ageMs'])} ago",
        "took": duration(found["durationMs"]) if found["state"] in TERMINAL else "",
        "error": _held(found["held"]) or found["error"],
    }


def said(row: ActRow) -> str:
    """The verb with what it was given: `skip process_payment`, `resolve as compensated`."""
    step, target = row.arguments.get("step"), row.arguments.get("as")
    return row.verb + (f" {step}" if step else "") + (f" as {target}" if target else "")


def _print_record(shown: Shown) -> None:
    out = console()
    saga, found = shown.saga, shown.record
    version = f"{saga.ref.saga_type} v{saga.definition_version}"
    out.print(Text.assemble((saga.ref.saga_id, "bold"), f"  {version}  ", styled(shown.status)))
    out.print(Text(plain(shown.sentence)))
    took = f"took {duration(found['durationMs'])}"
    ended = saga.state in TERMINAL
    facts = {
        "started": day_and_clock(saga.created_at),
        "ended" if ended else "changed": day_and_clock(saga.updated_at) + (f", {took}" if ended else ""),
        **{name: found[name] for name in ("currentStep", "stepsExecuted", "stepsCompensated", "error")},
    }
    if saga.parked is not None:
        facts["parked"] = saga.parked.reason.value
        facts |= {} if saga.error is None else {"failed before": saga.error}
    for name, value in facts.items():
        print_indented(f"{name:<17} {'-' if value is None else value}", 2)
    _print_steps(shown)
    print_indented(f"request  {_cut(saga.request)}", 2)
    for act in reversed(shown.acts):
        outcome = act.outcome or "waiting"
        text = f"{clock(act.created_at)}  {said(act)} by {act.actor}: {act.reason}  [{outcome}] {act.message or ''}"
        print_indented(text.rstrip(), 2)


def _print_steps(shown: Shown) -> None:
    """A line for each step, its reply or its error below it."""
    out = console()
    steps = [step for step in shown.steps if step.name is not None]
    width = max((len(step.name or "") for step in steps), default=0)
    service_width = max((len(step.service or "") for step in steps), default=0)
    for step in steps:
        named = f"  {step.number}. {step.name:<{width}}  {step.service:<{service_width}}  "
        when = _when(step)
        status = styled(f"{step.state.status.value:<{_STATUS_WIDTH if when else 0}}")
        out.print(Text.assemble(named, status, when), soft_wrap=True)
        if step.state.error is not None:
            print_indented(f"error  {step.state.error}", 5)
        if step.state.reply:
            print_indented(f"reply  {_cut(step.state.reply)}", 5)


_STATUS_WIDTH = len(StepStatus.IN_PROGRESS.value)


def _when(step: StepShown) -> str:
    """`02:06:29.300  21 ms, 2 attempts, undone in 35 ms`; nothing of a step that has not begun."""
    if step.done.began_at is None:
        return ""
    told = [] if step.done.length_ms is None else [duration(step.done.length_ms)]
    told += [counted(step.state.attempt, "attempt")] if step.state.attempt > 1 else []
    told += [] if step.undone.length_ms is None else [f"undone in {duration(step.undone.length_ms)}"]
    return f"  {clock(step.done.began_at)}  {', '.join(told)}".rstrip()


def _cut(document: Mapping[str, Any]) -> str:
    """Data on one line; what is longer than a person reads is left to JSON."""
    text = encode(document).decode()
    return text if len(text) <= DATA_SHOWN_MAX else f"{text[:DATA_SHOWN_MAX]}… (-o json has it whole)"


def _print_purged(gone: Purged, output: Output) -> None:
    """All that is left of a saga (R29)."""
    if output != "table":
        print_json(purged_document(gone))
        return
    out = console()
    out.print(Text.assemble((gone.ref.saga_id, "bold"), f"  {gone.ref.saga_type}  ", styled(gone.state.value)))
    out.print(Text(plain(f"It {was_purged(gone)}. Its steps and its log are gone.")))


def _log_row(row: LogRow) -> dict[str, Any]:
    entry = row.entry
    return {
        "seq": entry.seq,
        "at": entry.at,
        "step": row.number,
        "name": entry.step,
        "status": entry.status.value,
        "attempt": entry.attempt,
        "detail": dict(entry.detail),
    }


def _log_line(row: LogRow) -> dict[str, Any]:
    entry = row.entry
    detail = entry.detail
    if entry.status is LogStatus.ACT and "held" in detail:
        text = describe(Hold(**detail["held"]))
    elif entry.status is LogStatus.ACT and "verb" in detail:
        text = f"{verb_word(str(detail.get('verb')))} by {detail.get('actor')}: {detail.get('reason')}"
    else:
        text = detail.get("error") or detail.get("why") or detail.get("note") or detail.get("body", {}).get("error")
    return {
        "at": clock(entry.at),
        "step": f"{row.number} {entry.step}" if row.number else entry.step,
        "status": entry.status.value,
        "attempt": entry.attempt or "",
        "detail": text or "",
    }
