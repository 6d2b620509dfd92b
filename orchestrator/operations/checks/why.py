"""What a saga waits for and what keeps it, by all who may know: its store, and Kafka where it answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kafka_saga.messaging.waiting import within
from kafka_saga.orchestrator.machine.states import TERMINAL
from kafka_saga.orchestrator.operations.checks.examination import Site
from kafka_saga.orchestrator.operations.checks.reasons import Reason, awaited, find_in_kafka, find_in_store
from kafka_saga.orchestrator.operations.sagas.show import Shown, show
from kafka_saga.orchestrator.store.reader import StoreReader
from kafka_saga.runtime.clock import Clock
from kafka_saga.runtime.errors import SagaError
from kafka_saga.runtime.limits import EXPLAIN_TIMEOUT_MS
from kafka_saga.schemas.ids import SagaRef


@dataclass(frozen=True, slots=True)
class Why:
    """What one saga waits for.

    Attributes:
        shown: the saga, with the sentence that its own row gives.
        reasons: what more there is.
        runs: whether an orchestrator does; None where the saga has ended and needs none.
        asked: whether Kafka was.
        unanswered: why it said nothing.

    """

    shown: Shown
    reasons: list[Reason]
    runs: bool | None
    asked: bool
    unanswered: str | None

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        return {
            "sagaId": self.shown.saga.ref.saga_id,
            "status": self.shown.status,
            "sentence": self.shown.sentence,
            "orchestratorRuns": self.runs,
            "reasons": [{"reason": one.kind, "sentence": one.sentence, **one.details} for one in self.reasons],
            "kafka": self.unanswered or ("asked" if self.asked else "not asked"),
        }


async def ask_why(
    reader: StoreReader, ref: SagaRef, *, site: Site, in_flight_max: int, clock: Clock, ask_kafka: bool
) -> Why:
    """Ask the store, and Kafka for as long as somebody waits for an answer.

    Raises:
        NotFoundError: there is no such saga.

    """
    now = clock.now_ms()
    shown = await show(reader, site.registry, ref.saga_id, ref.saga_type, now=now)
    saga = shown.saga
    if saga.state in TERMINAL:
        return Why(shown, [], None, asked=False, unanswered=None)
    runs = await reader.owners.now(clock) is not None
    waits = await awaited(reader, shown.definition, saga)
    reasons = await find_in_store(reader, saga, waits, now, runs=runs, in_flight_max=in_flight_max)
    asked, unanswered = ask_kafka and waits is not None, None
    if asked and waits is not None:
        asking = find_in_kafka(site, reader, saga, waits, clock)
        try:
            reasons += await within(EXPLAIN_TIMEOUT_MS, "asking Kafka", asking)
        except SagaError as error:
            unanswered = str(error)
    return Why(shown, reasons, runs, asked=asked, unanswered=unanswered)
