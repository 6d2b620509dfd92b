"""The step log of a real store against its rows: it folds to them, and its numbers have no gap (I11, I12)."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from kafka_saga.orchestrator.machine.folding import fold
from kafka_saga.orchestrator.machine.saga import accepted
from kafka_saga.orchestrator.store.reader import StoreReader
from kafka_saga.schemas.ids import SagaRef
from tests.crash.brisk_sagas import brisk_order_saga


async def check_logs(store: Path, saga_ids: Iterable[str]) -> None:
    """Fold the log of each of these sagas of `brisk_sagas` in `store`."""
    reader = await StoreReader.open(store)
    try:
        for saga_id in saga_ids:
            saga = await reader.find(saga_id, "order")
            log = await reader.log(saga)
            assert [entry.seq for entry in log] == list(range(1, saga.log_seq + 1)), f"the log of {saga_id} has gaps"
            ref = SagaRef("order", saga_id)
            start = accepted(brisk_order_saga, ref, saga.request, saga.request_bytes, saga.created_at)
            assert fold(brisk_order_saga, start, log) == saga, f"the log of {saga_id} does not give its row"
    finally:
        await reader.close()
