"""`saga explain`: what a saga waits for, and what keeps it."""

from __future__ import annotations

import asyncio
from typing import Annotated

from cyclopts import Parameter
from rich.text import Text

from kafka_saga.orchestrator.app import registry_of
from kafka_saga.orchestrator.cli.naming import meant
from kafka_saga.orchestrator.cli.options import DEFAULTS, OutputFlag, SagaId, SagaType, SettingFlags
from kafka_saga.orchestrator.cli.output import console, print_json, say
from kafka_saga.orchestrator.config import Settings
from kafka_saga.orchestrator.masking import Masks
from kafka_saga.orchestrator.operations.checks.why import Why, ask_why
from kafka_saga.orchestrator.site import site_of
from kafka_saga.orchestrator.store.reader import StoreReader
from kafka_saga.runtime.clock import SystemClock
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
        print_json(explained.as_json())


async def _explained(settings: Settings, saga_id: str, saga_type: str | None, *, ask_kafka: bool) -> Why:
    registry, limit = registry_of(settings), settings.in_flight_max
    site = site_of(settings, registry)
    reader = await StoreReader.open(settings.store_at, Masks(registry))
    try:
        ref = await meant(reader, saga_id, saga_type)
        return await ask_why(reader, ref, site=site, in_flight_max=limit, clock=SystemClock(), ask_kafka=ask_kafka)
    finally:
        await reader.close()
