"""`python -m bench.client`: how much later `SagaClient.run` knows of an end than `saga submit --wait`, in rounds.

All are connected and warm, and take turns with one saga each, so that what slows the machine slows all; who goes first
changes. What is measured of `saga submit --wait` is what it prints as the time that the saga took. It takes part twice:
by how much it is later than itself says what a difference of so many milliseconds is worth on this machine.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bench.broker import open_kafka
from bench.system import System, running
from kafka_saga.client import SagaClient
from kafka_saga.orchestrator.operations.sagas.requests import prepare
from kafka_saga.orchestrator.operations.sagas.sample_orders import sample_orders
from kafka_saga.orchestrator.operations.sagas.submitting import open_submission
from kafka_saga.orchestrator.sagas.order import order_saga
from kafka_saga.runtime.clock import SystemClock
from kafka_saga.runtime.telemetry import configure_logging

ROUNDS = 200
WARM = 20
TIMEOUT_MS = 30_000


async def _by_submit(system: System, document: dict[str, Any]) -> float:
    requests = prepare(order_saga, system.topics, [document], saga_id=None, origin="bench", actor="bench")
    async with open_submission(
        system.settings.kafka,
        saga_type="order",
        topics=system.topics,
        total=1,
        follows=True,
        clock=SystemClock(),
        on_progress=lambda _: None,
    ) as submission:
        await submission.producer.start()
        began = time.perf_counter()
        await submission.send(requests)
        assert await submission.wait(TIMEOUT_MS)
        return (time.perf_counter() - began) * 1_000


async def _by_client(sagas: SagaClient, document: dict[str, Any]) -> float:
    request = order_saga.request.model_validate(document)
    began = time.perf_counter()
    outcome = await sagas.run(request, timeout_ms=TIMEOUT_MS)
    assert outcome.completed
    return (time.perf_counter() - began) * 1_000


class Round(NamedTuple):
    """How long one saga took by each, in milliseconds."""

    submit: float
    client: float
    submit_again: float


async def _measure(system: System) -> list[Round]:
    ways = len(Round._fields)
    documents = iter(list(sample_orders(ways * (ROUNDS + WARM), run="round", declined_percent=0)))
    rounds = []
    async with SagaClient(kafka=system.settings.kafka, prefix=system.topics.prefix) as sagas:
        for number in range(ROUNDS + WARM):
            took = Round(0, 0, 0)._asdict()
            for place in range(ways):
                way, document = Round._fields[(number + place) % ways], next(documents)
                by_client = way == "client"
                took[way] = await (_by_client(sagas, document) if by_client else _by_submit(system, document))
            rounds.append(Round(**took))
    return rounds[WARM:]


def _p90(values: Sequence[float]) -> float:
    return statistics.quantiles(values, n=10)[-1]


async def main() -> None:
    """Measure, and print one line."""
    with tempfile.TemporaryDirectory(prefix="saga-bench-client-") as name, open_kafka(Path(name)) as kafka:
        async with running(kafka, Path(name) / "system") as system:
            rounds = await _measure(system)
    later = [one.client - one.submit for one in rounds]
    itself = [one.submit_again - one.submit for one in rounds]
    sys.stdout.write(
        f"client: rounds={len(rounds)} submit_p50_ms={statistics.median(one.submit for one in rounds):.1f} "
        f"client_p50_ms={statistics.median(one.client for one in rounds):.1f} "
        f"later_p50_ms={statistics.median(later):.1f} later_p90_ms={_p90(later):.1f} "
        f"submit_later_than_itself_p90_ms={_p90(itself):.1f}\n"
    )


if __name__ == "__main__":
    configure_logging(process="bench", level="error", log_format="text")
    asyncio.run(main())
