"""What a participant shows of itself: its health, and gauges that are asked for at the scrape."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AsyncExitStack

from prometheus_client.core import Metric

from kafka_saga.messaging.consumer import Consumer
from kafka_saga.messaging.lag import Lag
from kafka_saga.messaging.meters import OUTBOX, OUTBOX_AGE
from kafka_saga.messaging.readiness import look_at_group
from kafka_saga.messaging.sent_traces import trace_polls
from kafka_saga.participants.worker import Worker
from kafka_saga.runtime.health import Finding
from kafka_saga.runtime.limits import OUTBOX_AGE_MS_MAX, UNANSWERED_MS_MAX
from kafka_saga.runtime.showing import Shown
from kafka_saga.runtime.tracers import tracer
from kafka_saga.runtime.wording import counted, duration


def show(  # noqa: PLR0917 -- all that is looked at
    stack: AsyncExitStack,
    of_us: Shown,
    worker: Worker,
    consumer: Consumer,
    lag: Lag,
    handler_timeout_ms: int,
) -> None:
    """Let probes, scrapers and whoever collects traces see `worker`, which begins to work now."""
    patience_ms = UNANSWERED_MS_MAX + handler_timeout_ms  # a slow handler keeps the database waiting
    stack.push_async_callback(lag.close)
    found = tracer()
    if found is not None:
        from kafka_saga.participants.spans import WorkerSpans  # noqa: PLC0415 -- only for who collects

        worker.trace(WorkerSpans(found, worker.group))
        trace_polls(consumer, worker.group, worker.clock)

    def look_at_store() -> Finding:
        silent_ms = worker.silent_ms
        return Finding(silent_ms < patience_ms, f"answered {duration(silent_ms)} ago")

    def look_at_outbox() -> Finding:
        waiting, age_ms = worker.publisher.waiting, worker.publisher.oldest_ms
        text = f"{counted(waiting, 'message')} to be published" + (f", for {duration(age_ms)}" if age_ms else "")
        return Finding(age_ms < OUTBOX_AGE_MS_MAX, text)

    def families() -> Iterator[Metric]:
        yield OUTBOX.measured({(): worker.publisher.waiting})
        yield OUTBOX_AGE.measured({(): worker.publisher.oldest_ms / 1000})

    of_us.health.add("store", look_at_store)
    of_us.health.add("group", lambda: look_at_group(consumer))
    of_us.health.add("outbox", look_at_outbox)
    of_us.metrics.add(worker.meters.families)
    of_us.metrics.add(families)
    of_us.metrics.add(lag.families, lag.read)
    of_us.health.started()
