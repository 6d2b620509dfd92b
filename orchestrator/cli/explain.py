"""`saga explain`: what a saga waits for, and what keeps it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Annotated

from cyclopts import Parameter
from rich.text import Text

from kafka_saga.messaging.waiting import within
from kafka_saga.orchestrator.app import registry_of
from kafka_saga.orchestrator.cli.naming import meant
from kafka_saga.orchestrator.cli.options import DEFAULTS, OutputFlag, SagaId, SagaType, SettingFlags
from kafka_saga.orchestrator.cli.output import console, print_json, say
from kafka_saga.orchestrator.cli.site import site_of
from kafka_saga.orchestrator.config import Settings
from kafka_saga.orchestrator.machine.states import TERMINAL
from kafka_saga.orchestrator.operations.checks.reasons import Reason, awaited, find_in_kafka, find_in_store
from kafka_saga.orchestrator.operations.show import Shown
from kafka_saga.orchestrator.operations.show import show as show_saga
from kafka_saga.orchestrator.store.reader import StoreReader
from kafka_saga.runtime.clock import SystemClock
from kafka_saga.runtime.errors import SagaError
from kafka_saga.runtime.limits import EXPLAIN_TIMEOUT_MS
from kafka_saga.runtime.store_lock import StoreLock
from kafka_saga.runtime.telemetry import configure_logging
from kafka_saga.runtime.wording import plain


def explain(
    saga_id: SagaId,
    /,
    *,
    saga_type: SagaType = None,
    kafka: Annotated[
        bool, Parameter(negative="--no-kafka", show_default=False, help="Ask Kafka, too [default]")
    ] = True,
    output: OutputFlag = "table",
    common: SettingFlags = DEFAULTS,
) -> None:
    """Say what a saga waits for, until when and what happens then; and what keeps it, where something does.

    Kafka is asked for what only it knows: dead letters of this saga, a service that nobody reads for. Where it does not
    answer within three seconds, that is said, and the store's answer stands alone.

    Examples:
        saga explain order-123
        saga list --state running -o jsonl | jq -r .sagaId | xargs -n1 saga explain

    """
    configure_logging(process="explain", level="error")
    settings = common.settings()
    explained = asyncio.run(_explained(settings, saga_id, saga_type, ask_kafka=kafka))
    shown, reasons = explained.shown, explained.reasons
    if output == "table":
        said = [f"{shown.saga.ref.saga_id} is {shown.status}. {shown.sentence}", *(one.sentence for one in reasons)]
        if explained.runs is False:
            said.append("No orchestrator runs on this store, so nothing moves.")
        console().print(Text(plain(" ".join(said))))
        if explained.unanswered is not None:
            say(f"only the store was asked: {explained.unanswered}")
    else:
        print_json(
            {
                "sagaId": shown.saga.ref.saga_id,
                "status": shown.status,
                "sentence": shown.sentence,
                "orchestratorRuns": explained.runs,
                "reasons": [{"reason": one.kind, "sentence": one.sentence, **one.details} for one in reasons],
                "kafka": explained.unanswered or ("asked" if explained.asked else "not asked"),
            }
        )


@dataclass(frozen=True, slots=True)
class _Explained:
    shown: Shown
    reasons: list[Reason]
    runs: bool | None
    """Whether an orchestrator does; None where the saga has ended and needs none."""
    asked: bool
    unanswered: str | None
    """Why Kafka said nothing."""


async def _explained(settings: Settings, saga_id: str, saga_type: str | None, *, ask_kafka: bool) -> _Explained:
    clock, registry = SystemClock(), registry_of(settings)
    now = clock.now_ms()
    reader = await StoreReader.open(settings.store_path)
    try:
        ref = await meant(reader, saga_id, saga_type)
        shown = await show_saga(reader, registry, ref.saga_id, ref.saga_type, now=now)
        saga = shown.saga
        if saga.state in TERMINAL:
            return _Explained(shown, [], None, asked=False, unanswered=None)
        runs = StoreLock(settings.store_path).holder() is not None
        waits = await awaited(reader, shown.definition, saga)
        limit = settings.in_flight_max
        reasons = await find_in_store(reader, saga, waits, now, runs=runs, in_flight_max=limit)
        asked, unanswered = ask_kafka and waits is not None, None
        if asked and waits is not None:
            asking = find_in_kafka(site_of(settings, registry), reader, saga, waits, clock)
            try:
                reasons += await within(EXPLAIN_TIMEOUT_MS, "asking Kafka", asking)
            except SagaError as error:
                unanswered = str(error)
        return _Explained(shown, reasons, runs, asked=asked, unanswered=unanswered)
    finally:
        await reader.close()
