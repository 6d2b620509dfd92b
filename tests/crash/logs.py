"""The step log of a real store against its rows: it folds to them, and its numbers have no gap (I11, I12)."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from orchestrator.machine.folding import fold
from orchestrator.machine.saga import accepted
from orchestrator.store import rows
from orchestrator.store.statements import SQL
from schemas.ids import SagaRef
from tests.crash.brisk_sagas import brisk_order_saga


def check_logs(store: Path) -> None:
    """Fold the log of every saga of `brisk_sagas` in `store`."""
    with closing(sqlite3.connect(f"file:{store}?mode=ro", uri=True)) as connection:
        for (saga_id,) in connection.execute("SELECT saga_id FROM sagas").fetchall():
            [row] = connection.execute(SQL["find"], (saga_id, None, None)).fetchall()
            saga = rows.read_saga(row)
            log = [rows.read_log(entry) for entry in connection.execute(SQL["log"], (saga.row,))]
            assert [entry.seq for entry in log] == list(range(1, saga.log_seq + 1)), f"the log of {saga_id} has gaps"
            ref = SagaRef("order", saga_id)
            start = accepted(brisk_order_saga, ref, saga.request, saga.request_bytes, saga.created_at)
            assert fold(brisk_order_saga, start, log) == saga, f"the log of {saga_id} does not give its row"
